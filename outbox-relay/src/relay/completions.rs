//! What is done when a task has ended.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;

use super::{Completion, Relay};
use crate::database::{DatabaseError, SettleSession};
use crate::publish::Published;
use crate::publish::window::Loss;

impl Relay {
    /// Handles all tasks that have ended. Returns whether events were settled.
    pub(super) fn drain_completions(&mut self) -> bool {
        let mut settled = false;
        while let Some(done) = self.tasks.try_join_next() {
            settled |= self.handle_completion(done);
        }
        settled
    }

    /// Handles a task that has ended. Returns whether it settled events.
    pub(super) fn handle_completion(&mut self, done: Result<Completion, JoinError>) -> bool {
        match done {
            Ok(Completion::Published(published)) => {
                self.published(published);
                false
            }
            Ok(Completion::Settled(mut settled)) => {
                self.engine.settled(&mut settled, Instant::now());
                self.check_settle_session(settled.result);
                !settled.event_refs.is_empty()
            }
            Ok(Completion::SettledAgain(mut settled)) => {
                self.engine.retry_settled(&mut settled, Instant::now());
                self.check_settle_session(settled.result);
                !settled.event_refs.is_empty()
            }
            Ok(Completion::SettleSession(session)) => {
                self.settle_session_opened(session);
                false
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn published(&mut self, published: Published) {
        let Published { publisher, events, verdicts, unsent, lost } = published;
        self.engine.window_completed(&events, &verdicts, &unsent, lost.as_ref(), Instant::now());
        // A window of a connection that was lost says nothing about the next one.
        let Some(broker) = self.broker.get().filter(|broker| broker.owns(&publisher)) else {
            return;
        };
        match lost {
            // That it can be opened again does not prove that the broker confirms.
            Some(Loss::Unconfirmed(reason)) => self.broker.mark_failed(&reason),
            Some(loss) => self.broker.mark_lost(loss.reason()),
            None => {
                broker.return_channel(publisher);
                self.broker.mark_healthy();
            }
        }
    }

    /// Replaces the session that settles, if its latest statement failed over it.
    fn check_settle_session(&mut self, result: Result<(), DatabaseError>) {
        match result {
            Ok(()) => self.reopen_backoff.reset(),
            // Another session would fare no better. What it did not settle is not sent again
            // meanwhile.
            Err(error @ DatabaseError::CannotSettle(_)) => {
                self.database.mark_blocked(&error.to_string());
            }
            Err(error) => {
                // The other session holds the lanes; the next one settles what waits.
                tracing::warn!(%error, "lost the session that settles events: opening another");
                if let Some(database) = self.database.get() {
                    database.settle.session.give_up();
                }
            }
        }
    }

    fn settle_session_opened(&mut self, session: Result<SettleSession, DatabaseError>) {
        self.is_reopening = false;
        match (session, self.database.get()) {
            (Ok(session), Some(database)) => database.settle = Arc::new(session),
            (Ok(_), None) => (),
            (Err(error), _) => {
                tracing::warn!(%error, "could not open a session to settle events: trying again");
            }
        }
    }
}
