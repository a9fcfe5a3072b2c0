//! Waits until every relay at work has confirmed that it holds nothing of some events from before they were changed.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::holders::Holder;
use super::queries::{self, Acknowledgement, Changed};
use super::session::Session;
use super::{End, print};
use crate::relay::acknowledgements::MAX_REPORTED;

/// How long relays are waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// How long a command waits before it says for whom.
const QUIET: Duration = Duration::from_secs(2);

/// How often to look.
const EVERY: Duration = Duration::from_millis(30);

/// Why a relay did not confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Silence {
    /// It is of a release that confirms no changes.
    OlderRelease,
    /// It did not confirm within [`LONGEST`].
    Late,
    /// Its session ended before it confirmed.
    Gone,
}

/// A relay that did not confirm.
#[derive(Debug, Serialize)]
pub(super) struct Silent {
    #[serde(flatten)]
    relay: Holder,
    why: Silence,
}

impl Silent {
    fn sentence(&self) -> String {
        let (relay, limit) = (&self.relay, LONGEST.as_secs());
        match self.why {
            Silence::OlderRelease => format!(
                "{relay} does not say whether it has seen the change (an older release?): it may still send what was changed as it was before"
            ),
            Silence::Late => format!(
                "{relay} did not confirm within {limit} s that it has seen the change: it may still send what was changed as it was before"
            ),
            Silence::Gone => format!(
                "{relay} ended before it confirmed that it has seen the change: what it had sent may still arrive as it was before"
            ),
        }
    }
}

/// Which relays confirmed a change, and what they had sent before it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Acknowledged {
    /// Events that were with the broker already.
    pub(super) in_flight: Vec<Uuid>,
    pub(super) not_confirmed_by: Vec<Silent>,
}

impl Acknowledged {
    /// Adds events that were with the broker before any relay at work now knew of them.
    pub(super) fn add_in_flight(&mut self, event_ids: impl IntoIterator<Item = Uuid>) {
        for event_id in event_ids {
            if !self.in_flight.contains(&event_id) {
                self.in_flight.push(event_id);
            }
        }
    }

    /// How the command ends that would end with `end` otherwise.
    pub(super) fn end(&self, end: End) -> End {
        let all_said = self.in_flight.is_empty() && self.not_confirmed_by.is_empty();
        if all_said { end } else { End::MayStillArrive }
    }

    /// Tells of events that were, say, `discarded`, and of relays.
    pub(super) fn tell(&self, done: &str) {
        for event_id in &self.in_flight {
            print::aside(&format!(
                "{event_id} is {done}, but in flight: it may still arrive, or has arrived"
            ));
        }
        for silent in &self.not_confirmed_by {
            print::aside(&silent.sentence());
        }
    }
}

/// The relays at work before something is changed.
#[derive(Debug)]
pub(super) struct Relays(BTreeMap<i32, Acknowledgement>);

impl Relays {
    pub(super) async fn at_work(session: &Session) -> anyhow::Result<Self> {
        Ok(Self(by_pid(queries::watch_acknowledgements(session, 0, &[]).await?)))
    }

    /// Waits until all have confirmed the latest row of `changed`, in vain for a while at most.
    pub(super) async fn acknowledge(
        mut self,
        session: &Session,
        changed: &Changed,
    ) -> anyhow::Result<Acknowledged> {
        let Some(latest) = changed.iter().map(|(_, audit_id)| *audit_id).max() else {
            return Ok(Acknowledged::default());
        };
        for relay in self.0.values_mut() {
            relay.confirmed = false;
        }
        let (begun, mut shown) = (Instant::now(), false);
        let silent = loop {
            let known: Vec<i32> = self.0.keys().copied().collect();
            let at_work = by_pid(queries::watch_acknowledgements(session, latest, &known).await?);
            let silent = self.silent(&at_work);
            let waits = at_work.values().any(|relay| !relay.confirmed);
            // What a relay says of itself when it has gone is what it said last.
            self.0.extend(at_work);
            if !waits || begun.elapsed() >= LONGEST {
                break silent;
            }
            if stderr().is_terminal() && begun.elapsed() >= QUIET {
                let names: Vec<String> =
                    silent.iter().map(|silent| silent.relay.to_string()).collect();
                print::over_line(&format!("waiting for {} to confirm", names.join(", ")));
                shown = true;
            }
            sleep(EVERY).await;
        };
        if shown {
            print::over_line("");
        }
        let in_flight = changed.iter().filter(|(_, audit_id)| self.had_sent(*audit_id));
        let in_flight = in_flight.map(|(event_id, _)| *event_id).collect();
        Ok(Acknowledged { in_flight, not_confirmed_by: silent })
    }

    /// Those that have not confirmed, by what was known before and by who is `at_work` now.
    fn silent(&self, at_work: &BTreeMap<i32, Acknowledgement>) -> Vec<Silent> {
        let gone = self.0.values().filter(|relay| !at_work.contains_key(&relay.pid));
        let gone = gone.map(|relay| (relay, Silence::Gone));
        let late = at_work.values().map(|relay| {
            (relay, if relay.has_said { Silence::Late } else { Silence::OlderRelease })
        });
        gone.chain(late)
            .filter(|(relay, _)| !relay.confirmed)
            .map(|(relay, why)| Silent {
                relay: Holder { pid: Some(relay.pid), name: relay.name.clone() },
                why,
            })
            .collect()
    }

    /// Whether a relay had sent the event of an audit row. One that tells of more than it can name may have sent any.
    fn had_sent(&self, audit_id: i64) -> bool {
        let key = audit_id & i64::from(i32::MAX);
        let mut told = self.0.values().map(|relay| &relay.in_flight);
        told.any(|told| told.len() > MAX_REPORTED || told.contains(&key))
    }
}

fn by_pid(relays: Vec<Acknowledgement>) -> BTreeMap<i32, Acknowledgement> {
    relays.into_iter().map(|relay| (relay.pid, relay)).collect()
}
