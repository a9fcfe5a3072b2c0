//! The limit of a consumer: one that only receives the same messages and acknowledges many at a
//! time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use super::orders::BARE_QUEUE;
use crate::usage::cpu;

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) per_second: f64,
    /// CPU time of this process.
    pub(crate) cpu: Duration,
}

/// Consumes `events` messages.
pub(crate) async fn consume(broker: &str, prefetch: u16, events: usize) -> anyhow::Result<Taken> {
    let cpu_before = cpu(std::process::id())?;
    let begun = Instant::now();
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let mut consumer = channel
        .basic_consume(
            BARE_QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    for number in 1..=events {
        let delivery = consumer.next().await.context("the broker ended the consumer")??;
        if number % usize::from(prefetch / 4) == 0 || number == events {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    // The broker answers this after the last acknowledgement.
    channel.close(200, "done".into()).await?;
    let per_second = events as f64 / begun.elapsed().as_secs_f64();
    let cpu = cpu(std::process::id())? - cpu_before;
    connection.close(200, "done".into()).await?;
    Ok(Taken { per_second, cpu })
}
