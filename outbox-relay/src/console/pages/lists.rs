//! `/pauses`, `/relays` and `/audit`.

use serde_json::{Value, json};

use super::event::hide_details;
use super::{NoPage, Page, PageRequest, read, read_lines, read_list, require_desk};
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

/// What people did to events; with `of=dead_letters`, what they did to dead letters.
pub(super) async fn audit(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let form = &request.form;
    let of = form.get("of").unwrap_or("events");
    let (command, subject) = match of {
        "events" => ("audit", "event"),
        "dead_letters" => ("dead-letters audit", "dead_letter"),
        _ => return Err(NoPage::Invalid(format!("There is no audit of {of}."))),
    };
    if of == "dead_letters" {
        require_desk(console)?;
    }
    let filters = ["of", "actor", "action", subject, "operation", "since", "until"];
    let mut line = CommandLine::new(command);
    for name in &filters[1..] {
        line = line.option(&name.replace('_', "-"), form.get(name));
    }
    line = line.option("limit", Some(AUDIT_ROWS));
    let mut list = read_list(console, request, &line, "/audit", &filters).await?;
    if console.hide_payloads {
        hide_details(Some(&mut list.rows));
    }
    let tabs = [("events", "Events"), ("dead_letters", "Dead letters")].map(|(name, title)| {
        let query = form.query_with(&["actor", "since", "until"], ("of", name));
        json!({
            "name": title,
            "href": format!("{}/audit?{query}", console.prefix),
            "is_current": name == of,
            "count": None::<u64>,
        })
    });
    let data = json!({
        "tabs": if console.has_desk { Value::from(tabs.to_vec()) } else { json!([]) },
        "next": list.next,
        "note": list.note,
        "rows": list.rows,
    });
    let (title, command) = ("Audit".to_owned(), Some(line.typed()));
    Ok(Page { template: "audit.html", title, section: "audit", command, data })
}
