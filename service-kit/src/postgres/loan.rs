//! A connection that is lent for one piece of work, and what becomes of it when that is not done in time, or nobody wants it any more.

use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connection::Connection;
use super::database::MARGIN;
use super::hosts::Hosts;

/// A connection on loan. Unless it is given back, its statement is cancelled and the connection closed: whoever got it next would wait
/// behind that statement.
#[derive(Debug)]
pub(super) struct Loan {
    /// There until the loan ends.
    connection: Option<Connection>,
    hosts: Hosts,
}

impl Loan {
    pub(super) fn new(connection: Connection, hosts: &Hosts) -> Self {
        Self { connection: Some(connection), hosts: hosts.clone() }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a loan that has not ended")
    }

    /// Nothing is under way on it: the next one may have it.
    pub(super) fn give_back(mut self) {
        self.connection = None;
    }

    /// Nobody is to have it any more.
    pub(super) fn discard(mut self) {
        if let Some(connection) = self.connection.take() {
            close(connection);
        }
    }

    /// Has the statement cancelled.
    pub(super) async fn cancel(&self) {
        self.hosts.cancel(&self.connection().object).await;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Without a runtime the process is about to end.
        if let (Some(connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) {
            runtime.spawn(quieten(connection, self.hosts.clone()));
        }
    }
}

/// Has the statement that is under way cancelled and closes the connection as soon as that has ended it, so that the server has no more
/// of them than the pool may make. No one else is to have it: a request to cancel is carried out some time after it was sent, and would
/// end the next one's statement when this one has just ended by itself.
async fn quieten(connection: Connection, hosts: Hosts) {
    let quiet = async {
        hosts.cancel(&connection.object).await;
        // Answered behind the statement.
        connection.ping().await
    };
    if timeout(MARGIN, quiet).await.is_err() {
        tracing::debug!("a statement was given up that the server may still be at");
    }
    close(connection);
}

/// Closes the connection, of which the pool then makes another one.
fn close(connection: Connection) {
    drop(Object::take(connection.object));
}
