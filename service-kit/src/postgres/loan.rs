//! A connection that is lent for one piece of work, and what becomes of it when that is not done in time, or nobody wants it any more.

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::connection::Connection;
use super::database::{MARGIN, is_read_only};
use super::hosts::Hosts;

/// What a connection is lent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its statement may be cancelled.
    Reading,
    /// Its statement must not be cancelled.
    Writing,
}

/// A connection on loan. Unless it is settled it is closed, since whoever got it next would wait behind its statement; a statement that
/// reads is cancelled first.
#[derive(Debug)]
pub(super) struct Loan {
    purpose: Purpose,
    /// There until the loan ends.
    connection: Option<Connection>,
    hosts: Hosts,
    is_cancelled: AtomicBool,
}

impl Loan {
    pub(super) fn new(purpose: Purpose, connection: Connection, hosts: &Hosts) -> Self {
        let (connection, hosts) = (Some(connection), hosts.clone());
        Self { purpose, connection, hosts, is_cancelled: AtomicBool::new(false) }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a loan that has not ended")
    }

    /// Nothing is under way on it any more: the next one may have it, unless it is of no use.
    pub(super) fn settle<T>(mut self, result: &Result<T, Error>) {
        // The server may have been demoted: the next one may get a connection to the server that took over.
        let is_read_only = result.as_ref().is_err_and(is_read_only);
        // A request to cancel is carried out some time after it was sent, and would end the next one's statement.
        let is_of_no_use = is_read_only || *self.is_cancelled.get_mut();
        if let Some(connection) = self.connection.take().filter(|_| is_of_no_use) {
            close(connection);
        }
    }

    /// Its time is over: has the statement cancelled if it reads.
    pub(super) fn end_statement(&self) {
        if self.purpose == Purpose::Reading {
            self.is_cancelled.store(true, Ordering::Relaxed);
            self.hosts.cancel(&self.connection().object);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.purpose == Purpose::Writing {
            close(connection);
            return;
        }
        if !*self.is_cancelled.get_mut() {
            self.hosts.cancel(&connection.object);
        }
        self.hosts.spawn(quieten(connection));
    }
}

/// Closes the connection as soon as its statement has ended, so that the server has no more of them than the pool may make.
async fn quieten(connection: Connection) {
    // Answered behind the statement.
    if timeout(MARGIN, connection.ping()).await.is_err() {
        tracing::debug!("a statement was given up that the server may still be at");
    }
    close(connection);
}

/// Closes the connection, of which the pool then makes another one.
fn close(connection: Connection) {
    drop(Object::take(connection.object));
}
