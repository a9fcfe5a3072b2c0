//! `where`: where an event is, from the transaction that wrote it to each consumer.
//!
//! `places` are the places beside the outbox, of which `inboxes` are named in a file; `location` is
//! what they say about an event, `answer` what follows from that, `page` lays it out. `found` is
//! what the outbox says of the event, and `relays` asks the relay that has its lane, if it is due.
//! `reconcile` asks about all events of a time.

mod answer;
mod binding;
mod found;
mod inbox_reader;
pub(super) mod inboxes;
mod location;
mod page;
mod places;
mod queries;
mod reader;
pub(super) mod reconcile;
mod relays;

use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::args::{BlockingArgs, ConnectionArgs};
use super::event::{Event, State};
use super::outcome::Outcome;
use super::output::{self, OutputClosed};
use super::queries as outbox;
use super::session::{Access, Session};
use crate::database::queries::BlockingPolicy;
use crate::publish::stage::Stage;
use found::Found;
use inbox_reader::InboxReader;
use location::{Answer, Location, Places};
use places::PlacesArgs;
use relays::SilentRelays;

/// How many events of an aggregate are looked for, the newest ones.
const EVENT_LIMIT: i64 = 10;

/// How many rows are read in search of its published events: no index leads to them.
const SCAN_LIMIT: i64 = 100_000;

/// How many pending events behind an event are looked at, whether it holds them back.
const HELD_LIMIT: i64 = 10_000;

/// How many of those that it holds back are named.
const HELD_NAMED: i64 = 10;

/// Why dead letters are not looked for.
const NO_DESK: &str = "dead letters were not looked for: DEAD_LETTERS_DATABASE_URL is not set";

/// Arguments of `where`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay where 0190163d-8694-739b-aea5-966c26f8ad91\n  outbox-relay where order/7 --inboxes inboxes.toml"
)]
pub struct WhereArgs {
    /// The event_id of an event; or an aggregate, for its newest events
    #[arg(value_name = "EVENT_ID|AGGREGATE_TYPE/ID")]
    target: Target,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: PlacesArgs,
    #[command(flatten)]
    blocking: BlockingArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Event(Uuid),
    Aggregate { aggregate_type: String, aggregate_id: String },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(event_id) = text.parse() {
            return Ok(Self::Event(event_id));
        }
        let wrong = "it must be an event_id (a UUID), or an aggregate, such as order/7";
        let (aggregate_type, aggregate_id) = text.split_once('/').ok_or(wrong)?;
        let [aggregate_type, aggregate_id] = [aggregate_type, aggregate_id].map(str::to_owned);
        Ok(Self::Aggregate { aggregate_type, aggregate_id })
    }
}

#[derive(Serialize)]
struct WhereReport {
    /// The worst of all.
    answer: Answer,
    events: Vec<Location>,
}

impl WhereArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        match self.answer().await {
            Ok(answer) => Ok(answer.outcome()),
            Err(error) if error.is::<OutputClosed>() => Err(error),
            Err(error) => {
                output::error(&format!("{error:#}"));
                Ok(Outcome::Unknown)
            }
        }
    }

    async fn answer(&self) -> anyhow::Result<Answer> {
        let mut session = self.connection.open("where", Access::Read).await?;
        let event_ids = self.event_ids(&session).await?;
        let places = self.places.open("where").await;
        let (mut events, mut silent) = (Vec::new(), SilentRelays::default());
        for event_id in event_ids {
            let holding = self.blocking.into();
            let found = Found::find(&mut session, event_id, holding, &mut silent).await?;
            events.push(locate(&session, &places, event_id, holding, found).await?);
        }
        // There is one at least.
        let answer = events.iter().map(|event| event.answer).max().unwrap_or(Answer::Failed);
        if self.json {
            output::json(&WhereReport { answer, events })?;
        } else {
            let pages: Vec<String> = events.iter().map(page::render).collect();
            output::text(&pages.join("\n"))?;
        }
        Ok(answer)
    }

    async fn event_ids(&self, session: &Session) -> anyhow::Result<Vec<Uuid>> {
        let (aggregate_type, aggregate_id) = match &self.target {
            Target::Event(event_id) => return Ok(vec![*event_id]),
            Target::Aggregate { aggregate_type, aggregate_id } => (aggregate_type, aggregate_id),
        };
        let event_ids = queries::newest_of_aggregate(
            session,
            [aggregate_type, aggregate_id],
            EVENT_LIMIT,
            SCAN_LIMIT,
        )
        .await?;
        if event_ids.is_empty() {
            anyhow::bail!(
                "{} has no event of {aggregate_type} {aggregate_id} that is pending or among its newest {SCAN_LIMIT} rows: name an earlier one by its event_id",
                session.table()
            );
        }
        if i64::try_from(event_ids.len())? == EVENT_LIMIT {
            output::note(&format!("The newest {EVENT_LIMIT} events; there may be earlier ones."));
        }
        Ok(event_ids)
    }
}

