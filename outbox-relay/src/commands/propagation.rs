//! Waits until every active relay has seen a change, so that none still holds a changed event as it
//! was before.

use std::collections::{BTreeMap, HashSet};
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

/// How many events in flight are printed.
const PRINT_LIMIT: usize = 20;

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
    /// Its release does not know pauses, or it may not read them.
    IgnoresPauses,
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
            UnconfirmedReason::IgnoresPauses => format!(
                "{relay} does not respect pauses (an older release, or a role that may not read them?): it publishes what is paused"
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
        let mut known: HashSet<Uuid> = self.in_flight.iter().copied().collect();
        self.in_flight.extend(event_ids.into_iter().filter(|event_id| known.insert(*event_id)));
    }

    /// Returns `outcome`, or [`Outcome::MayStillArrive`] if all was done and a changed event may. A
    /// script that takes that status for done must not overlook events that were not changed.
    pub(super) fn outcome(&self, outcome: Outcome) -> Outcome {
        let is_complete = self.in_flight.is_empty() && self.not_confirmed_by.is_empty();
        if is_complete || outcome == Outcome::Problems { outcome } else { Outcome::MayStillArrive }
    }

    /// Prints a note for each event in flight that was, say, `discarded`, and for each relay that
    /// did not confirm.
    pub(super) fn print(&self, changed: &str) {
        for event_id in self.in_flight.iter().take(PRINT_LIMIT) {
            output::note(&format!(
                "{event_id} is {changed}, but in flight: it may still arrive, or has arrived"
            ));
        }
        if self.in_flight.len() > PRINT_LIMIT {
            let more = self.in_flight.len() - PRINT_LIMIT;
            output::note(&format!("… and {more} more are {changed}, but in flight"));
        }
        for unconfirmed in &self.not_confirmed_by {
            output::note(&unconfirmed.sentence());
        }
    }
}

/// The relays that were active before a change, by pid.
#[derive(Debug)]
pub(super) struct ActiveRelays {
    relays: BTreeMap<i32, RelayProgress>,
    /// The lower 31 bits of the ids of the audit rows whose events any relay had sent.
    sent: HashSet<i64>,
    /// Whether a relay reported more events than it can name.
    may_have_sent_any: bool,
}

impl ActiveRelays {
    pub(super) async fn find(session: &Session) -> anyhow::Result<Self> {
        let relays = by_pid(queries::watch_relays(session, 0, &[]).await?);
        Ok(Self { relays, sent: HashSet::new(), may_have_sent_any: false })
    }

    /// Keeps what the relays report by now, as they forget a report after half a minute: to be
    /// called during a change that takes longer.
    pub(super) async fn keep_reports(&mut self, session: &Session) -> anyhow::Result<()> {
        let active = self.watch(session, 0).await?;
        self.relays.extend(active);
        Ok(())
    }

    /// Returns the relays that are active now, and keeps what they report.
    async fn watch(
        &mut self,
        session: &Session,
        audit_id: i64,
    ) -> anyhow::Result<BTreeMap<i32, RelayProgress>> {
        let known_pids: Vec<i32> = self.relays.keys().copied().collect();
        let active = by_pid(queries::watch_relays(session, audit_id, &known_pids).await?);
        for relay in active.values() {
            self.sent.extend(&relay.in_flight);
            self.may_have_sent_any |= relay.in_flight.len() > MAX_REPORTED;
        }
        Ok(active)
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
        for relay in self.relays.values_mut() {
            relay.has_seen = false;
        }
        let (start, mut shown) = (Instant::now(), false);
        let unconfirmed = loop {
            let active = self.watch(session, latest).await?;
            let unconfirmed = self.unconfirmed(&active);
            let must_wait = active.values().any(|relay| !relay.has_seen);
            self.relays.extend(active);
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

    /// As [`wait_for`](Self::wait_for) for a change of the pauses, of which `audit_id` is the audit
    /// row. Relays that don't respect pauses have not confirmed it.
    pub(super) async fn wait_for_pauses(
        self,
        session: &Session,
        audit_id: i64,
    ) -> anyhow::Result<Propagation> {
        let mut propagation = self.wait_for(session, &vec![(Uuid::nil(), audit_id)]).await?;
        for relay in queries::watch_relays(session, audit_id, &[]).await? {
            if relay.respects_pauses {
                continue;
            }
            let unconfirmed = &mut propagation.not_confirmed_by;
            unconfirmed.retain(|other| other.relay.pid != Some(relay.pid));
            unconfirmed.push(UnconfirmedRelay {
                relay: Backend { pid: Some(relay.pid), name: relay.name },
                reason: UnconfirmedReason::IgnoresPauses,
            });
        }
        Ok(propagation)
    }

    /// Returns the relays that have not confirmed: of those known before, and of those `active`
    /// now.
    fn unconfirmed(&self, active: &BTreeMap<i32, RelayProgress>) -> Vec<UnconfirmedRelay> {
        let gone = self.relays.values().filter(|relay| !active.contains_key(&relay.pid));
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
        self.may_have_sent_any || self.sent.contains(&(audit_id & i64::from(i32::MAX)))
    }
}

fn by_pid(relays: Vec<RelayProgress>) -> BTreeMap<i32, RelayProgress> {
    relays.into_iter().map(|relay| (relay.pid, relay)).collect()
}
