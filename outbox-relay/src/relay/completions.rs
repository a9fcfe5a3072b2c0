//! What the relay makes of what has ended since its last turn: windows that are published, outcomes that are noted.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;

use super::{Done, Relay};
use crate::database::{DatabaseError, SettleSession};
use crate::publish::Published;
use crate::publish::window::Loss;

impl Relay {
    /// Takes up what has ended meanwhile. Says whether the outcome of events was noted.
    pub(super) fn take_up(&mut self) -> bool {
        let mut settled = false;
        while let Some(done) = self.tasks.try_join_next() {
            settled |= self.take_up_one(done);
        }
        settled
    }

    pub(super) fn take_up_one(&mut self, done: Result<Done, JoinError>) -> bool {
        match done {
            Ok(Done::Published(published)) => {
                self.published(published);
                false
            }
            Ok(Done::Settled(mut settled)) => {
                self.engine.settled(&mut settled, Instant::now());
                self.look_after_settling(settled.result);
                !settled.places.is_empty()
            }
            Ok(Done::SettledAgain(mut settled)) => {
                self.engine.settled_again(&mut settled, Instant::now());
                self.look_after_settling(settled.result);
                !settled.places.is_empty()
            }
            Ok(Done::SettleSession(session)) => {
                self.reopened(session);
                false
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn published(&mut self, published: Published) {
        let Published { publisher, events, verdicts, unsent, lost } = published;
        self.engine.published(&events, &verdicts, &unsent, lost.as_ref(), Instant::now());
        // What ends after the connection was lost says nothing of the one that has taken its place.
        let Some(broker) = self.broker.get().filter(|broker| broker.owns(&publisher)) else {
            return;
        };
        match lost {
            // That it can be connected to again proves nothing.
            Some(Loss::Unconfirmed(reason)) => self.broker.failed(&reason),
            Some(loss) => self.broker.lost(loss.reason()),
            None => {
                broker.give_back(publisher);
                self.broker.works();
            }
        }
    }

    /// Looks after the session that settles, by what came of its latest statement.
    fn look_after_settling(&mut self, result: Result<(), DatabaseError>) {
        match result {
            Ok(()) => self.reopening.reset(),
            // The session is as good as any other. What it did not note is not sent again meanwhile.
            Err(error @ DatabaseError::CannotSettle(_)) => {
                self.database.hindered(&error.to_string());
            }
            Err(error) => {
                // The lanes are the other session's, and what waits is noted by the next one.
                tracing::warn!(%error, "the session that notes outcomes is lost: opening another");
                if let Some(database) = self.database.get() {
                    database.settle.session.give_up();
                }
            }
        }
    }

    fn reopened(&mut self, session: Result<SettleSession, DatabaseError>) {
        self.is_reopening = false;
        match (session, self.database.get()) {
            (Ok(session), Some(database)) => database.settle = Arc::new(session),
            (Ok(_), None) => (),
            (Err(error), _) => {
                tracing::warn!(%error, "no session could be opened that notes outcomes: trying again");
            }
        }
    }
}
