//! The events that a command changes: found once, agreed to by the person, and then changed batch
//! by batch, with nothing among them that came since.

use std::collections::HashSet;

use anyhow::bail;
use serde::Serialize;
use uuid::Uuid;

use super::batches;
use super::event::{self, Event};
use super::output;
use super::queries::{self, Candidates, Changed, Conditions, Contents, EventKey, Filter};
use super::session::Session;
use super::skipped::{self, Eligible, SkipReason, SkippedEvent};
use crate::database::queries::BlockingPolicy;

/// The most events that one command changes: their ids are held in memory.
const LIMIT: usize = 1_000_000;

/// How many events a dry run shows.
pub(super) const EXAMPLES: usize = 10;

/// A dry run shows who waits behind whom as relays do by default.
pub(super) const POLICY: BlockingPolicy = BlockingPolicy { ordered: true, stuck_holds: true };

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Selection {
    /// What the events must still meet when they are changed.
    pub(super) conditions: Conditions,
    /// In the order of their ids.
    events: Vec<EventKey>,
    /// Whether a person named each of them.
    is_named: bool,
}

/// What a dry run found.
#[derive(Serialize)]
struct DryRun {
    matched: usize,
    /// For `--up-to-id`.
    up_to_id: Option<i64>,
    dry_run: bool,
    examples: Vec<Event>,
}

impl Selection {
    /// Finds the events that match now.
    pub(super) async fn matching(
        session: &Session,
        conditions: Conditions,
    ) -> anyhow::Result<Self> {
        let mut events = queries::select_events(session, &conditions, LIMIT + 1).await?;
        if events.len() > LIMIT {
            bail!(
                "more than {LIMIT} events match: change them in parts, by --type, --until or --up-to-id"
            );
        }
        events.sort_unstable_by_key(|event| event.id);
        Ok(Self { conditions, events, is_named: false })
    }

    /// Finds the events that a person named, whatever their state is.
    pub(super) async fn named(
        session: &Session,
        candidates: Candidates,
        event_ids: &[Uuid],
    ) -> anyhow::Result<Self> {
        let conditions = Conditions { filter: Filter::default(), candidates };
        let mut events = queries::find_ids(session, event_ids).await?;
        events.sort_unstable_by_key(|event| event.id);
        Ok(Self { conditions, events, is_named: true })
    }

    pub(super) const fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn event_ids(&self) -> Vec<Uuid> {
        self.events.iter().map(|event| event.event_id).collect()
    }

    /// Prints how many events would be, say, `retried`, and some of them.
    pub(super) async fn print_dry_run(
        mut self,
        session: &Session,
        changed: &str,
        json: bool,
    ) -> anyhow::Result<()> {
        if self.is_named {
            let ids = self.event_ids();
            let matching = queries::find_matching(session, &self.conditions, &ids).await?;
            let matching: HashSet<Uuid> = matching.into_iter().collect();
            self.events.retain(|event| matching.contains(&event.event_id));
        }
        let mut examples: Vec<Event> = Vec::new();
        for key in self.events.iter().take(EXAMPLES) {
            let contents = Contents::NONE;
            examples.extend(queries::find_event(session, key.event_id, contents, POLICY).await?);
        }
        let (matched, up_to_id) = (self.len(), self.events.last().map(|event| event.id));
        if json {
            return output::json(&DryRun { matched, up_to_id, dry_run: true, examples });
        }
        let plural = if matched == 1 { "event" } else { "events" };
        output::text(&format!("{matched} {plural} would be {changed}.\n"))?;
        if let Some(id) = up_to_id {
            output::text(&event::table(&examples))?;
            if matched > EXAMPLES {
                output::text(&format!("… and {} more\n", matched - EXAMPLES))?;
            }
            if !self.is_named {
                output::note(&format!("To change these: --expect {matched} --up-to-id {id}"));
            }
        }
        Ok(())
    }

    /// Changes the events with `change`, which adds those that it changed to its second argument.
    /// `json` says how progress is shown.
    pub(super) async fn change(
        &self,
        json: bool,
        change: impl AsyncFnMut(&[EventKey], &mut Changed) -> anyhow::Result<()>,
    ) -> anyhow::Result<ChangeResult> {
        batches::change(&self.events, "event", json, change).await
    }

    /// Returns why events were not changed: those that a person `named`, or that were selected.
    pub(super) async fn skipped(
        &self,
        session: &Session,
        named: &[Uuid],
        result: &ChangeResult,
        eligible: Eligible,
    ) -> anyhow::Result<Vec<SkippedEvent>> {
        let refused = result.refused.iter();
        let refused =
            refused.map(|(event, reason)| SkippedEvent::refused(event.event_id, reason.clone()));
        if result.is_ended() {
            // Which is why the rest was not tried.
            return Ok(refused.collect());
        }
        let tried = result.changed.iter().map(|(event_id, _)| *event_id);
        let tried = tried.chain(result.refused.iter().map(|(event, _)| event.event_id));
        let mut skipped = skipped::find(session, named, tried, eligible).await?;
        let locked = skipped.iter().filter(|event| event.reason == SkipReason::Locked);
        let locked: Vec<Uuid> = locked.map(|event| event.event_id).collect();
        if !locked.is_empty() {
            let matching = queries::find_matching(session, &self.conditions, &locked).await?;
            let matching: HashSet<Uuid> = matching.into_iter().collect();
            let locked = skipped.iter_mut().filter(|event| event.reason == SkipReason::Locked);
            for changed in locked.filter(|event| !matching.contains(&event.event_id)) {
                changed.no_longer_matches();
            }
        }
        skipped.extend(refused);
        Ok(skipped)
    }
}

/// What became of a change of events.
pub(super) type ChangeResult = batches::ChangeResult<EventKey, (Uuid, i64)>;

/// Those of `events` that are not among `changed`.
pub(super) fn without(events: &[EventKey], changed: &Changed) -> Vec<EventKey> {
    let changed: HashSet<Uuid> = changed.iter().map(|(event_id, _)| *event_id).collect();
    events.iter().copied().filter(|event| !changed.contains(&event.event_id)).collect()
}
