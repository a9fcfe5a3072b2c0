//! `pause`: keeps relays from publishing some events for a while.

use std::time::Duration;

use anyhow::ensure;
use clap::{ArgGroup, Args};
use serde::Serialize;
use service_kit::config::duration_between;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::{ActorArgs, ConnectionArgs, single_line};
use super::outcome::{Outcome, UsageError};
use super::output;
use super::paused::{ActivePause, SelectorArgs};
use super::propagation::{ActiveRelays, UnconfirmedRelay};
use super::queries::{self, PauseEnd};
use super::session::Access;
use crate::pauses::Pause;

/// The shortest and the longest pause that has an end.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(24 * 365 * 10);

/// Arguments of `pause`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay pause [OPTIONS] [--type <TYPE>] [--aggregate-type <TYPE>] [--aggregate <ID>]\n       outbox-relay pause [OPTIONS] --all",
    after_help = "Examples:\n  outbox-relay pause --type order.created --for 30m --reason 'bad deploy'\n  outbox-relay pause --aggregate-type order --aggregate 4711\n  outbox-relay pause --all --until 2026-02-01T22:30:00Z",
    group = ArgGroup::new("which").required(true).multiple(true).args(["all", "event_type", "aggregate_type", "aggregate"])
)]
pub struct PauseArgs {
    #[command(flatten)]
    paused: SelectorArgs,
    /// All events
    #[arg(long, conflicts_with_all = ["event_type", "aggregate_type", "aggregate"])]
    all: bool,
    /// How long, such as 30m; without --for and --until, until somebody resumes it
    #[arg(long = "for", value_name = "DURATION", value_parser = duration_between(SHORTEST, LONGEST), conflicts_with = "until")]
    duration: Option<Duration>,
    /// Until when, such as 2026-02-01T22:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<OffsetDateTime>,
    /// The reason, for people and for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line)]
    reason: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

fn time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "it must be a time, such as 2026-02-01T22:30:00Z".to_owned())
}

#[derive(Serialize)]
struct PauseReport {
    pause: ActivePause,
    not_confirmed_by: Vec<UnconfirmedRelay>,
}

impl PauseArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let end = match (self.duration, self.until) {
            (Some(duration), _) => PauseEnd::After(duration.as_secs_f64()),
            (None, Some(time)) => {
                ensure!(
                    time > OffsetDateTime::now_utc(),
                    UsageError("--until is a time in the past: name a later one".to_owned())
                );
                PauseEnd::At(time)
            }
            (None, None) => PauseEnd::Never,
        };
        let session = self.connection.open("pause", Access::Write).await?;
        let attribution = self.actor.attribution(&session, self.reason);
        let relays = ActiveRelays::find(&session).await?;
        let named = Pause::from(self.paused);
        let (pause, audit_id): (ActivePause, i64) =
            queries::pause(&session, &named, end, &attribution).await?;
        let propagation = relays.wait_for_pauses(&session, audit_id).await?;
        let outcome = propagation.outcome(Outcome::Ok);
        if self.json {
            let not_confirmed_by = propagation.not_confirmed_by;
            output::json(&PauseReport { pause, not_confirmed_by })?;
            return Ok(outcome);
        }
        let until = match &pause.until {
            Some(until) => format!(" until {until}"),
            None => String::new(),
        };
        let (id, what) = (pause.id, pause.what());
        let what = output::escape::line(&what);
        output::text(&format!("{what} are paused{until}; outbox-relay resume {id} ends that.\n"))?;
        propagation.print("paused");
        Ok(outcome)
    }
}
