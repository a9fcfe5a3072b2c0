//! Whether something is kept of an event that has left the outbox.

use super::{NoPage, PageRequest, read_lines};
use crate::console::Console;
use crate::console::action::Action;
use crate::console::command_line::CommandLine;

/// Whether an action is for what the audit table keeps of events, and that has rows of this one.
pub(super) async fn is_kept(
    console: &Console,
    request: &PageRequest,
    action: &Action,
    event_id: &str,
) -> Result<bool, NoPage> {
    if !["forget", "restore"].contains(&action.name) {
        return Ok(false);
    }
    let line = CommandLine::new("audit").option("event", Some(event_id)).option("limit", Some("1"));
    let rows = read_lines(console, &request.user, &line).await?;
    Ok(rows.as_array().is_some_and(|rows| !rows.is_empty()))
}
