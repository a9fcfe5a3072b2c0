//! `/pauses`, `/relays` and `/audit`.

use serde_json::json;

use super::event::hide_details;
use super::{NoPage, Page, PageRequest, read, read_lines, read_list};
use crate::console::Console;
use crate::console::command_line::CommandLine;

/// How many rows of the audit table a page shows.
const AUDIT_ROWS: &str = "50";

pub(super) async fn pauses(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let line = CommandLine::new("pauses");
    let data = json!({ "pauses": read_lines(console, &request.user, &line).await? });
    let (title, command) = ("Pauses".to_owned(), Some(line.typed()));
    Ok(Page { template: "pauses.html", title, section: "pauses", command, data })
}

pub(super) async fn relays(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let line = CommandLine::new("status");
    let data = json!({ "status": read(console, &request.user, &line).await? });
    let (title, command) = ("Relays".to_owned(), Some(line.typed()));
    Ok(Page { template: "relays.html", title, section: "relays", command, data })
}

pub(super) async fn audit(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    const FILTERS: [&str; 6] = ["actor", "action", "event", "operation", "since", "until"];
    let form = &request.form;
    let mut line = CommandLine::new("audit");
    for name in FILTERS {
        line = line.option(name, form.get(name));
    }
    line = line.option("limit", Some(AUDIT_ROWS));
    let mut list = read_list(console, request, &line, "/audit", &FILTERS).await?;
    if console.hide_payloads {
        hide_details(Some(&mut list.rows));
    }
    let data = json!({ "next": list.next, "note": list.note, "rows": list.rows });
    let (title, command) = ("Audit".to_owned(), Some(line.typed()));
    Ok(Page { template: "audit.html", title, section: "audit", command, data })
}
