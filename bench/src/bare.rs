//! The limit of a drain: a publisher that does nothing but publish.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use uuid::Uuid;

/// Publishes `events` messages of `body`, persistent, mandatory and confirmed, in windows of `window`.
/// Returns messages per second.
pub(crate) async fn publish(
    broker: &str,
    exchange: &str,
    body: &[u8],
    events: usize,
    window: usize,
) -> anyhow::Result<f64> {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let started = Instant::now();
    let mut left = events;
    while left > 0 {
        let now = left.min(window);
        let mut confirms = Vec::with_capacity(now);
        for _ in 0..now {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_content_type("application/json".into())
                .with_message_id(Uuid::now_v7().to_string().into());
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            confirms.push(
                channel
                    .basic_publish(
                        exchange.into(),
                        "order.created".into(),
                        options,
                        body,
                        properties,
                    )
                    .await?,
            );
        }
        for confirm in try_join_all(confirms).await? {
            ensure!(confirm.is_ack(), "a message was refused");
        }
        left -= now;
    }
    let rate = events as f64 / started.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await.context("closing")?;
    Ok(rate)
}
