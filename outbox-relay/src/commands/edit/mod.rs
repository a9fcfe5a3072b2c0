//! `edit`: changes what a pending event will be as a message.
//!
//! | module | what it does |
//! |---|---|
//! | `contents` | the contents that a person gives, as files or as one document |
//! | `json` | finds what is wrong with JSON, and where |
//! | `editor`, `interactive` | has a person edit the document in an editor |
//! | `signals` | what is sent to the command meanwhile must not leave the document behind |
//! | `preview` | finds out whether the edited event could be a message |
//! | `queries` | one function per statement |

mod contents;
mod editor;
mod interactive;
pub(super) mod json;
mod preview;
mod queries;
mod signals;

use std::io::{IsTerminal as _, stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, single_line};
use super::outcome::{Outcome, UsageError};
use super::output;
use super::propagation::{ActiveRelays, Propagation};
use super::queries::{Attribution, Changed, find_unsettled_published};
use super::session::{Access, Session};
use super::skipped::{self, Eligible};
use crate::config::RelayArgs;
use contents::Edit;
use preview::Preview;

pub(super) use contents::{Invalid, LONGEST, digest};
pub(super) use editor::{EditedFile, EditorArgs};
pub(super) use interactive::ask_again;
pub(super) use queries::find_digest;
pub(super) use signals::{Signals, Terminated};

