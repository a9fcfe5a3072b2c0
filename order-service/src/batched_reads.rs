//! Joined reads: orders that are asked for at the same moment are read by one statement. There is no timer: while statements are
//! under way, the next questions gather; one that is alone goes at once.

use std::sync::Arc;

use metrics::{counter, describe_counter};
use service_kit::postgres::{Database, DatabaseError};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::{Order, OrderId};
use crate::queries;

/// Orders that one statement reads at the most.
const MAX_ROWS: usize = 256;

/// Statements at once: while the server works at one, the answers to the other are handed out.
const READERS: usize = 2;

const READS: &str = "order_reads_total";
const BATCHES: &str = "order_read_batches_total";

type Answer = Result<Option<Order>, DatabaseError>;

/// Somebody who waits for an order.
#[derive(Debug)]
struct Question {
    id: OrderId,
    answer: oneshot::Sender<Answer>,
}

impl Question {
    /// Tells the answer; whoever has hung up misses it.
    fn tell(self, answer: Answer) {
        drop(self.answer.send(answer));
    }
}

/// Where orders are asked for. Clones share the readers.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    sender: Sender<Question>,
}

/// The questions that wait for an answer.
#[derive(Debug)]
pub(crate) struct Questions {
    receiver: Receiver<Question>,
}

/// Room for `size` questions that wait.
pub(crate) fn reads(size: usize) -> (Reads, Questions) {
    describe_counter!(READS, "Single orders that were asked for");
    describe_counter!(
        BATCHES,
        "Statements that read orders which were asked for at the same moment; reads by batches is the mean size"
    );
    for name in [READS, BATCHES] {
        counter!(name).increment(0);
    }
    let (sender, receiver) = mpsc::channel(size);
    (Reads { sender }, Questions { receiver })
}

impl Reads {
    /// One order. It waits for the statements that are under way, each of which is bounded in time, and for its own.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub(crate) async fn find(&self, id: OrderId) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(Question { id, answer }).map_err(|_| DatabaseError::Busy)?;
        counter!(READS).increment(1);
        answered.await.unwrap_or(Err(DatabaseError::Busy))
    }
}

/// Answers questions until `shutdown`.
pub(crate) async fn read(questions: Questions, database: Database, shutdown: CancellationToken) {
    let receiver = Arc::new(Mutex::new(questions.receiver));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(answer_all(Arc::clone(&receiver), database.clone()));
    }
    tokio::select! {
        _ = readers.join_all() => (),
        () = shutdown.cancelled() => (),
    }
}

async fn answer_all(receiver: Arc<Mutex<Receiver<Question>>>, database: Database) {
    while let Some(mut waiting) = gather(&receiver).await {
        waiting.retain(|question| !question.answer.is_closed());
        if !waiting.is_empty() {
            answer(&database, waiting).await;
        }
    }
}

/// The questions that wait, one at least. The next reader's turn begins when this one has them.
async fn gather(receiver: &Mutex<Receiver<Question>>) -> Option<Vec<Question>> {
    let mut receiver = receiver.lock().await;
    let mut waiting = vec![receiver.recv().await?];
    // Requests that have come already put their questions first: that takes no longer when there are none, and saves statements.
    tokio::task::yield_now().await;
    while waiting.len() < MAX_ROWS
        && let Ok(question) = receiver.try_recv()
    {
        waiting.push(question);
    }
    Some(waiting)
}

async fn answer(database: &Database, questions: Vec<Question>) {
    counter!(BATCHES).increment(1);
    let ids: Vec<OrderId> = questions.iter().map(|question| question.id).collect();
    let found =
        database.read(async |connection| queries::find_orders(connection, &ids).await).await;
    match found {
        Ok(orders) => {
            for question in questions {
                // Several may ask for the same one.
                let order = orders.get(&question.id.0).cloned();
                question.tell(Ok(order));
            }
        }
        // It may be one row that can't be read: whoever asked for another one is to have it.
        Err(DatabaseError::Refused(_)) if questions.len() > 1 => alone(database, questions).await,
        Err(error) => {
            for question in questions {
                question.tell(Err(error.clone()));
            }
        }
    }
}

/// Answers one by one, as long as the database answers at all.
async fn alone(database: &Database, questions: Vec<Question>) {
    let mut unwell = None;
    for question in questions {
        if question.answer.is_closed() {
            continue;
        }
        let found = match &unwell {
            None => {
                database
                    .read(async |connection| queries::find_order(connection, question.id).await)
                    .await
            }
            Some(error) => Err(DatabaseError::clone(error)),
        };
        if let Err(error @ (DatabaseError::Busy | DatabaseError::Unavailable(_))) = &found {
            unwell = Some(error.clone());
        }
        question.tell(found);
    }
}
