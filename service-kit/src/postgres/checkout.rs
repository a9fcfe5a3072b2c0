//! A connection that is lent for one piece of work, and what becomes of it when that is not done in time, or nobody wants it any more.

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::cancel::CANCEL_GRACE;
use super::connection::Connection;
use super::connector::PoolConnector;
use super::error::is_read_only;

/// What a connection is lent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Its statement may be cancelled.
    Read,
    /// Its statement must not be cancelled.
    Write,
}

/// A connection on loan. Unless it is settled it is closed, since whoever got it next would wait behind its statement; a statement that
/// reads is cancelled first.
#[derive(Debug)]
pub(super) struct Checkout {
    access: Access,
    /// There until the loan ends.
    connection: Option<Connection>,
    connector: PoolConnector,
    is_cancelled: AtomicBool,
}

impl Checkout {
    pub(super) fn new(access: Access, connection: Connection, connector: &PoolConnector) -> Self {
        let (connection, connector) = (Some(connection), connector.clone());
        Self { access, connection, connector, is_cancelled: AtomicBool::new(false) }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("the connection is taken only by release and drop")
    }

    /// Nothing is under way on it any more: the next one may have it, unless it is of no use.
    pub(super) fn release<T>(mut self, result: &Result<T, Error>) {
        // The server may have been demoted: the next one may get a connection to the server that took over.
        let is_read_only = result.as_ref().is_err_and(is_read_only);
        // A request to cancel is carried out some time after it was sent, and would end the next one's statement.
        let must_close = is_read_only || *self.is_cancelled.get_mut();
        if let Some(connection) = self.connection.take().filter(|_| must_close) {
            close(connection);
        }
    }

    /// Its time is over: has the statement cancelled if it reads.
    pub(super) fn cancel_read(&self) {
        if self.access == Access::Read {
            self.is_cancelled.store(true, Ordering::Relaxed);
            self.connector.cancel(&self.connection().object);
        }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.access == Access::Write {
            close(connection);
            return;
        }
        if !*self.is_cancelled.get_mut() {
            self.connector.cancel(&connection.object);
        }
        self.connector.spawn(close_after_statement(connection));
    }
}

/// Closes the connection as soon as its statement has ended, so that the server has no more of them than the pool may make.
async fn close_after_statement(connection: Connection) {
    // Answered behind the statement.
    if timeout(CANCEL_GRACE, connection.ping()).await.is_err() {
        tracing::debug!("a statement was given up that the server may still be at");
    }
    close(connection);
}

/// Closes the connection, of which the pool then makes another one.
fn close(connection: Connection) {
    drop(Object::take(connection.object));
}
