//! Batched reads: orders that are requested at the same moment are read by one statement. There is
//! no timer: requests gather while earlier statements run, and a single request is answered at
//! once.

use std::sync::Arc;

use service_kit::postgres::{Database, DatabaseError};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::{Order, OrderId};
use crate::metrics;
use crate::queries;

/// The most orders that one statement reads.
const MAX_ROWS: usize = 256;

/// Concurrent statements: while the server executes one, the results of the other are handed out.
const CONCURRENT_STATEMENTS: usize = 2;

type ReadResult = Result<Option<Order>, DatabaseError>;

/// A request for one order.
#[derive(Debug)]
struct ReadRequest {
    id: OrderId,
    responder: oneshot::Sender<ReadResult>,
}

impl ReadRequest {
    /// Sends the result; it is dropped if the client has disconnected.
    fn respond(self, result: ReadResult) {
        drop(self.responder.send(result));
    }
}

/// Reads single orders through the [`ReadBatcher`]. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct OrderReader {
    sender: Sender<ReadRequest>,
}

/// Answers the requests of [`OrderReader`]s in batches.
#[derive(Debug)]
pub(crate) struct ReadBatcher {
    receiver: Receiver<ReadRequest>,
}

/// Creates a reader and its batcher; at most `size` requests wait.
pub(crate) fn order_reader(size: usize) -> (OrderReader, ReadBatcher) {
    let (sender, receiver) = mpsc::channel(size);
    (OrderReader { sender }, ReadBatcher { receiver })
}

impl OrderReader {
    /// Returns an order. It waits for the running statements, each of which is bounded in time, and
    /// for its own.
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
    /// Answers requests until `shutdown`.
    pub(crate) async fn run(self, database: Database, shutdown: CancellationToken) {
        let receiver = Arc::new(Mutex::new(self.receiver));
        let mut readers = JoinSet::new();
        for _ in 0..CONCURRENT_STATEMENTS {
            readers.spawn(read_batches(Arc::clone(&receiver), database.clone()));
        }
        shutdown.run_until_cancelled(readers.join_all()).await;
    }
}

async fn read_batches(receiver: Arc<Mutex<Receiver<ReadRequest>>>, database: Database) {
    while let Some(mut batch) = next_batch(&receiver).await {
        batch.retain(|request| !request.responder.is_closed());
        if !batch.is_empty() {
            read_batch(&database, batch).await;
        }
    }
}

/// Waits for a request and takes all that are queued, up to [`MAX_ROWS`].
async fn next_batch(receiver: &Mutex<Receiver<ReadRequest>>) -> Option<Vec<ReadRequest>> {
    let mut receiver = receiver.lock().await;
    let mut batch = vec![receiver.recv().await?];
    // Lets tasks that are ready queue their requests first, which makes fuller batches at no cost.
    tokio::task::yield_now().await;
    while batch.len() < MAX_ROWS
        && let Ok(request) = receiver.try_recv()
    {
        batch.push(request);
    }
    Some(batch)
}

async fn read_batch(database: &Database, requests: Vec<ReadRequest>) {
    metrics::read_batch();
    let ids: Vec<OrderId> = requests.iter().map(|request| request.id).collect();
    let found = database
        .read("find_orders", async |connection| queries::find_orders(connection, &ids).await)
        .await;
    match found {
        Ok(orders) => {
            for request in requests {
                // Several requests may be for the same order.
                let order = orders.get(&request.id.0).cloned();
                request.respond(Ok(order));
            }
        }
        // It may be one row that can't be read; the other orders can.
        Err(DatabaseError::Refused(_)) if requests.len() > 1 => {
            read_one_by_one(database, requests).await;
        }
        Err(error) => {
            for request in requests {
                request.respond(Err(error.clone()));
            }
        }
    }
}

/// Reads orders one by one, until the database is unavailable.
async fn read_one_by_one(database: &Database, requests: Vec<ReadRequest>) {
    let mut outage = None;
    for request in requests {
        if request.responder.is_closed() {
            continue;
        }
        let found = match &outage {
            None => {
                database
                    .read("find_order", async |connection| {
                        queries::find_order(connection, request.id).await
                    })
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
