//! One run at a time, and no consumer meanwhile: a queue that is the run's alone for as long as its connection lasts.

use std::time::Duration;

use amqp::{Channel, Failure, Goodbye};
use tokio::time::{Instant, sleep};

use crate::consumer::broker::{Broker, in_time};
use crate::consumer::topology::{NOT_FOUND, QUEUE};

/// Holds what is in the work queue while that is made anew.
pub(in crate::consumer) const MOVING: &str = "customer.orders_count.moving";

/// The queue that is the lock.
const LOCK: &str = "customer.orders_count.rebuilding";

/// Another connection has the queue (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const RESOURCE_LOCKED: u16 = 405;

/// How long the broker may take to notice that an earlier run was killed.
const NOTICED: Duration = Duration::from_secs(10);

/// Takes the lock, which is given back with the connection. The channel must live as long as the caller works.
///
/// # Errors
/// When another run has it.
pub(super) async fn take(broker: &Broker, mut channel: Channel) -> Result<Channel, String> {
    let deadline = Instant::now() + NOTICED;
    loop {
        let asked = in_time("answer", async {
            match channel.declare_exclusive_queue(LOCK).await {
                Err(Failure::Refused(Goodbye { code: RESOURCE_LOCKED, .. })) => Ok(false),
                taken => taken.map(|()| true),
            }
        });
        if asked.await.map_err(|reason| format!("queue {LOCK} can't be declared: {reason}"))? {
            return Ok(channel);
        }
        if Instant::now() > deadline {
            return Err(format!(
                "another rebuild-queue has {QUEUE} in its hands: wait until it has ended"
            ));
        }
        sleep(Duration::from_millis(100)).await;
        channel = broker.another_channel().await?;
    }
}

/// Whether the work queue is being made anew, for a consumer that is about to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consumer) enum Rebuilt {
    /// It is not.
    No,
    /// A run is at it.
    Now,
    /// A run was at it and has not ended well: messages lie in [`MOVING`].
    Interrupted,
}

/// Asks for [`MOVING`], which is there while the work queue is made anew, and then for the lock. A broker that does not tell has it be none.
///
/// # Errors
/// With the reason when the broker can't be asked.
pub(in crate::consumer) async fn is_rebuilt(broker: &Broker) -> Result<Rebuilt, String> {
    let channel = broker.another_channel().await?;
    match channel.depth(MOVING).await {
        Ok(_) => (),
        // Usually it is missing.
        Err(Failure::Refused(_)) => return Ok(Rebuilt::No),
        Err(failure) => return Err(failure.to_string()),
    }
    match channel.depth(LOCK).await {
        Err(Failure::Refused(Goodbye { code: RESOURCE_LOCKED, .. })) => Ok(Rebuilt::Now),
        Ok(_) | Err(Failure::Refused(Goodbye { code: NOT_FOUND, .. })) => Ok(Rebuilt::Interrupted),
        Err(failure) => Err(failure.to_string()),
    }
}
