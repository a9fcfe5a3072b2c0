//! What there is on the broker.

use std::time::Duration;

use service_kit::amqp::{Channel, Depth, Failure, Goodbye};
use tokio::time::{Instant, sleep};

use super::lock::MOVING_QUEUE;
use crate::consumer::broker::{
    ACCESS_REFUSED, Broker, NOT_FOUND, PRECONDITION_FAILED, with_timeout,
};
use crate::consumer::topology::{
    EVENTS_EXCHANGE, RETRY_QUEUE, WORK_QUEUE, retry_arguments, work_arguments,
};

/// How long the broker may take to notice that a consumer is gone.
const MAX_DETECTION_TIME: Duration = Duration::from_secs(5);

/// The name of a stream that is never made.
const PROBE: &str = "customer.orders_count.probe";

/// The work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkQueue {
    Missing,
    /// As it should be.
    Matches,
    /// With other arguments, and which.
    Differs(String),
}

/// The two queues, as a run finds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) work_queue: WorkQueue,
    /// Whether the queue is there that holds messages meanwhile.
    pub(super) has_moving_queue: bool,
}

impl State {
    /// Asks the broker. Changes nothing: a declaration of a queue that is there only compares.
    pub(super) async fn find(broker: &Broker) -> Result<Self, String> {
        let has_moving_queue = depth(broker, MOVING_QUEUE).await?.is_some();
        let work_queue = if depth(broker, WORK_QUEUE).await?.is_none() {
            WorkQueue::Missing
        } else {
            let channel = broker.open_channel().await?;
            let declaring = with_timeout("answer", async {
                match channel.declare_queue(WORK_QUEUE, work_arguments()).await {
                    Err(Failure::Refused(Goodbye { code: PRECONDITION_FAILED, said })) => {
                        let differs = said.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(&said);
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

    /// Whether the work queue is as it should be and nothing lies elsewhere.
    pub(super) fn is_done(&self) -> bool {
        self.work_queue == WorkQueue::Matches && !self.has_moving_queue
    }
}

/// What a queue holds; none when there is no such queue.
pub(super) async fn depth(broker: &Broker, queue: &str) -> Result<Option<Depth>, String> {
    let channel = broker.open_channel().await?;
    let asked = with_timeout("answer", async {
        match channel.depth(queue).await {
            Err(Failure::Refused(Goodbye { code: NOT_FOUND, .. })) => Ok(None),
            asked => asked.map(Some),
        }
    });
    asked.await.map_err(|reason| format!("queue {queue} can't be asked for: {reason}"))
}

/// Awaits the answer to a request. An error begins with `what` failed.
pub(super) async fn request<T>(
    what: &str,
    response: impl Future<Output = Result<T, Failure>>,
) -> Result<T, String> {
    with_timeout("answer", response).await.map_err(|reason| format!("{what}: {reason}"))
}

/// What has to hold before anything is changed.
///
/// # Errors
/// With a sentence that says what does not, and what to do.
pub(super) async fn check_preconditions(broker: &Broker, found: &State) -> Result<(), String> {
    for queue in [WORK_QUEUE, MOVING_QUEUE] {
        check_consumers(broker, queue).await?;
    }
    // It is there, whatever it is, or there is nothing to bind to.
    let channel = broker.open_channel().await?;
    let asked = with_timeout("answer", async {
        match channel.declare_exchange(EVENTS_EXCHANGE.into(), "topic", true).await {
            // RabbitMQ 4.2.6 and later tell only those who may configure it; to bind to it takes less.
            Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED, .. })) => Ok(()),
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
    while let Some(Depth { consumers: consumers @ 1.., .. }) = depth(broker, queue).await? {
        if Instant::now() > deadline {
            return Err(format!(
                "{queue} has {consumers} consumers: stop all consumers (rabbitmqctl list_consumers names their channels), then run this again"
            ));
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// While there is no work queue, the retry queue has to keep what comes to its time.
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

/// RabbitMQ 3.10 dead-letters at least once only where streams are switched on
/// (<https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>); later versions can't switch them off. No broker tells of its feature flags by AMQP, but one without
/// streams refuses a stream in another way than one that is not durable.
pub(in crate::consumer) async fn lacks_stream_queues(broker: &Broker) -> Result<bool, String> {
    // On a connection of its own: the refusal may end that.
    let mut apart = broker.separate_connection("customer-service: rebuild-queue probe");
    let (channel, _): (Channel, _) = apart.connect().await?;
    let asked = channel.declare_impossible_stream(PROBE).await;
    apart.drop_connection();
    match asked {
        Err(Failure::Refused(Goodbye { said, .. }) | Failure::Closed(Goodbye { said, .. })) => {
            Ok(said.contains("feature flag"))
        }
        // It says nothing of streams.
        _ => Ok(false),
    }
}
