//! Asks relays how far they have sent an event.
//!
//! The question is a lock of a transaction, so that it ends with that, and also works behind a pool
//! in transaction mode; the answer is a lock of the relay's session. Neither writes anything.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::location::Relay;
use super::queries;
use crate::commands::session::Session;
use crate::publish::stage::Stage;

/// How long to wait for the answer. A relay looks for questions ten times a second, while it is idle
/// at least twice.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two looks for the answer.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// The relays that have not answered, by pid. None is waited for twice: they are of an older
/// release, frozen, or overloaded.
#[derive(Debug, Default)]
pub(super) struct SilentRelays(HashSet<i32>);

impl SilentRelays {
    /// Asks `relays` about the event with this id. None: not all have answered.
    pub(super) async fn ask(
        &mut self,
        session: &mut Session,
        relays: &[Relay],
        id: i64,
    ) -> anyhow::Result<Option<Stage>> {
        let pids: Vec<i32> = relays.iter().map(|relay| relay.pid).collect();
        let asked = pids.iter().filter(|pid| !self.0.contains(pid)).count();
        if asked == 0 {
            return Ok(None);
        }
        let begun = Instant::now();
        let mut answers = queries::begin_asking(session, id, &pids).await?;
        while answers.len() < asked && begun.elapsed() < TIMEOUT {
            sleep(POLL_INTERVAL).await;
            answers = queries::go_on_asking(session, id, &pids).await?;
        }
        session.commit().await?;
        self.0.extend(pids.iter().filter(|pid| !answers.contains_key(pid)));
        let mut stages = answers.values().copied();
        let sent = stages.clone().find(|stage| *stage == Stage::InFlight);
        let sent = sent.or_else(|| stages.find(|stage| *stage == Stage::InDoubt));
        let is_complete = answers.len() == pids.len();
        Ok(sent.or_else(|| is_complete.then_some(Stage::NotSent)))
    }
}
