//! The queue of orders to write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use service_kit::postgres::DatabaseError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use crate::domain::OrderToWrite;
use crate::idempotency::CreateOutcome;
use crate::metrics;
use crate::phases::Phase;

/// The shortest `max_wait`: an order waits for the commit of the batch before its own, so this is a
/// few commits.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// What became of a queued order.
#[derive(Debug)]
pub(crate) enum BatchOutcome {
    /// It is decided.
    Done(CreateOutcome),
    /// It was not written with its batch, and has to be written on its own.
    RetryAlone(OrderToWrite),
}

/// Why an order was not written, or may not have been.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    /// The queue is full.
    #[error("the queue of orders is full")]
    QueueFull,
    /// The order waited too long.
    #[error("an order waited too long in the queue")]
    TimedOut,
    /// The writer has stopped.
    #[error("the process is stopping")]
    Stopped,
    /// The statement succeeded and stored no order.
    #[error("the database stored no order: is there a trigger on its table?")]
    NotStored,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// An order in the queue.
#[derive(Debug)]
pub(super) struct QueuedOrder {
    pub(super) order: OrderToWrite,
    responder: oneshot::Sender<Response>,
    /// Set once: by the reader, which then has the order written, or by the request, which then
    /// gives up.
    claimed: Arc<AtomicBool>,
    /// When the reader took the order with its batch; until then, when the order was queued.
    pub(super) taken_at: Instant,
}

/// The writer's answer to a request: the outcome of its order, when the reader took the order, and
/// when the writer answered.
#[derive(Debug)]
struct Response {
    result: Result<BatchOutcome, WriteError>,
    taken_at: Instant,
    responded_at: Instant,
}

impl QueuedOrder {
    /// Claims the order for writing. Returns false if its request has given up.
    pub(super) fn claim(&self) -> bool {
        !self.responder.is_closed() && !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Splits it into the order and the means to respond.
    pub(super) fn into_parts(self) -> (OrderToWrite, Responder) {
        (self.order, Responder { sender: self.responder, taken_at: self.taken_at })
    }
}

/// Sends the outcome to the request that waits for it.
#[derive(Debug)]
pub(super) struct Responder {
    sender: oneshot::Sender<Response>,
    taken_at: Instant,
}

impl Responder {
    /// Sends the outcome; it is dropped if the client has disconnected.
    pub(super) fn respond(self, result: Result<BatchOutcome, WriteError>) {
        let response = Response { result, taken_at: self.taken_at, responded_at: Instant::now() };
        if self.sender.send(response).is_err() {
            tracing::debug!("client disconnected before the response to its order");
        }
    }
}

/// The sending end of the queue. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct OrderQueue {
    sender: mpsc::Sender<QueuedOrder>,
    max_wait: Duration,
    single_writes: Arc<Semaphore>,
}

impl OrderQueue {
    /// Creates the queue; see [`queue`](fn@super::queue).
    pub(super) fn new(
        size: usize,
        max_wait: Duration,
        single_writes: usize,
    ) -> (Self, mpsc::Receiver<QueuedOrder>) {
        let (sender, receiver) = mpsc::channel(size);
        let max_wait = max_wait.max(MIN_WAIT);
        (
            Self { sender, max_wait, single_writes: Arc::new(Semaphore::new(single_writes)) },
            receiver,
        )
    }

    /// Queues the order and waits for its outcome. Dropping the future does not affect other
    /// orders.
    pub(crate) async fn write(&self, order: OrderToWrite) -> Result<BatchOutcome, WriteError> {
        let (responder, mut response) = oneshot::channel();
        let claimed = Arc::new(AtomicBool::new(false));
        let queued_at = Instant::now();
        let queued =
            QueuedOrder { order, responder, claimed: Arc::clone(&claimed), taken_at: queued_at };
        self.sender.try_send(queued).map_err(|error| match error {
            TrySendError::Full(_) => WriteError::QueueFull,
            TrySendError::Closed(_) => WriteError::Stopped,
        })?;
        metrics::order_enqueued();
        let outcome = match timeout(self.max_wait, &mut response).await {
            Ok(outcome) => outcome,
            Err(_) if !claimed.swap(true, Ordering::AcqRel) => {
                Phase::Queue.record(queued_at.elapsed());
                return Err(WriteError::TimedOut);
            }
            Err(_) => response.await,
        };
        let Ok(Response { result, taken_at, responded_at }) = outcome else {
            return Err(WriteError::Stopped);
        };
        Phase::Queue.record(taken_at - queued_at);
        Phase::Statement.record(responded_at - taken_at);
        Phase::Answer.record(responded_at.elapsed());
        result
    }

    /// Waits for a permit to write an order on its own. The permits keep a rejected batch, whose
    /// orders are all written again, from exhausting the pool.
    pub(crate) async fn acquire_single_write(&self) -> Result<SemaphorePermit<'_>, WriteError> {
        metrics::order_written_alone();
        match timeout(self.max_wait, self.single_writes.acquire()).await {
            Ok(permit) => permit.map_err(|_| WriteError::Stopped),
            Err(_) => Err(WriteError::TimedOut),
        }
    }
}
