//! The steps of a rebuild, each of which can be repeated.

use std::time::Duration;

use amqp::Channel;
use tokio::time::{Instant, sleep};

use super::lock::MOVING_QUEUE;
use super::state::{depth, request};
use super::transfer::Transfer;
use crate::consumer::broker::{Broker, with_timeout};
use crate::consumer::terminal::{print_line, print_progress};
use crate::consumer::topology::{
    EVENTS_EXCHANGE, RETRY_QUEUE, WORK_BINDING_KEY, WORK_QUEUE, work_arguments,
};

/// How long to wait until the retry queue is empty: the work queue is not deleted while messages
/// may return to it.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(30);

/// How often the depth of the retry queue is read.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Moves all messages from the work queue to [`MOVING_QUEUE`] and deletes the work queue.
pub(super) async fn move_out(broker: &Broker) -> Result<(), String> {
    declare_and_bind(broker, MOVING_QUEUE).await?;
    print_line(&format!("{MOVING_QUEUE} is declared and bound"))?;
    unbind(broker, WORK_QUEUE).await?;
    print_line(&format!("{WORK_QUEUE} gets no more events"))?;
    let transfer = Transfer::begin(broker, WORK_QUEUE, MOVING_QUEUE).await?;
    let transfer = empty_with_retries(broker, transfer).await?;
    print_line(&format!("{WORK_QUEUE} is empty"))?;
    transfer.delete().await?;
    print_line(&format!("{WORK_QUEUE} is deleted"))
}

/// Declares the work queue. If [`MOVING_QUEUE`] exists, moves its messages back and deletes it.
pub(super) async fn move_back(broker: &Broker, has_moving_queue: bool) -> Result<(), String> {
    declare_and_bind(broker, WORK_QUEUE).await?;
    print_line(&format!("{WORK_QUEUE} is declared and bound"))?;
    if !has_moving_queue {
        return Ok(());
    }
    unbind(broker, MOVING_QUEUE).await?;
    print_line(&format!("{MOVING_QUEUE} gets no more events"))?;
    let mut transfer = Transfer::begin(broker, MOVING_QUEUE, WORK_QUEUE).await?;
    transfer.empty().await?;
    print_line(&format!("{MOVING_QUEUE} is empty"))?;
    transfer.delete().await?;
    print_line(&format!("{MOVING_QUEUE} is deleted"))
}

/// Empties the work queue until the retry queue is empty as well.
///
/// # Errors
/// When that takes too long.
async fn empty_with_retries<'a>(
    broker: &Broker,
    mut transfer: Transfer<'a>,
) -> Result<Transfer<'a>, String> {
    let (deadline, mut last_progress) = (Instant::now() + MAX_RETRY_WAIT, Instant::now());
    loop {
        // Read first: messages that have left it by then are in the work queue once that was quiet.
        let waiting = depth(broker, RETRY_QUEUE).await?.map_or(0, |depth| depth.messages);
        transfer.empty().await?;
        if waiting == 0 {
            return Ok(transfer);
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{waiting} messages still wait in {RETRY_QUEUE}: run this again when they have returned, after RABBITMQ_RETRY_TTL_MS at the latest"
            ));
        }
        if last_progress.elapsed() > PROGRESS_INTERVAL {
            last_progress = Instant::now();
            print_progress(&format!(
                "waiting for {waiting} messages that return from {RETRY_QUEUE}"
            ));
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn declare_and_bind(broker: &Broker, queue: &str) -> Result<(), String> {
    let channel = broker.open_channel().await?;
    request(
        &format!("queue {queue} can't be declared"),
        channel.declare_queue(queue, work_arguments()),
    )
    .await?;
    let binding = channel.bind_queue(queue, EVENTS_EXCHANGE, WORK_BINDING_KEY);
    request(&format!("queue {queue} can't be bound to {EVENTS_EXCHANGE}"), binding).await?;
    close(channel).await
}

async fn unbind(broker: &Broker, queue: &str) -> Result<(), String> {
    let channel = broker.open_channel().await?;
    let unbinding = channel.unbind_queue(queue, EVENTS_EXCHANGE, WORK_BINDING_KEY);
    request(&format!("queue {queue} can't be unbound from {EVENTS_EXCHANGE}"), unbinding).await?;
    close(channel).await
}

async fn close(channel: Channel) -> Result<(), String> {
    with_timeout("close a channel", channel.close()).await
}
