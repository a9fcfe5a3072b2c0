//! A connection checked out of the pool for one piece of work, and its cleanup if the work takes
//! too long or its future is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::cancel::CANCEL_GRACE;
use super::connection::Connection;
use super::connector::PoolConnector;
use super::error::is_read_only;

/// Whether the work may be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The statement may be cancelled.
    Read,
    /// The statement must not be cancelled.
    Write,
}

/// A checked-out connection. Unless it is released, it is closed, as its next user would wait for
/// its statement; a read is cancelled first.
#[derive(Debug)]
pub(super) struct Checkout {
    access: Access,
    /// `None` only after release or drop.
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

    /// Returns the connection to the pool after its statement has ended, or closes it if it can't
    /// be reused.
    pub(super) fn release<T>(mut self, result: &Result<T, Error>) {
        // The server may have been demoted: a new connection reaches the server that took over.
        let is_read_only = result.as_ref().is_err_and(is_read_only);
        // A cancel request may be processed late, and would cancel the next user's statement.
        let must_close = is_read_only || *self.is_cancelled.get_mut();
        if let Some(connection) = self.connection.take().filter(|_| must_close) {
            close(connection);
        }
    }

    /// Cancels the statement after its time limit, if it is a read.
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

/// Closes the connection once its statement has ended, so that the server never has more
/// connections than the pool may open.
async fn close_after_statement(connection: Connection) {
    // Answered after the statement.
    if timeout(CANCEL_GRACE, connection.ping()).await.is_err() {
        tracing::debug!("an abandoned statement may still be running");
    }
    close(connection);
}

/// Closes the connection, which the pool then replaces.
fn close(connection: Connection) {
    drop(Object::take(connection.object));
}
