//! `dead-letters edit`: changes the body or headers of an open dead letter.
//!
//! | module | what it does |
//! |---|---|
//! | `contents` | what a person changes, as options or as one text |
//! | `interactive` | has a person edit the text in an editor |
//! | `queries` | one function per statement |

mod contents;
mod interactive;
mod queries;

use std::io::{IsTerminal as _, stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use super::args::DeskArgs;
use super::tables::Session;
use crate::commands::args::{ActorArgs, single_line};
use crate::commands::edit::{EditorArgs, digest};
use crate::commands::outcome::{Outcome, UsageError};
use crate::commands::output;
use crate::commands::queries::Attribution;
use crate::commands::session::Access;
use contents::{LetterEdit, NewHeader, new_header, object};
use queries::Contents;

/// The maximum size of contents that are opened in an editor, in bytes.
const EDITOR_LIMIT: i64 = 16 << 20;

/// How often to try a locked dead letter, and the pause in between.
const ATTEMPTS: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `dead-letters edit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay dead-letters edit 17 --reason 'a wrong price'\n  outbox-relay dead-letters edit 17 --reason 'a wrong price' --body-file body.json --header x-repaired=yes"
)]
pub struct EditArgs {
    /// The id of the dead letter
    #[arg(value_name = "ID", id = "ID")]
    id: i64,
    /// A file that holds the new body; -: standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// A header with its new value, a string; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = new_header)]
    header: Vec<NewHeader>,
    /// A header that is removed; may be repeated
    #[arg(long, value_name = "NAME")]
    remove_header: Vec<String>,
    /// Change nothing unless the dead letter is as it was when `show --json` printed this digest
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
    desk: DeskArgs,
}

#[derive(Serialize)]
struct EditReport {
    edited: Vec<i64>,
    changed: Vec<String>,
}

/// Returns the hash of the contents of an open dead letter, unless its body has more than `most`
/// bytes.
pub(super) async fn find_digest(
    session: &Session,
    id: i64,
    most: Option<i32>,
) -> anyhow::Result<Option<String>> {
    let contents = queries::find_contents(session, id, -1, most).await?;
    Ok(contents.filter(|contents| contents.state == "open").map(|contents| contents.digest))
}

/// What became of an edit.
#[derive(Debug)]
enum Edited {
    /// Nothing differs from what is stored.
    Unchanged,
    /// The edit is stored; the names of the changed parts.
    Stored(Vec<String>),
}

impl EditArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let is_typed =
            self.body_file.is_none() && self.header.is_empty() && self.remove_header.is_empty();
        if is_typed && !(stdin().is_terminal() && stdout().is_terminal()) {
            return Err(UsageError(
                "edit opens an editor, but standard input and output are no terminal: give the changes with --body-file, --header or --remove-header"
                    .to_owned(),
            )
            .into());
        }
        let given = LetterEdit::read(self.body_file.as_deref(), &self.header, &self.remove_header)?;
        let session = self.desk.open("edit", Access::Write).await?;
        // A missing privilege is reported before anybody edits in vain.
        queries::probe_edit(&session).await?;
        let attribution = self.actor.clone().attribution(&session, Some(self.reason.clone()));
        let limit = if is_typed { EDITOR_LIMIT } else { i64::MAX };
        let contents = self.find_open(&session, limit).await?;
        if self.if_unchanged.as_ref().is_some_and(|expected| *expected != contents.digest) {
            return Err(self.changed_meanwhile());
        }
        let edited = if is_typed {
            interactive::edit(&session, &self, contents, &attribution).await?
        } else {
            let given = given.without_unchanged(&contents.body, &object(&contents.headers)?)?;
            self.store(&session, &contents, given, &attribution).await?
        };
        let changed = match edited {
            Edited::Unchanged => Vec::new(),
            Edited::Stored(changed) => changed,
        };
        if self.json {
            let edited = if changed.is_empty() { Vec::new() } else { vec![self.id] };
            output::json(&EditReport { edited, changed })?;
        } else if changed.is_empty() {
            output::text("Nothing is changed: the dead letter is like that already.\n")?;
        } else {
            let changed = output::escape::line(&changed.join(", ")).into_owned();
            output::text(&format!("The dead letter is edited ({changed}).\n"))?;
            output::note(&format!("outbox-relay dead-letters return {} returns it.", self.id));
        }
        Ok(Outcome::Ok)
    }

    fn changed_meanwhile(&self) -> anyhow::Error {
        let id = self.id;
        anyhow!(
            "{id} was not edited: somebody else changed it meanwhile; see outbox-relay dead-letters show {id}"
        )
    }

    /// Returns the contents of the dead letter. Fails unless it is open.
    async fn find_open(&self, session: &Session, limit: i64) -> anyhow::Result<Contents> {
        let id = self.id;
        let contents =
            queries::find_contents(session, id, limit, None).await?.ok_or_else(|| {
                anyhow!(
                    "there is no dead letter {id}: it never existed, or retention has deleted it"
                )
            })?;
        if contents.state != "open" {
            bail!(
                "{id} is {}, and only an open dead letter is edited; see outbox-relay dead-letters show {id}",
                contents.state
            );
        }
        Ok(contents)
    }

    /// Stores the edit, unless the dead letter has changed since it was read. Retries while it is
    /// locked.
    async fn store(
        &self,
        session: &Session,
        contents: &Contents,
        edit: LetterEdit,
        attribution: &Attribution,
    ) -> anyhow::Result<Edited> {
        if edit.is_empty() {
            return Ok(Edited::Unchanged);
        }
        let (id, digest) = (self.id, contents.digest.as_str());
        let body_size = edit.body.as_ref().map_or(usize::try_from(contents.body_size)?, Vec::len);
        let header = edit.content_header(&contents.content_header, body_size)?;
        for attempt in 1.. {
            if queries::edit(session, id, &edit, &header, digest, attribution).await? {
                return Ok(Edited::Stored(edit.changed()));
            }
            // -1 leaves out the contents: only the hash is needed.
            let now = self.find_open(session, -1).await?;
            if now.digest != digest {
                return Err(self.changed_meanwhile());
            }
            if attempt >= ATTEMPTS {
                break;
            }
            sleep(RETRY_INTERVAL).await;
        }
        bail!("{id} was not edited: somebody else is changing it, or returning it")
    }
}
