//! The lock that allows one run at a time, and no consumer meanwhile: an exclusive queue, which
//! lasts as long as the run's connection.

use std::time::Duration;

use amqp::{Channel, CloseReason, Failure};
use tokio::time::{Instant, sleep};

use crate::consumer::broker::{Broker, NOT_FOUND, RESOURCE_LOCKED, with_timeout};
use crate::consumer::topology::WORK_QUEUE;

/// The queue that holds the messages while the work queue is replaced.
pub(in crate::consumer) const MOVING_QUEUE: &str = "customer.orders_count.moving";

/// The exclusive queue that is the lock.
const LOCK_QUEUE: &str = "customer.orders_count.rebuilding";

/// How long the broker may take to detect that an earlier run was killed.
const MAX_DETECTION_TIME: Duration = Duration::from_secs(10);

/// Acquires the lock, which is released with the connection. The channel must live as long.
///
/// # Errors
/// When another run holds it.
pub(super) async fn acquire(broker: &Broker, mut channel: Channel) -> Result<Channel, String> {
    let deadline = Instant::now() + MAX_DETECTION_TIME;
    loop {
        let asked = with_timeout("answer", async {
            match channel.declare_exclusive_queue(LOCK_QUEUE).await {
                Err(Failure::Refused(CloseReason { code: RESOURCE_LOCKED, .. })) => Ok(false),
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
                "another rebuild-queue works on {WORK_QUEUE}: wait until it has ended"
            ));
        }
        sleep(Duration::from_millis(100)).await;
        channel = broker.open_channel().await?;
    }
}

/// Whether the work queue is being rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consumer) enum RebuildStatus {
    /// It is not being rebuilt.
    None,
    /// A run is rebuilding it.
    Running,
    /// A run was interrupted: messages are left in [`MOVING_QUEUE`].
    Interrupted,
}

/// Asks for [`MOVING_QUEUE`], which exists during a rebuild, and then for the lock. A queue for
/// which the user may not ask counts as missing.
///
/// # Errors
/// Returns why the broker does not answer.
pub(in crate::consumer) async fn rebuild_status(broker: &Broker) -> Result<RebuildStatus, String> {
    let channel = broker.open_channel().await?;
    match channel.depth(MOVING_QUEUE).await {
        Ok(_) => (),
        Err(Failure::Refused(_)) => return Ok(RebuildStatus::None),
        Err(failure) => return Err(failure.to_string()),
    }
    match channel.depth(LOCK_QUEUE).await {
        Err(Failure::Refused(CloseReason { code: RESOURCE_LOCKED, .. })) => {
            Ok(RebuildStatus::Running)
        }
        Ok(_) | Err(Failure::Refused(CloseReason { code: NOT_FOUND, .. })) => {
            Ok(RebuildStatus::Interrupted)
        }
        Err(failure) => Err(failure.to_string()),
    }
}
