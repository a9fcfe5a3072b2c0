//! `failures --recovered`: causes whose events were published after somebody had mended them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::output::{self, BOLD, escape};
use super::queries;
use super::session::Session;
use crate::cause::Fingerprint;

/// How many audit rows are read, the newest: each costs a look into an index of the outbox.
const AUDIT_ROWS: i64 = 2000;

/// How many characters of a cause are printed.
const CAUSE_LIMIT: usize = 300;

/// Events with one cause and one type that were published in the last hour.
#[derive(Debug, Serialize, Deserialize)]
struct RecoveredGroup {
    kind: String,
    fingerprint: String,
    /// What the reasons have in common.
    #[serde(default)]
    cause: String,
    event_type: String,
    events: i64,
    /// Whether there may be more, as only the newest audit rows are read.
    is_capped: bool,
    /// Whether no event fails of it any more.
    is_over: bool,
    /// RFC 3339.
    last_published_at: String,
    #[serde(skip_serializing)]
    example_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct RecoveredReport {
    recovered: Vec<RecoveredGroup>,
}

/// Prints at most `limit` causes, or those of one fingerprint.
pub(super) async fn print(
    session: &Session,
    fingerprint: Option<&str>,
    limit: u16,
    as_json: bool,
) -> anyhow::Result<Outcome> {
    let mut recovered: Vec<RecoveredGroup> =
        queries::list_recovered(session, AUDIT_ROWS, fingerprint, limit.into()).await?;
    for group in &mut recovered {
        let reason = group.example_error.as_deref().unwrap_or_default();
        Fingerprint::of(reason).name().clone_into(&mut group.cause);
    }
    if as_json {
        output::json(&RecoveredReport { recovered })?;
    } else {
        output::text(&page(&recovered))?;
    }
    Ok(Outcome::Ok)
}

fn page(recovered: &[RecoveredGroup]) -> String {
    if recovered.is_empty() {
        return "Nothing has recovered in the last hour.\n".to_owned();
    }
    let mut page = String::new();
    for group in recovered {
        if !page.is_empty() {
            page.push('\n');
        }
        let RecoveredGroup { kind, fingerprint, events, .. } = group;
        let capped = if group.is_capped { "+" } else { "" };
        let plural = if *events == 1 { "event" } else { "events" };
        let of_type = escape::line(&group.event_type);
        let heading = format!("{events}{capped} {plural} of {of_type}: {kind} {fingerprint}");
        writeln!(page, "{BOLD}{heading}{BOLD:#}").ok();
        writeln!(page, "  {}", escape::truncated(&group.cause, CAUSE_LIMIT)).ok();
        let rest = if group.is_over { "no event fails of it now" } else { "others still fail" };
        writeln!(page, "  the last published at {}; {rest}", group.last_published_at).ok();
    }
    page
}
