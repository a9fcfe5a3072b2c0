//! Joined reads: orders that are asked for at the same moment are read by one statement. There is no timer: while statements are
//! under way, the next questions gather; one that is alone goes at once.

use std::sync::Arc;

use service_kit::postgres::{Database, DatabaseError};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::{Order, OrderId};
use crate::metrics;
use crate::queries;

/// Orders that one statement reads at the most.
const MAX_ROWS: usize = 256;

/// Statements at once: while the server works at one, the answers to the other are handed out.
const CONCURRENT_STATEMENTS: usize = 2;

type ReadResult = Result<Option<Order>, DatabaseError>;

/// Somebody who waits for an order.
#[derive(Debug)]
struct ReadRequest {
    id: OrderId,
    responder: oneshot::Sender<ReadResult>,
}

impl ReadRequest {
    /// Tells the answer; whoever has hung up misses it.
    fn respond(self, result: ReadResult) {
        drop(self.responder.send(result));
    }
}

/// Where orders are asked for. Clones share the readers.
#[derive(Debug, Clone)]
pub(crate) struct OrderReader {
    sender: Sender<ReadRequest>,
}

/// The questions that wait for an answer.
#[derive(Debug)]
pub(crate) struct ReadBatcher {
    receiver: Receiver<ReadRequest>,
}

/// Room for `size` questions that wait.
pub(crate) fn order_reader(size: usize) -> (OrderReader, ReadBatcher) {
    let (sender, receiver) = mpsc::channel(size);
    (OrderReader { sender }, ReadBatcher { receiver })
}

impl OrderReader {
    /// One order. It waits for the statements that are under way, each of which is bounded in time, and for its own.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub(crate) async fn find(&self, id: OrderId) -> ReadResult {
        let (responder, response) = oneshot::channel();
        self.sender.try_send(ReadRequest { id, responder }).map_err(|_| DatabaseError::Busy)?;
        metrics::order_read();
        response.await.unwrap_or(Err(DatabaseError::Busy))
    }
}

impl ReadBatcher {
    /// Answers read requests until `shutdown`.
    pub(crate) async fn run(self, database: Database, shutdown: CancellationToken) {
        let receiver = Arc::new(Mutex::new(self.receiver));
        let mut readers = JoinSet::new();
        for _ in 0..CONCURRENT_STATEMENTS {
            readers.spawn(read_batches(Arc::clone(&receiver), database.clone()));
        }
        tokio::select! {
            _ = readers.join_all() => (),
            () = shutdown.cancelled() => (),
        }
    }
}

async fn read_batches(receiver: Arc<Mutex<Receiver<ReadRequest>>>, database: Database) {
    while let Some(mut waiting) = next_batch(&receiver).await {
        waiting.retain(|request| !request.responder.is_closed());
        if !waiting.is_empty() {
            read_batch(&database, waiting).await;
        }
    }
}

/// The questions that wait, one at least. The next reader's turn begins when this one has them.
async fn next_batch(receiver: &Mutex<Receiver<ReadRequest>>) -> Option<Vec<ReadRequest>> {
    let mut receiver = receiver.lock().await;
    let mut waiting = vec![receiver.recv().await?];
    // Requests that have come already put their requests first: that takes no longer when there are none, and saves statements.
    tokio::task::yield_now().await;
    while waiting.len() < MAX_ROWS
        && let Ok(request) = receiver.try_recv()
    {
        waiting.push(request);
    }
    Some(waiting)
}

async fn read_batch(database: &Database, requests: Vec<ReadRequest>) {
    metrics::orders_read_together();
    let ids: Vec<OrderId> = requests.iter().map(|request| request.id).collect();
    let found =
        database.read(async |connection| queries::find_orders(connection, &ids).await).await;
    match found {
        Ok(orders) => {
            for request in requests {
                // Several may ask for the same one.
                let order = orders.get(&request.id.0).cloned();
                request.respond(Ok(order));
            }
        }
        // It may be one row that can't be read: whoever asked for another one is to have it.
        Err(DatabaseError::Refused(_)) if requests.len() > 1 => {
            read_one_by_one(database, requests).await
        }
        Err(error) => {
            for request in requests {
                request.respond(Err(error.clone()));
            }
        }
    }
}

/// Answers one by one, as long as the database answers at all.
async fn read_one_by_one(database: &Database, requests: Vec<ReadRequest>) {
    let mut outage = None;
    for request in requests {
        if request.responder.is_closed() {
            continue;
        }
        let found = match &outage {
            None => {
                database
                    .read(async |connection| queries::find_order(connection, request.id).await)
                    .await
            }
            Some(error) => Err(DatabaseError::clone(error)),
        };
        if let Err(error @ (DatabaseError::Busy | DatabaseError::Unavailable(_))) = &found {
            outage = Some(error.clone());
        }
        request.respond(found);
    }
}
