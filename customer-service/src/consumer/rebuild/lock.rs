//! One run at a time, and no consumer meanwhile: a queue that is the run's alone for as long as its connection lasts.

use std::time::Duration;

use service_kit::amqp::{Channel, Failure, Goodbye};
use tokio::time::{Instant, sleep};

use crate::consumer::broker::{Broker, NOT_FOUND, RESOURCE_LOCKED, with_timeout};
use crate::consumer::topology::WORK_QUEUE;

/// Holds what is in the work queue while that is made anew.
pub(in crate::consumer) const MOVING_QUEUE: &str = "customer.orders_count.moving";

/// The queue that is the lock.
const LOCK_QUEUE: &str = "customer.orders_count.rebuilding";

/// How long the broker may take to notice that an earlier run was killed.
const MAX_DETECTION_TIME: Duration = Duration::from_secs(10);

/// Takes the lock, which is given back with the connection. The channel must live as long as the caller works.
///
/// # Errors
/// When another run has it.
pub(super) async fn acquire(broker: &Broker, mut channel: Channel) -> Result<Channel, String> {
    let deadline = Instant::now() + MAX_DETECTION_TIME;
    loop {
        let asked = with_timeout("answer", async {
            match channel.declare_exclusive_queue(LOCK_QUEUE).await {
                Err(Failure::Refused(Goodbye { code: RESOURCE_LOCKED, .. })) => Ok(false),
                taken => taken.map(|()| true),
            }
        });
        if asked
            .await
            .map_err(|reason| format!("queue {LOCK_QUEUE} can't be declared: {reason}"))?
        {
            return Ok(channel);
        }
        if Instant::now() > deadline {
            return Err(format!(
                "another rebuild-queue has {WORK_QUEUE} in its hands: wait until it has ended"
            ));
        }
        sleep(Duration::from_millis(100)).await;
        channel = broker.open_channel().await?;
    }
}

/// Whether the work queue is being made anew, for a consumer that is about to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consumer) enum RebuildStatus {
    /// It is not.
    None,
    /// A run is at it.
    Running,
    /// A run was at it and has not ended well: messages lie in [`MOVING_QUEUE`].
    Interrupted,
}

/// Asks for [`MOVING_QUEUE`], which is there while the work queue is made anew, and then for the lock. A broker that does not tell has it be none.
///
/// # Errors
/// With the reason when the broker can't be asked.
pub(in crate::consumer) async fn rebuild_status(broker: &Broker) -> Result<RebuildStatus, String> {
    let channel = broker.open_channel().await?;
    match channel.depth(MOVING_QUEUE).await {
        Ok(_) => (),
        // Usually it is missing.
        Err(Failure::Refused(_)) => return Ok(RebuildStatus::None),
        Err(failure) => return Err(failure.to_string()),
    }
    match channel.depth(LOCK_QUEUE).await {
        Err(Failure::Refused(Goodbye { code: RESOURCE_LOCKED, .. })) => Ok(RebuildStatus::Running),
        Ok(_) | Err(Failure::Refused(Goodbye { code: NOT_FOUND, .. })) => {
            Ok(RebuildStatus::Interrupted)
        }
        Err(failure) => Err(failure.to_string()),
    }
}
