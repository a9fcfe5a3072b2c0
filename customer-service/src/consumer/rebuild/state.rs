//! Which queues exist on the broker, and the preconditions of a rebuild.

use std::time::Duration;

use amqp::{Channel, CloseReason, Failure, QueueDepth};
use tokio::time::{Instant, sleep};

use super::lock::MOVING_QUEUE;
use crate::consumer::broker::{
    ACCESS_REFUSED, Broker, NOT_FOUND, PRECONDITION_FAILED, with_timeout,
};
use crate::consumer::topology::{
    EVENTS_EXCHANGE, RETRY_QUEUE, WORK_QUEUE, retry_arguments, work_arguments,
};

/// How long the broker may take to detect that a consumer is gone.
const MAX_DETECTION_TIME: Duration = Duration::from_secs(5);

/// The name of a stream that is never declared.
const PROBE: &str = "customer.orders_count.probe";

/// The state of the work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkQueue {
    Missing,
    /// It has the right arguments.
    Matches,
    /// It has other arguments, and which.
    Differs(String),
}

/// The state in which a run finds the two queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) work_queue: WorkQueue,
    /// Whether [`MOVING_QUEUE`] exists.
    pub(super) has_moving_queue: bool,
}

impl State {
    /// Asks the broker. Nothing changes: declaring an existing queue only compares it.
    pub(super) async fn find(broker: &Broker) -> Result<Self, String> {
        let has_moving_queue = depth(broker, MOVING_QUEUE).await?.is_some();
        let work_queue = if depth(broker, WORK_QUEUE).await?.is_none() {
            WorkQueue::Missing
        } else {
            let channel = broker.open_channel().await?;
            let declaring = with_timeout("answer", async {
                match channel.declare_queue(WORK_QUEUE, work_arguments()).await {
                    Err(Failure::Refused(CloseReason { code: PRECONDITION_FAILED, text })) => {
                        let differs = text.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(&text);
                        Ok(WorkQueue::Differs(differs.to_owned()))
                    }
                    declared => declared.map(|()| WorkQueue::Matches),
                }
            });
            declaring
                .await
                .map_err(|reason| format!("queue {WORK_QUEUE} can't be declared: {reason}"))?
        };
        Ok(Self { work_queue, has_moving_queue })
    }

    /// Whether there is nothing to do.
    pub(super) fn is_done(&self) -> bool {
        self.work_queue == WorkQueue::Matches && !self.has_moving_queue
    }
}

/// The messages and consumers of a queue, or `None` when it does not exist.
pub(super) async fn depth(broker: &Broker, queue: &str) -> Result<Option<QueueDepth>, String> {
    let channel = broker.open_channel().await?;
    let asked = with_timeout("answer", async {
        match channel.depth(queue).await {
            Err(Failure::Refused(CloseReason { code: NOT_FOUND, .. })) => Ok(None),
            asked => asked.map(Some),
        }
    });
    asked.await.map_err(|reason| format!("queue {queue} can't be asked for: {reason}"))
}

/// Awaits the broker's answer to a request. `what` begins the error.
pub(super) async fn request<T>(
    what: &str,
    response: impl Future<Output = Result<T, Failure>>,
) -> Result<T, String> {
    with_timeout("answer", response).await.map_err(|reason| format!("{what}: {reason}"))
}

/// Checks that a rebuild can begin, before anything is changed.
///
/// # Errors
/// Returns what hinders it and what to do.
pub(super) async fn check_preconditions(broker: &Broker, found: &State) -> Result<(), String> {
    for queue in [WORK_QUEUE, MOVING_QUEUE] {
        check_consumers(broker, queue).await?;
    }
    // Whatever its type: a queue can be bound to it.
    let channel = broker.open_channel().await?;
    let asked = with_timeout("answer", async {
        match channel.declare_exchange(EVENTS_EXCHANGE.into(), "topic", true).await {
            // Since RabbitMQ 4.2.6 a passive declaration needs the permission to configure the
            // exchange, and binding to it does not.
            Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED, .. })) => Ok(()),
            asked => asked,
        }
    });
    asked.await.map_err(|reason| {
        format!("the exchange {EVENTS_EXCHANGE} can't be used: {reason}. A consumer declares it, or a relay")
    })?;
    if matches!(found.work_queue, WorkQueue::Differs(_)) {
        check_retries(broker).await?;
    }
    Ok(())
}

async fn check_consumers(broker: &Broker, queue: &str) -> Result<(), String> {
    let deadline = Instant::now() + MAX_DETECTION_TIME;
    while let Some(QueueDepth { consumers: consumers @ 1.., .. }) = depth(broker, queue).await? {
        if Instant::now() > deadline {
            return Err(format!(
                "{queue} has {consumers} consumers: stop all consumers (rabbitmqctl list_consumers names their channels), then run this again"
            ));
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Checks that the retry queue keeps expired messages while there is no work queue.
async fn check_retries(broker: &Broker) -> Result<(), String> {
    if depth(broker, RETRY_QUEUE).await?.is_none() {
        return Ok(());
    }
    let channel = broker.open_channel().await?;
    let same = with_timeout("answer", channel.declare_queue(RETRY_QUEUE, retry_arguments())).await;
    same.map_err(|reason| {
        format!(
            "{RETRY_QUEUE} would lose what returns from it while there is no {WORK_QUEUE} ({reason}): wait until it is empty and delete it, then run this again"
        )
    })?;
    if lacks_stream_queues(broker).await? {
        return Err(format!(
            "the feature flag stream_queue is disabled: without it {RETRY_QUEUE} loses what returns from it while there is no {WORK_QUEUE}. \
             Enable it, then run this again: rabbitmqctl enable_feature_flag stream_queue"
        ));
    }
    Ok(())
}

/// Whether the feature flag `stream_queue` is disabled, without which RabbitMQ 3.10 does not
/// dead-letter at least once (<https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>). Later
/// versions can't disable it. AMQP does not show feature flags, but the error of declaring an
/// impossible stream does.
pub(in crate::consumer) async fn lacks_stream_queues(broker: &Broker) -> Result<bool, String> {
    // On a connection of its own, which the error may close.
    let mut probe = broker.separate_connection("customer-service: rebuild-queue probe");
    let (channel, _): (Channel, _) = probe.connect().await?;
    let asked = channel.declare_impossible_stream(PROBE).await;
    probe.drop_connection();
    match asked {
        Err(
            Failure::Refused(CloseReason { text, .. }) | Failure::Closed(CloseReason { text, .. }),
        ) => Ok(text.contains("feature flag")),
        // The answer says nothing of streams.
        _ => Ok(false),
    }
}
