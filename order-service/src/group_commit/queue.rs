//! Where orders wait to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service_kit::http::Problem;
use service_kit::postgres::DatabaseError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use crate::domain::PendingOrder;
use crate::idempotency::CreateOutcome;
use crate::metrics;

/// The shortest time that an order waits before it is put off: some commits, since whoever joins others has to wait for one.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// What became of an order that was to be written with others.
#[derive(Debug)]
pub(crate) enum BatchOutcome {
    /// It ended like this.
    Done(CreateOutcome),
    /// Nothing was written, and it has to be written by itself.
    RetryAlone(PendingOrder),
}

/// Why an order was not written, or not for all that is known.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    /// Enough others wait.
    #[error("as many orders as may wait do so already")]
    QueueFull,
    /// Its turn did not come in time.
    #[error("an order waited too long for its turn")]
    TimedOut,
    /// Nobody writes any more.
    #[error("the process is stopping")]
    Stopped,
    /// See there.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::QueueFull | WriteError::TimedOut => {
                Self::unavailable("Too many orders at once; try again soon.", error)
            }
            WriteError::Stopped => {
                Self::unavailable("The service is stopping; try again soon.", error)
            }
            WriteError::Database(error) => error.into(),
        }
    }
}

/// One order in the queue.
#[derive(Debug)]
pub(super) struct QueuedOrder {
    pub(super) pending: PendingOrder,
    responder: oneshot::Sender<Result<BatchOutcome, WriteError>>,
    /// Who sets it decides: the reader, that the order is written, or the client's side, that it has waited too long.
    claimed: Arc<AtomicBool>,
}

impl QueuedOrder {
    /// Whether it is to be written: not when nobody waits for it any more.
    pub(super) fn claim(&self) -> bool {
        !self.responder.is_closed() && !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Splits it into the order and whoever waits for the answer.
    pub(super) fn into_parts(self) -> (PendingOrder, Responder) {
        (self.pending, Responder(self.responder))
    }
}

/// Whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Responder(oneshot::Sender<Result<BatchOutcome, WriteError>>);

impl Responder {
    /// Tells it. A client that has hung up misses it and nothing else.
    pub(super) fn respond(self, result: Result<BatchOutcome, WriteError>) {
        if self.0.send(result).is_err() {
            tracing::debug!("an order was dealt with after its client had hung up");
        }
    }
}

/// The end of the queue where orders are put in. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct OrderQueue {
    sender: mpsc::Sender<QueuedOrder>,
    max_wait: Duration,
    single_writes: Arc<Semaphore>,
}

impl OrderQueue {
    /// A queue of at most `size` orders, each of which waits for at most `max_wait`, and its other end; `single_writes` is how many
    /// may be written by themselves at a time.
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

    /// Waits until the order is written together with those that wait at the same moment. Whoever stops waiting does no harm to
    /// the others.
    pub(crate) async fn write(&self, pending: PendingOrder) -> Result<BatchOutcome, WriteError> {
        let (responder, mut response) = oneshot::channel();
        let claimed = Arc::new(AtomicBool::new(false));
        let queued = QueuedOrder { pending, responder, claimed: Arc::clone(&claimed) };
        self.sender.try_send(queued).map_err(|error| match error {
            TrySendError::Full(_) => WriteError::QueueFull,
            TrySendError::Closed(_) => WriteError::Stopped,
        })?;
        metrics::order_enqueued();
        let responded = match timeout(self.max_wait, &mut response).await {
            Ok(responded) => responded,
            Err(_) if !claimed.swap(true, Ordering::AcqRel) => return Err(WriteError::TimedOut),
            Err(_) => response.await,
        };
        responded.unwrap_or(Err(WriteError::Stopped))
    }

    /// A turn to write an order by itself. A batch that is redone must not crowd the pool, or some of it would be put off.
    pub(crate) async fn acquire_single_write(&self) -> Result<SemaphorePermit<'_>, WriteError> {
        metrics::order_written_alone();
        match timeout(self.max_wait, self.single_writes.acquire()).await {
            Ok(turn) => turn.map_err(|_| WriteError::Stopped),
            Err(_) => Err(WriteError::TimedOut),
        }
    }
}
