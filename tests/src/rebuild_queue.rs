//! `customer-service consumer rebuild-queue` under test.

use anyhow::{Context as _, ensure};
use lapin::types::FieldTable;
use uuid::Uuid;

use crate::blocked_command::BlockedCommand;
use crate::command::Ended;
use crate::consumer_fixture::{ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, orders_of};
use crate::customer_command::customer_service;
use crate::previous_queue::MOVING;

/// The command line after the program's name.
pub const COMMAND: [&str; 2] = ["consumer", "rebuild-queue"];

/// Whether the queue exists.
///
/// # Errors
/// When that is not so, or a server does not answer.
pub async fn is_there(fixture: &ConsumerFixture, queue: &str) -> anyhow::Result<bool> {
    let (connection, channel) = fixture.another_channel().await?;
    let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let there = channel.queue_declare(queue.into(), options, FieldTable::default()).await.is_ok();
    drop(connection);
    Ok(there)
}

/// Checks the topology, and that `events` events are counted and nothing is left in the queues.
///
/// # Errors
/// When that is not so, or a server does not answer.
pub async fn ended_well(
    fixture: &ConsumerFixture,
    customer: Uuid,
    events: usize,
) -> anyhow::Result<()> {
    ensure!(fixture.is_queue_new().await?, "the arguments");
    ensure!(!is_there(fixture, MOVING).await?, "{MOVING} is left");
    let consumer = fixture.consumer(&[]).await?;
    ensure!(consumer.readiness().await?["notes"]["topology"].is_null());
    fixture.counted(customer, i64::try_from(events)?).await?;
    // The queue is bound.
    fixture.publish_all(orders_of(1, customer)).await?;
    fixture.counted(customer, i64::try_from(events)? + 1).await?;
    fixture.finished(consumer).await?;
    for queue in [QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE] {
        ensure!(fixture.waiting(queue).await? == 0, "{queue}");
    }
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// When that is not so, or a server does not answer.
pub async fn rebuild(fixture: &ConsumerFixture) -> anyhow::Result<Ended> {
    customer_service(&COMMAND, &[("RABBITMQ_URL", &fixture.broker.amqp_url)]).await
}

/// Runs the command, which must succeed, and returns its output.
///
/// # Errors
/// When it fails, or a server does not answer.
pub async fn rebuilt(fixture: &ConsumerFixture) -> anyhow::Result<String> {
    let ended = rebuild(fixture).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(ended.out)
}

/// A broker with the previous release's queue and `events` events in it.
///
/// # Errors
/// When that is not so, or a server does not answer.
pub async fn old(events: usize) -> anyhow::Result<(ConsumerFixture, Uuid)> {
    let fixture = ConsumerFixture::start().await?;
    fixture.old_queue().await?;
    ensure!(!fixture.is_queue_new().await?);
    let customer = fixture.customer().await?;
    fixture.publish_all(orders_of(events, customer)).await?;
    Ok((fixture, customer))
}

/// The command's output before the line that begins with `line`, taken from its output on another
/// broker.
///
/// # Errors
/// When that is not so, or a server does not answer.
pub fn before(
    printed: &str,
    of: &ConsumerFixture,
    line: &str,
    on: &ConsumerFixture,
) -> anyhow::Result<String> {
    let end = printed.find(&format!("\n{line}")).with_context(|| line.to_owned())?;
    Ok(printed[..=end].replace(&of.broker.name, &on.broker.name))
}

/// The command, blocked at a line.
///
/// # Errors
/// When that is not so, or a server does not answer.
pub async fn held(fixture: &ConsumerFixture, printed: &str) -> anyhow::Result<BlockedCommand> {
    let url = fixture.broker.amqp_url.as_str();
    BlockedCommand::start(&COMMAND, &[("RABBITMQ_URL", url)], printed).await
}
