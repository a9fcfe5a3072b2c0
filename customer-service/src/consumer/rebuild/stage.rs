//! The steps, each of which can be done again.

use std::time::Duration;

use amqp::{Channel, Failure};
use tokio::time::{Instant, sleep};

use super::lock::MOVING;
use super::state::depth;
use super::transfer::Transfer;
use crate::consumer::broker::{Broker, in_time};
use crate::consumer::terminal::{progress, say};
use crate::consumer::topology::{BINDING, EVENTS_EXCHANGE, QUEUE, RETRY_QUEUE, work_arguments};

/// How long messages in the retry queue are waited for: the queue is not deleted while some of them may return to it.
const RETURNED: Duration = Duration::from_secs(30);

/// Between two looks at the retry queue.
const PAUSE: Duration = Duration::from_millis(100);

/// How often people hear that something is waited for.
const HEARD: Duration = Duration::from_secs(2);

/// All messages from the work queue to [`MOVING`], and the work queue deleted.
pub(super) async fn move_out(broker: &Broker) -> Result<(), String> {
    declare_and_bind(broker, MOVING).await?;
    say(&format!("{MOVING} is there and bound"))?;
    unbind(broker, QUEUE).await?;
    say(&format!("{QUEUE} gets no more events"))?;
    let transfer = Transfer::begin(broker, QUEUE, MOVING).await?;
    let transfer = with_retries(broker, transfer).await?;
    say(&format!("{QUEUE} is empty"))?;
    transfer.delete().await?;
    say(&format!("{QUEUE} is deleted"))
}

/// The work queue made anew, and, when it was there, all messages from [`MOVING`] back and that deleted.
pub(super) async fn move_back(broker: &Broker, is_staged: bool) -> Result<(), String> {
    declare_and_bind(broker, QUEUE).await?;
    say(&format!("{QUEUE} is made anew and bound"))?;
    if !is_staged {
        return Ok(());
    }
    unbind(broker, MOVING).await?;
    say(&format!("{MOVING} gets no more events"))?;
    let mut transfer = Transfer::begin(broker, MOVING, QUEUE).await?;
    transfer.empty().await?;
    say(&format!("{MOVING} is empty"))?;
    transfer.delete().await?;
    say(&format!("{MOVING} is deleted"))
}

/// Empties the work queue until nothing is to return to it from the retry queue either.
///
/// # Errors
/// When that takes too long.
async fn with_retries<'a>(
    broker: &Broker,
    mut transfer: Transfer<'a>,
) -> Result<Transfer<'a>, String> {
    let (deadline, mut heard) = (Instant::now() + RETURNED, Instant::now());
    loop {
        // Asked before: what has left it by then has come to the work queue when that was quiet for a while.
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
        if heard.elapsed() > HEARD {
            heard = Instant::now();
            progress(&format!("waiting for {waiting} messages that return from {RETRY_QUEUE}"));
        }
        sleep(PAUSE).await;
    }
}

async fn declare_and_bind(broker: &Broker, queue: &str) -> Result<(), String> {
    let channel = broker.another_channel().await?;
    ask(
        &format!("queue {queue} can't be declared"),
        channel.declare_queue(queue, work_arguments()),
    )
    .await?;
    let binding = channel.bind_queue(queue, EVENTS_EXCHANGE, BINDING);
    ask(&format!("queue {queue} can't be bound to {EVENTS_EXCHANGE}"), binding).await?;
    close(channel).await
}

async fn unbind(broker: &Broker, queue: &str) -> Result<(), String> {
    let channel = broker.another_channel().await?;
    let unbinding = channel.unbind_queue(queue, EVENTS_EXCHANGE, BINDING);
    ask(&format!("queue {queue} can't be unbound from {EVENTS_EXCHANGE}"), unbinding).await?;
    close(channel).await
}

pub(super) async fn ask<T>(
    what: &str,
    asked: impl Future<Output = Result<T, Failure>>,
) -> Result<T, String> {
    in_time("answer", asked).await.map_err(|reason| format!("{what}: {reason}"))
}

async fn close(channel: Channel) -> Result<(), String> {
    in_time("close a channel", channel.close()).await
}
