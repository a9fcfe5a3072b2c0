//! `/search`: leads from an id of any kind to its page.

use serde_json::json;
use uuid::Uuid;

use super::events::aggregate_path;
use super::{NoPage, Page, PageRequest};
use crate::console::Console;
use crate::console::command_line::CommandLine;
use crate::console::contents::Longest;

pub(super) async fn search(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let query = request.form.get("q").unwrap_or_default().trim();
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    if query.parse::<Uuid>().is_ok() {
        let line = CommandLine::new("show").operand(query);
        let shown = console.commands.show(&line, Longest::Nothing, &request.user).await;
        match shown.map_err(NoPage::from) {
            // It may be the id of an aggregate.
            Err(NoPage::NotFound(_)) => (),
            _ => return Err(NoPage::At(format!("/events/{query}"))),
        }
    }
    let is_fingerprint = query.len() == 16 && query.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_fingerprint {
        let fingerprint = query.to_ascii_lowercase();
        // Of events or of dead letters: the page of the cause has both.
        let line = CommandLine::new("events")
            .option("fingerprint", Some(&fingerprint))
            .option("limit", Some("1"));
        let events = super::read_lines(console, &request.user, &line).await?;
        let is_empty = events.as_array().is_none_or(Vec::is_empty);
        return Err(NoPage::At(if is_empty && console.has_desk {
            format!("/dead-letters?fingerprint={fingerprint}")
        } else {
            format!("/failures/{fingerprint}")
        }));
    }
    if let Some((aggregate_type, aggregate_id)) = query.split_once('/') {
        return Err(NoPage::At(aggregate_path(aggregate_type, aggregate_id)));
    }
    if console.has_desk && query.parse::<i64>().is_ok() {
        let line = CommandLine::new("dead-letters show").operand(query);
        if console.commands.show(&line, Longest::Nothing, &request.user).await.is_ok() {
            return Err(NoPage::At(format!("/dead-letters/{query}")));
        }
    }
    if console.has_desk && !query.is_empty() {
        let line = CommandLine::new("dead-letters list")
            .option("message-id", Some(query))
            .option("state", Some("any"))
            .option("limit", Some("1"));
        let letters = super::read_lines(console, &request.user, &line).await;
        if letters.is_ok_and(|letters| letters.as_array().is_some_and(|all| !all.is_empty())) {
            return Err(NoPage::At(format!(
                "/dead-letters?state=any&message_id={}",
                encode(query)
            )));
        }
    }
    if !query.is_empty() {
        let line =
            CommandLine::new("events").option("aggregate", Some(query)).option("limit", Some("1"));
        let events = super::read_lines(console, &request.user, &line).await?;
        if events.as_array().is_some_and(|events| !events.is_empty()) {
            return Err(NoPage::At(format!("/events?aggregate={}", encode(query))));
        }
    }
    let title = "Nothing found".to_owned();
    let data = json!({ "query": query });
    Ok(Page { template: "search.html", title, section: "", command: None, data })
}
