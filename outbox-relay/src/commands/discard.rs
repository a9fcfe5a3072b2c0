//! `discard`: deletes events that are not to be published.

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::session::Purpose;
use super::signature::{ActorArgs, words};
use super::target::Target;
use super::untouched::{self, Untouched};
use super::{End, print, queries};

/// Arguments of `discard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Events that are published can't be discarded. What a relay has sent at that moment may still arrive."
)]
pub struct DiscardArgs {
    /// Events by their event_id
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", required = true)]
    event_ids: Vec<Uuid>,
    /// Why, for the audit table
    #[arg(long, value_name = "TEXT", value_parser = words, required = true)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Document {
    discarded: Vec<Uuid>,
    not_discarded: Vec<Untouched>,
}

impl DiscardArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("discard", Purpose::Change).await?;
        let signature = self.actor.sign(&session, Some(self.reason));
        let discarded = queries::discard(&session, &self.event_ids, &signature).await?;
        let not_discarded = untouched::of(&session, &self.event_ids, &discarded).await?;
        let end = if not_discarded.is_empty() { End::Well } else { End::Findings };
        if self.json {
            print::document(&Document { discarded, not_discarded })?;
            return Ok(end);
        }
        let (count, audit) = (discarded.len(), session.table().quoted("_audit"));
        print::text(&match count {
            0 => "0 events are discarded.\n".to_owned(),
            1 => format!("1 event is discarded; {audit} keeps a copy.\n"),
            _ => format!("{count} events are discarded; {audit} keeps a copy of each.\n"),
        })?;
        for event in &not_discarded {
            print::aside(&event.sentence("discarded", "somebody changed it meanwhile"));
        }
        Ok(end)
    }
}