/// How often to try a locked event, and the pause in between. A relay that settles an event holds
/// its lock for less time.
const ATTEMPTS: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `edit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay edit 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'a wrong price' --retry\n  outbox-relay edit 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'headers repaired' --headers-file headers.json"
)]
pub struct EditArgs {
    /// The event_id of the event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID")]
    event_id: Uuid,
    /// A file that holds the new payload; -: standard input
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// A file that holds the new headers; -: standard input
    #[arg(long, value_name = "FILE")]
    headers_file: Option<PathBuf>,
    /// The new event type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// When to publish an event that was never tried, such as 2026-02-01T22:30:00Z; infinity: not
    /// before somebody retries it
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "retry")]
    at: Option<String>,
    /// Make the event due as well if it is stuck or waits for its time
    #[arg(long)]
    retry: bool,
    /// Change nothing unless the event is as it was when `show --json` printed this digest
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    if_unchanged: Option<String>,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line, required = true)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    editor: EditorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    relay: RelayArgs,
}

fn time(text: &str) -> Result<String, String> {
    if text == "infinity" || OffsetDateTime::parse(text, &Rfc3339).is_ok() {
        return Ok(text.to_owned());
    }
    Err("it must be a time, such as 2026-02-01T22:30:00Z, or infinity".to_owned())
}

#[derive(Serialize)]
struct EditReport {
    edited: Vec<Uuid>,
    changed: Vec<String>,
    retried: bool,
    #[serde(flatten)]
    propagation: Propagation,
}

/// What became of an edit.
#[derive(Debug)]
enum Edited {
    /// Nothing differs from what is stored.
    Unchanged,
    /// It is stored, and relays may still have the event as it was before.
    Stored { preview: Preview, propagation: Propagation },
}

impl EditArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let files = [self.payload_file.as_deref(), self.headers_file.as_deref()];
        let is_typed = files == [None, None] && self.event_type.is_none() && self.at.is_none();
        if is_typed && !(stdin().is_terminal() && stdout().is_terminal()) {
            return Err(UsageError(
                "edit opens an editor, but standard input and output are no terminal: give the new contents with --payload-file, --headers-file or --type, or the time with --at"
                    .to_owned(),
            )
            .into());
        }
        let given = Edit::read(files, self.event_type.clone(), self.at.clone())?;
        let session = self.connection.open("edit", Access::Write).await?;
        session.require_operations()?;
        // Before a person has begun to edit.
        queries::probe_edit(&session).await?;
        let expected = self.if_unchanged.as_deref();
        let now = queries::find_digest(&session, self.event_id, None).await?;
        if expected.zip(now.as_deref()).is_some_and(|(expected, now)| expected != now) {
            return Err(changed_meanwhile(self.event_id));
        }
        let attribution = self.actor.clone().attribution(&session, Some(self.reason.clone()));
        let edited = if is_typed {
            interactive::edit(&session, &self, &attribution).await?
        } else {
            let preview = preview::preview(&session, self.event_id, &given, &self.relay).await?;
            self.store(&session, &given, preview, expected, &attribution).await?
        };
        self.report(edited)
    }

    /// Stores the edit, if the event still is as it was `shown`, or else as the preview found it.
    async fn store(
        &self,
        session: &Session,
        edit: &Edit,
        preview: Preview,
        shown: Option<&str>,
        attribution: &Attribution,
    ) -> anyhow::Result<Edited> {
        if preview.changed.is_empty() && !(self.retry && preview.is_held_back) {
            return Ok(Edited::Unchanged);
        }
        let digest = shown.unwrap_or(&preview.digest);
        let relays = ActiveRelays::find(session).await?;
        // Of an event that the broker has confirmed, the contents of before are what was published.
        let confirmed = find_unsettled_published(session, &[self.event_id]).await?;
        let changed = self.write(session, edit, digest, attribution).await?;
        let mut propagation = relays.wait_for(session, &changed).await?;
        propagation.add_in_flight(confirmed);
        Ok(Edited::Stored { preview, propagation })
    }

    /// Writes the edit, trying again while the event is locked.
    async fn write(
        &self,
        session: &Session,
        edit: &Edit,
        digest: &str,
        attribution: &Attribution,
    ) -> anyhow::Result<Changed> {
        let (event_id, retry) = (self.event_id, self.retry);
        for attempt in 1.. {
            let changed =
                queries::edit(session, event_id, edit, digest, retry, attribution).await?;
            if !changed.is_empty() {
                return Ok(changed);
            }
            match queries::find_digest(session, event_id, None).await? {
                Some(now) if now != digest => return Err(changed_meanwhile(event_id)),
                Some(_) if attempt < ATTEMPTS => sleep(RETRY_INTERVAL).await,
                _ => break,
            }
        }
        Err(not_editable(session, event_id).await?)
    }

    fn report(&self, edited: Edited) -> anyhow::Result<Outcome> {
        let Edited::Stored { preview, propagation } = edited else {
            if self.json {
                let propagation = Propagation::default();
                let (edited, changed) = (Vec::new(), Vec::new());
                output::json(&EditReport { edited, changed, retried: false, propagation })?;
            } else {
                output::text("Nothing is changed: the event is like that already.\n")?;
            }
            return Ok(Outcome::Ok);
        };
        let outcome = propagation.outcome(Outcome::Ok);
        let (event_id, changed) = (self.event_id, preview.changed);
        let retried = self.retry && preview.is_held_back;
        if self.json {
            let edited = vec![event_id];
            output::json(&EditReport { edited, changed, retried, propagation })?;
            return Ok(outcome);
        }
        output::text(&match (changed.is_empty(), retried) {
            (true, _) => "Nothing is changed; the event is due again.\n".to_owned(),
            (false, true) => {
                format!("The event is edited ({}), and it is due again.\n", changed.join(", "))
            }
            (false, false) => format!("The event is edited ({}).\n", changed.join(", ")),
        })?;
        propagation.print("edited");
        if preview.is_held_back && !retried && self.at.is_none() {
            let is = if preview.is_scheduled { "waits for its time" } else { "is held back" };
            output::note(&format!(
                "{event_id} {is}, as before: outbox-relay retry {event_id} makes it due"
            ));
        }
        Ok(outcome)
    }
}

fn changed_meanwhile(event_id: Uuid) -> anyhow::Error {
    anyhow!(
        "{event_id} was not edited: somebody else changed it meanwhile; see outbox-relay show {event_id}"
    )
}

/// Returns why a pending event can't be edited, or is none.
async fn not_editable(session: &Session, event_id: Uuid) -> anyhow::Result<anyhow::Error> {
    let skipped = skipped::find(session, &[event_id], [], Eligible::Pending).await?;
    let sentence =
        skipped.first().map(|event| event.sentence("edited", "it was changed meanwhile"));
    Ok(anyhow!(sentence.unwrap_or_default()))
}
