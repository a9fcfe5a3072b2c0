//! `dead-letters groups`: what consumers could not process, by cause.

use std::fmt::Write as _;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::{Deserialize, Serialize};

use super::args::{DeskArgs, KINDS};
use super::list::note_returning;
use super::queries;
use crate::cause::Fingerprint;
use crate::commands::outcome::Outcome;
use crate::commands::output::{self, BOLD, escape};
use crate::commands::session::Access;

/// The maximum number of dead letters that are counted, over all groups.
const COUNT_LIMIT: i64 = 50_000;

/// How many groups are read, ordered by queue, kind and fingerprint; the largest of them are
/// printed. One more than --limit allows, to know whether there are more.
const GROUP_LIMIT: i64 = 501;

/// How many characters of a reason are printed.
const REASON_LIMIT: usize = 300;

/// Arguments of `dead-letters groups`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outbox-relay dead-letters groups --queue customer.orders_count.dlq"
)]
pub struct GroupsArgs {
    /// Only those from this dead-letter queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Only those that died in this way
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: Option<String>,
    /// The maximum number of groups
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500), value_name = "N")]
    limit: u16,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

/// Open dead letters of one queue with one cause and one type.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    queue: String,
    kind: String,
    fingerprint: String,
    /// The common form of the reasons, without ids, numbers and quoted values.
    #[serde(default)]
    cause: String,
    event_type: String,
    messages: i64,
    /// Whether counting stopped at `messages`: there may be more.
    is_capped: bool,
    /// How many of the counted ones had been returned before.
    returned_before: i64,
    oldest_collected_at: String,
    newest_collected_at: String,
    /// The highest id in the group, for `--up-to-id`.
    up_to_id: i64,
    example_id: i64,
    example_reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct GroupReport {
    groups: Vec<Group>,
    /// Whether there are more groups.
    has_more: bool,
    /// Whether more than `GROUP_LIMIT` groups exist, so that a larger one may be missing.
    is_cut: bool,
    /// How many are `returning`: a command is publishing them, or was interrupted.
    returning: i64,
}

impl GroupsArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.desk.open("groups", Access::Read).await?;
        let (queue, kind) = (self.queue.as_deref(), self.kind.as_deref());
        let mut groups: Vec<Group> =
            queries::list_groups(&session, queue, kind, GROUP_LIMIT, COUNT_LIMIT).await?;
        for group in &mut groups {
            let reason = group.example_reason.as_deref().unwrap_or_default();
            Fingerprint::of(reason).name().clone_into(&mut group.cause);
        }
        let has_more = groups.len() > usize::from(self.limit);
        let is_cut = i64::try_from(groups.len()) == Ok(GROUP_LIMIT);
        groups.truncate(usize::from(self.limit));
        if self.json {
            let returning = queries::count_returning(&session, queue).await?;
            output::json(&GroupReport { groups, has_more, is_cut, returning })?;
            return Ok(Outcome::Ok);
        }
        output::text(&page(&groups))?;
        if is_cut {
            output::note(&format!(
                "These are some of the first {GROUP_LIMIT} groups by queue, kind and fingerprint: there may be more, and larger \
                 ones. Ask with --queue or --kind."
            ));
        } else if has_more {
            output::note("There are more groups: raise --limit.");
        }
        note_returning(&session, queue).await?;
        Ok(Outcome::Ok)
    }
}

fn page(groups: &[Group]) -> String {
    if groups.is_empty() {
        return "No dead letters are open.\n".to_owned();
    }
    let mut page = String::new();
    for group in groups {
        if !page.is_empty() {
            page.push('\n');
        }
        add_group(&mut page, group);
    }
    page
}

fn add_group(page: &mut String, group: &Group) {
    let capped = if group.is_capped { "+" } else { "" };
    let Group { queue, kind, fingerprint, event_type, messages, .. } = group;
    let of_type = if event_type.is_empty() { String::new() } else { format!(" of {event_type}") };
    let plural = if *messages == 1 { "dead letter" } else { "dead letters" };
    let heading = format!("{messages}{capped} {plural}{of_type} in {queue}: {kind} {fingerprint}");
    // Writing to a string does not fail.
    writeln!(page, "{BOLD}{}{BOLD:#}", escape::line(&heading)).ok();
    if !group.cause.is_empty() {
        writeln!(page, "  {}", escape::line(&escape::truncated(&group.cause, REASON_LIMIT))).ok();
    }
    if group.returned_before > 0 {
        writeln!(page, "  {}{capped} had been returned before", group.returned_before).ok();
    }
    let (oldest, newest) = (&group.oldest_collected_at, &group.newest_collected_at);
    writeln!(page, "  collected from {oldest} to {newest}").ok();
    let reason = group.example_reason.as_deref().unwrap_or("it does not say why");
    let reason = escape::truncated(reason, REASON_LIMIT);
    writeln!(page, "  for example {}: {}", group.example_id, escape::line(&reason)).ok();
}
