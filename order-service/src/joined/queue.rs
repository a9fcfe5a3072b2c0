//! Where orders wait to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::metrics::Gauge;
use service_kit::http::Problem;
use service_kit::postgres::DatabaseError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use super::asked::Asked;
use super::line::Line;
use super::metrics;
use crate::idempotency::Once;

/// The shortest time that an order waits before it is put off: some commits, since whoever joins others has to wait for one.
const SHORTEST: Duration = Duration::from_millis(100);

/// What became of an order that was to be written with others.
#[derive(Debug)]
pub(crate) enum Written {
    /// It ended like this.
    Done(Once),
    /// Nothing was written, and it has to be written by itself.
    Alone(Asked),
}

/// Why an order was not written, or not for all that is known.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    /// Enough others wait.
    #[error("as many orders as may wait do so already")]
    Full,
    /// Its turn did not come in time.
    #[error("an order waited too long for its turn")]
    Late,
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
            WriteError::Full | WriteError::Late => {
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
pub(super) struct Waiting {
    pub(super) asked: Asked,
    answer: oneshot::Sender<Result<Written, WriteError>>,
    /// Who sets it decides: the line, that the order is written, or the client's side, that it has waited too long.
    decided: Arc<AtomicBool>,
}

impl Waiting {
    /// Whether it is to be written: not when nobody waits for it any more.
    pub(super) fn claim(&self) -> bool {
        !self.answer.is_closed() && !self.decided.swap(true, Ordering::AcqRel)
    }

    /// Splits it into what was asked and whoever waits for the answer.
    pub(super) fn into_parts(self) -> (Asked, Answer) {
        (self.asked, Answer(self.answer))
    }
}

/// Whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Answer(oneshot::Sender<Result<Written, WriteError>>);

impl Answer {
    /// Tells it. A client that has hung up misses it and nothing else.
    pub(super) fn tell(self, result: Result<Written, WriteError>) {
        if self.0.send(result).is_err() {
            tracing::debug!("an order was dealt with after its client had hung up");
        }
    }
}

/// The end of the queue where orders are put in. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Waiting>,
    waiting: Gauge,
    patience: Duration,
    alone: Arc<Semaphore>,
}

/// A queue of at most `size` orders, each of which waits for at most `patience`; `connections` is how many may be written by
/// themselves at a time.
pub(crate) fn queue(size: usize, patience: Duration, connections: usize) -> (Queue, Line) {
    let (sender, receiver) = mpsc::channel(size);
    let patience = patience.max(SHORTEST);
    metrics::describe();
    let (waiting, alone) = (metrics::waiting(), Arc::new(Semaphore::new(connections)));
    (Queue { sender, waiting: waiting.clone(), patience, alone }, Line::new(receiver, waiting))
}

impl Queue {
    /// Waits until the order is written together with those that wait at the same moment. Whoever stops waiting does no harm to
    /// the others.
    pub(crate) async fn write(&self, asked: Asked) -> Result<Written, WriteError> {
        let (answer, mut answered) = oneshot::channel();
        let decided = Arc::new(AtomicBool::new(false));
        let waiting = Waiting { asked, answer, decided: Arc::clone(&decided) };
        self.sender.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => WriteError::Full,
            TrySendError::Closed(_) => WriteError::Stopped,
        })?;
        self.waiting.increment(1.0);
        let told = match timeout(self.patience, &mut answered).await {
            Ok(told) => told,
            Err(_) if !decided.swap(true, Ordering::AcqRel) => return Err(WriteError::Late),
            Err(_) => answered.await,
        };
        told.unwrap_or(Err(WriteError::Stopped))
    }

    /// A turn to write an order by itself. A batch that is redone must not crowd the pool, or some of it would be put off.
    pub(crate) async fn alone(&self) -> Result<SemaphorePermit<'_>, WriteError> {
        metrics::alone();
        match timeout(self.patience, self.alone.acquire()).await {
            Ok(turn) => turn.map_err(|_| WriteError::Stopped),
            Err(_) => Err(WriteError::Late),
        }
    }
}
