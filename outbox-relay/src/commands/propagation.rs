//! Waits until every active relay has seen a change, so that none still holds a changed event as it
//! was before.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::outcome::Outcome;
use super::output;
use super::queries::{self, Changed, RelayProgress};
use super::session::{Backend, Session};
use crate::relay::seen_changes::MAX_REPORTED;

/// How long to wait for the relays.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before a terminal shows for which relays.
const PROGRESS_DELAY: Duration = Duration::from_secs(2);

/// The pause between two looks at the relays.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Why a relay did not confirm a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum UnconfirmedReason {
    /// Its release does not confirm changes.
    OlderRelease,
    /// It did not confirm within [`TIMEOUT`].
    Late,
    /// Its session ended before it confirmed.
    Gone,
}

/// A relay that did not confirm a change.
#[derive(Debug, Serialize)]
pub(super) struct UnconfirmedRelay {
    #[serde(flatten)]
    relay: Backend,
    #[serde(rename = "why")]
    reason: UnconfirmedReason,
}

impl UnconfirmedRelay {
    fn sentence(&self) -> String {
        let (relay, limit) = (&self.relay, TIMEOUT.as_secs());
        match self.reason {
            UnconfirmedReason::OlderRelease => format!(
                "{relay} does not report whether it has seen the change (an older release?): it may still send events as they were before"
            ),
            UnconfirmedReason::Late => format!(
                "{relay} did not confirm within {limit} s that it has seen the change: it may still send events as they were before"
            ),
            UnconfirmedReason::Gone => format!(
                "{relay} ended before it confirmed that it has seen the change: events that it had sent may still arrive as they were before"
            ),
        }
    }
}

/// How far a change has reached the relays.
#[derive(Debug, Default, Serialize)]
pub(super) struct Propagation {
    /// Changed events that had been sent before.
    pub(super) in_flight: Vec<Uuid>,
    pub(super) not_confirmed_by: Vec<UnconfirmedRelay>,
}

impl Propagation {
    /// Adds events that were sent by relays that are no longer active.
    pub(super) fn add_in_flight(&mut self, event_ids: impl IntoIterator<Item = Uuid>) {
        for event_id in event_ids {
            if !self.in_flight.contains(&event_id) {
                self.in_flight.push(event_id);
            }
        }
    }

    /// Returns `outcome`, or [`Outcome::MayStillArrive`] if a changed event may.
    pub(super) fn outcome(&self, outcome: Outcome) -> Outcome {
        let is_complete = self.in_flight.is_empty() && self.not_confirmed_by.is_empty();
        if is_complete { outcome } else { Outcome::MayStillArrive }
    }

    /// Prints a note for each event in flight that was, say, `discarded`, and for each relay that
    /// did not confirm.
    pub(super) fn print(&self, changed: &str) {
        for event_id in &self.in_flight {
            output::note(&format!(
                "{event_id} is {changed}, but in flight: it may still arrive, or has arrived"
            ));
        }
        for unconfirmed in &self.not_confirmed_by {
            output::note(&unconfirmed.sentence());
        }
    }
}

/// The relays that were active before a change, by pid.
#[derive(Debug)]
pub(super) struct ActiveRelays(BTreeMap<i32, RelayProgress>);

impl ActiveRelays {
    pub(super) async fn find(session: &Session) -> anyhow::Result<Self> {
        Ok(Self(by_pid(queries::watch_relays(session, 0, &[]).await?)))
    }

    /// Waits until all have seen the latest of the `changed` events, for [`TIMEOUT`] at most.
    pub(super) async fn wait_for(
        mut self,
        session: &Session,
        changed: &Changed,
    ) -> anyhow::Result<Propagation> {
        let Some(latest) = changed.iter().map(|(_, audit_id)| *audit_id).max() else {
            return Ok(Propagation::default());
        };
        for relay in self.0.values_mut() {
            relay.has_seen = false;
        }
        let (start, mut shown) = (Instant::now(), false);
        let unconfirmed = loop {
            let known_pids: Vec<i32> = self.0.keys().copied().collect();
            let active = by_pid(queries::watch_relays(session, latest, &known_pids).await?);
            let unconfirmed = self.unconfirmed(&active);
            let must_wait = active.values().any(|relay| !relay.has_seen);
            // A relay that has gone keeps its last report.
            self.0.extend(active);
            if !must_wait || start.elapsed() >= TIMEOUT {
                break unconfirmed;
            }
            if stderr().is_terminal() && start.elapsed() >= PROGRESS_DELAY {
                let names: Vec<String> =
                    unconfirmed.iter().map(|unconfirmed| unconfirmed.relay.to_string()).collect();
                output::overwrite_line(&format!("waiting for {} to confirm", names.join(", ")));
                shown = true;
            }
            sleep(POLL_INTERVAL).await;
        };
        if shown {
            output::overwrite_line("");
        }
        let in_flight = changed.iter().filter(|(_, audit_id)| self.had_sent(*audit_id));
        let in_flight = in_flight.map(|(event_id, _)| *event_id).collect();
        Ok(Propagation { in_flight, not_confirmed_by: unconfirmed })
    }

    /// Returns the relays that have not confirmed: of those known before, and of those `active`
    /// now.
    fn unconfirmed(&self, active: &BTreeMap<i32, RelayProgress>) -> Vec<UnconfirmedRelay> {
        let gone = self.0.values().filter(|relay| !active.contains_key(&relay.pid));
        let gone = gone.map(|relay| (relay, UnconfirmedReason::Gone));
        let late = active.values().map(|relay| {
            let reason = if relay.reports {
                UnconfirmedReason::Late
            } else {
                UnconfirmedReason::OlderRelease
            };
            (relay, reason)
        });
        gone.chain(late)
            .filter(|(relay, _)| !relay.has_seen)
            .map(|(relay, reason)| UnconfirmedRelay {
                relay: Backend { pid: Some(relay.pid), name: relay.name.clone() },
                reason,
            })
            .collect()
    }

    /// Returns true if a relay had sent the event of an audit row. A relay that reports more such
    /// events than it can name may have sent any.
    fn had_sent(&self, audit_id: i64) -> bool {
        let key = audit_id & i64::from(i32::MAX);
        let mut reported = self.0.values().map(|relay| &relay.in_flight);
        reported.any(|reported| reported.len() > MAX_REPORTED || reported.contains(&key))
    }
}

fn by_pid(relays: Vec<RelayProgress>) -> BTreeMap<i32, RelayProgress> {
    relays.into_iter().map(|relay| (relay.pid, relay)).collect()
}
