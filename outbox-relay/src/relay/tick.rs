//! One turn of the loop.

use std::time::Instant;

use super::Relay;
use crate::inspector::Scope;
use crate::publish::window::BLOCKED;

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickOutcome {
    /// Events were settled; there may be more to do.
    Worked,
    /// Events are in flight.
    Busy,
    /// Nothing is due.
    Idle,
    /// Other relays own all lanes.
    StandingBy,
    /// The database or the broker can't be used for now.
    Unavailable,
}

impl Relay {
    /// Handles what has ended, and begins what can begin. Waits for the answers of a database that
    /// is connected, but never for the broker's, for a connection or for anything to become due.
    ///
    /// Has to be awaited to its end: if it is dropped before, events may be taken that nobody
    /// sends.
    pub async fn tick(&mut self) -> TickOutcome {
        let settled = self.drain_completions();
        self.database.poll_connected().await;
        self.broker.poll_connected().await;
        if let Some(event_refs) = self.inspector.take_found() {
            self.engine.add_suspects(&event_refs);
        }
        self.detect_losses();
        self.connect_database();
        self.connect_broker();
        self.reopen_settle_session();
        self.begin_settling();
        let outcome = match self.begin_work().await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.lose_database(&error.to_string());
                TickOutcome::Unavailable
            }
        };
        let (lanes, end) = (self.engine.lanes.open(), self.engine.scanner.low_watermark());
        let pauses = self.engine.pauses().clone();
        self.inspector.set_scope(Scope { lanes, end, pauses });
        if settled { TickOutcome::Worked } else { outcome }
    }

    fn detect_losses(&mut self) {
        if self.database.get().is_some_and(|database| database.is_closed()) {
            self.lose_database("the server closed the connection");
        }
        let ended = self.broker.get().and_then(|broker| broker.ended().map(str::to_owned));
        if let Some(reason) = ended {
            self.broker.mark_lost(&reason);
        }
        // Here, and not in `begin_work`, so that it is noticed whatever the database does
        // meanwhile.
        if self.broker.get().is_some_and(|broker| broker.is_blocked()) {
            self.broker.mark_blocked(BLOCKED);
        }
    }

    /// The session that holds the lanes is gone, and the lanes with it.
    fn lose_database(&mut self, reason: &str) {
        self.database.mark_failed(reason);
        self.sender.lose_lanes();
        self.seen_changes.lose_session();
        self.pauses.lose_session();
        self.engine.session_lost(Instant::now());
    }
}
