//! `/dead-letters`, `/dead-letters/groups` and `/dead-letters/{id}`: the desk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::event::{hide, hide_details};
use super::{NoPage, Page, PageRequest, read, read_list, require_desk};
use crate::console::Console;
use crate::console::command_line::CommandLine;
use crate::console::contents::Longest;

/// How many dead letters a page shows.
const LETTERS: &str = "50";

/// How many bytes of a body that is no text are shown.
const HEX_LIMIT: usize = 4096;

/// The states that can be listed.
const TABS: [(&str, &str); 5] = [
    ("open", "Open"),
    ("returning", "Returning"),
    ("returned", "Returned"),
    ("discarded", "Discarded"),
    ("any", "All"),
];

/// The fields that filter.
const FILTERS: [&str; 9] =
    ["state", "queue", "fingerprint", "kind", "type", "error", "message_id", "since", "until"];

pub(super) async fn letters(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    require_desk(console)?;
    let form = &request.form;
    let state = form.get("state").unwrap_or("open");
    if !TABS.iter().any(|(name, _)| *name == state) {
        return Err(NoPage::Invalid(format!("There is no state {state}.")));
    }
    let mut line = CommandLine::new("dead-letters list").option("state", Some(state));
    for name in &FILTERS[1..] {
        line = line.option(&name.replace('_', "-"), form.get(name));
    }
    line = line.option("limit", Some(LETTERS));
    let mut letters = read_list(console, request, &line, "/dead-letters", &FILTERS).await?;
    if console.hide_payloads {
        for letter in letters.rows.as_array_mut().into_iter().flatten() {
            hide(letter, &["/body_start"]);
        }
    }
    let path = format!("{}/dead-letters", console.prefix);
    let tabs = TABS.iter().map(|(name, title)| {
        json!({
            "name": title,
            "href": format!("{path}?{}", form.query_with(&FILTERS, ("state", name))),
            "is_current": *name == state,
            "count": None::<u64>,
        })
    });
    let data = json!({
        "tabs": tabs.collect::<Vec<_>>(),
        "next": letters.next,
        "note": letters.note,
        "letters": letters.rows,
    });
    let (title, command) = ("Dead letters".to_owned(), Some(line.typed()));
    Ok(Page { template: "dead_letters.html", title, section: "dead-letters", command, data })
}

pub(super) async fn groups(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    require_desk(console)?;
    let line = CommandLine::new("dead-letters groups")
        .option("queue", request.form.get("queue"))
        .option("kind", request.form.get("kind"))
        .option("limit", Some("100"));
    let data = read(console, &request.user, &line).await?;
    let (title, command) = ("Dead letters by cause".to_owned(), Some(line.typed()));
    Ok(Page { template: "dead_letter_groups.html", title, section: "dead-letters", command, data })
}

pub(super) async fn letter(
    console: &Console,
    request: &PageRequest,
    id: &str,
) -> Result<Page, NoPage> {
    require_desk(console)?;
    if id.parse::<i64>().is_err() {
        return Err(NoPage::NotFound(format!("{id} is no id of a dead letter.")));
    }
    let line = CommandLine::new("dead-letters show").operand(id);
    let mut data = console.commands.show(&line, Longest::Shown, &request.user).await?.value()?;
    let base64 = data.get("body_base64").or_else(|| data.pointer("/cut_body/beginning_base64"));
    if let Some(bytes) = base64.and_then(Value::as_str)
        && let Ok(bytes) = STANDARD.decode(bytes)
    {
        data["body_hex"] = Value::from(hex(&bytes));
    }
    if console.hide_payloads {
        let contents = [
            "/body",
            "/body_base64",
            "/body_hex",
            "/cut_body/beginning",
            "/cut_body/beginning_base64",
            "/dead_letter/headers",
            "/dead_letter/properties",
            "/digest",
        ];
        hide(&mut data, &contents);
        hide_details(data.get_mut("audit"));
    }
    let (title, command) = (format!("Dead letter {id}"), Some(line.typed()));
    Ok(Page { template: "dead_letter.html", title, section: "dead-letters", command, data })
}

/// Bytes as text: 16 a line, with their place, and what of them is ASCII.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (place, line) in bytes.chunks(16).take(HEX_LIMIT / 16).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = line.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let shown: String = shown.collect();
        text.push_str(&format!("{:08x}  {:<47}  {shown}\n", place * 16, digits.join(" ")));
    }
    if bytes.len() > HEX_LIMIT {
        text.push_str(&format!("… and {} bytes more\n", bytes.len() - HEX_LIMIT));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_lines_of_sixteen() {
        let text = hex(b"\x00\xffOutbox, and more than one line");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "00000000  00 ff 4f 75 74 62 6f 78 2c 20 61 6e 64 20 6d 6f  ..Outbox, and mo"
        );
        assert!(lines[1].starts_with("00000010  72 65 20 74"), "{text}");
        assert!(hex(&[0; 5000]).ends_with("… and 904 bytes more\n"));
    }
}