impl PlacesArgs {
    /// Opens all places; of one that can't be opened, keeps the reason.
    async fn open(&self, command: &str) -> Places<'_> {
        let depths = self.count_messages().await;
        let mut inboxes = Vec::new();
        for inbox in self.inboxes() {
            let reader = InboxReader::open(inbox, command).await;
            inboxes.push((inbox, reader.map_err(|error| format!("{error:#}"))));
        }
        let desk = self.open_desk(command).await.map_err(|error| format!("{error:#}"));
        Places { depths, inboxes, desk }
    }
}

async fn locate(
    session: &Session,
    places: &Places<'_>,
    event_id: Uuid,
    holding: BlockingPolicy,
    found: Found,
) -> anyhow::Result<Location> {
    let Found { event: found, pauses, relay, idle_relays, stage, is_unsettled } = found;
    let event = found.as_ref().map(|located| &located.event);
    let limit = i64::try_from(page::NEIGHBOURS)?;
    let written_with = queries::find_written_with(session, event_id, limit).await?;
    let held = queries::find_held(session, event_id, holding, [HELD_LIMIT, HELD_NAMED]).await?;
    let is_behind_stuck = is_behind_stuck(session, event, holding).await?;
    let event_type = event.map(|event| event.event_type.as_str());
    let consumers = places.ask_consumers(event_id, event_type).await;
    let (dead_letters, dead_letters_unknown) = match &places.desk {
        Ok(None) if places.inboxes.is_empty() => (Vec::new(), None),
        Ok(None) => (Vec::new(), Some(NO_DESK.to_owned())),
        Ok(Some(desk)) => match desk.find(event_id).await {
            Ok(letters) => (letters, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        },
        Err(reason) => (Vec::new(), Some(reason.clone())),
    };
    // That a relay without the lane has not sent it tells nothing of the one that had it.
    let stage = stage.filter(|stage| relay.is_some() || !matches!(stage, Stage::NotSent));
    let mut location = Location {
        event_id,
        answer: Answer::Unknown,
        because: String::new(),
        event: found,
        written_with,
        held,
        is_behind_stuck,
        pauses,
        relay,
        idle_relays,
        is_unsettled,
        in_flight: stage.and_then(Stage::in_flight),
        stage,
        consumers,
        dead_letters,
        dead_letters_unknown,
    };
    location.decide();
    Ok(location)
}

/// Whether the event that holds another one back is stuck.
async fn is_behind_stuck(
    session: &Session,
    event: Option<&Event>,
    holding: BlockingPolicy,
) -> anyhow::Result<bool> {
    let Some(ahead) = event.and_then(|event| event.waits_behind) else {
        return Ok(false);
    };
    let ahead: Option<Event> =
        outbox::find_event(session, ahead, outbox::Contents::NONE, holding).await?;
    Ok(ahead.is_some_and(|ahead| ahead.state == State::Stuck))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_event_or_an_aggregate() {
        let event_id = Uuid::new_v4();
        assert_eq!(event_id.to_string().parse(), Ok(Target::Event(event_id)));
        let aggregate = |aggregate_type: &str, aggregate_id: &str| {
            let [aggregate_type, aggregate_id] = [aggregate_type, aggregate_id].map(str::to_owned);
            Target::Aggregate { aggregate_type, aggregate_id }
        };
        assert_eq!("order/7".parse(), Ok(aggregate("order", "7")));
        assert_eq!("order/a/b".parse(), Ok(aggregate("order", "a/b")));
        assert!("order".parse::<Target>().is_err());
    }
}
