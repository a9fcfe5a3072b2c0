//! Consumes from a queue with lapin, in a process that a message may abort: `lapin_consumer URL
//! QUEUE`. With a third argument, `holding`, it takes no delivery from lapin.

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

const PREFETCH: u16 = 1000;

#[allow(clippy::print_stderr, reason = "it is what the test that started it looks for")]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("a URL")?;
    let queue = arguments.next().context("a queue")?;
    let holds = arguments.next().is_some();
    service_kit::telemetry::install_tls();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer =
        channel.basic_consume(queue.as_str().into(), "".into(), options, arguments).await?;
    eprintln!("consuming");
    if holds {
        std::future::pending::<()>().await;
    }
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.context("lapin ended the connection")?;
        eprintln!("got a message of {} bytes", delivery.data.len());
        delivery.ack(BasicAckOptions::default()).await?;
    }
    bail!("the consumer ended")
}
