//! What is new since the console began, and worth a notice.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

/// The time between two notices of one kind: what comes meanwhile is in the next one.
const PAUSE: Duration = Duration::from_secs(60);

/// How many causes, and how many of the newest dead letters, are looked at.
pub(super) const LIMIT: usize = 500;

/// How many causes are remembered.
const CAUSES: usize = 10_000;

/// How many causes a notice names.
const NAMED: usize = 10;

/// What is posted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Notice {
    kind: &'static str,
    /// A sentence, which chats show: without markup.
    text: String,
    /// How many causes, events or dead letters are new.
    count: usize,
    /// Whether there may be more, beyond those that were looked at.
    count_is_capped: bool,
    /// The page that shows them.
    url: String,
    environment: Option<String>,
    /// The new causes, the first ones of many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Value>,
}

/// What was seen, and what is to be told.
#[derive(Debug)]
pub(super) struct News {
    /// What stands before the path of a page.
    base: String,
    environment: Option<String>,
    causes: Option<HashSet<String>>,
    new_causes: Waiting,
    stuck: Option<usize>,
    newly_stuck: Waiting,
    /// The ids of the newest dead letters.
    letters: Option<BTreeSet<i64>>,
    new_letters: Waiting,
}

/// What waits until there may be another notice of its kind.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    is_capped: bool,
    named: Vec<Value>,
    last: Option<Instant>,
}

impl Waiting {
    fn take(&mut self, now: Instant) -> Option<Self> {
        let is_early = self.last.is_some_and(|last| now.duration_since(last) < PAUSE);
        if self.count == 0 || is_early {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::replace(self, Self { last: self.last, ..Self::default() }))
    }

    /// Such as "1 event" or "500 or more events".
    fn counted(&self, what: &str) -> String {
        let or_more = if self.is_capped { " or more" } else { "" };
        let plural = if self.count == 1 && !self.is_capped { "" } else { "s" };
        format!("{}{or_more} {what}{plural}", self.count)
    }
}

impl News {
    pub(super) fn new(base: String, environment: Option<String>) -> Self {
        Self {
            base,
            environment,
            causes: None,
            new_causes: Waiting::default(),
            stuck: None,
            newly_stuck: Waiting::default(),
            letters: None,
            new_letters: Waiting::default(),
        }
    }

    /// Looks at what `failures --json` prints. The first look is at what is no news.
    pub(super) fn look_at_failures(&mut self, report: &Value) {
        let has_more = report["has_more"] == true;
        let groups = report.get("failures").and_then(Value::as_array);
        let groups = groups.into_iter().flatten();
        let name = |group: &Value| format!("{} {}", group["kind"], group["fingerprint"]);
        let Some(known) = &mut self.causes else {
            self.causes = Some(groups.map(name).collect());
            return;
        };
        if known.len() > CAUSES {
            // As at the begin: those of now are known, and no others.
            *known = groups.map(name).collect();
            return;
        }
        for group in groups {
            if !known.insert(name(group)) {
                continue;
            }
            self.new_causes.count += 1;
            self.new_causes.is_capped |= has_more;
            if self.new_causes.named.len() < NAMED {
                let fingerprint = group["fingerprint"].as_str().unwrap_or_default();
                self.new_causes.named.push(json!({
                    "kind": group["kind"],
                    "fingerprint": fingerprint,
                    "cause": group["cause"],
                    "event_type": group["event_type"],
                    "events": group["events"],
                    "url": format!("{}/failures/{fingerprint}", self.base),
                }));
            }
        }
    }

    /// Looks at what `status --json` prints.
    pub(super) fn look_at_status(&mut self, status: &Value) {
        let stuck = status.pointer("/backlog/stuck").and_then(Value::as_u64).unwrap_or_default();
        let stuck = usize::try_from(stuck).unwrap_or(usize::MAX);
        let before = self.stuck.replace(stuck).unwrap_or(stuck);
        self.newly_stuck.count += stuck.saturating_sub(before);
    }

    /// Looks at the newest rows that `dead-letters list --state any --json` prints.
    pub(super) fn look_at_letters(&mut self, rows: &[Value]) {
        let ids: BTreeSet<i64> = rows.iter().filter_map(|row| row["id"].as_i64()).collect();
        if let Some(known) = &self.letters {
            // One that was collected by a slow transaction may be below the newest one.
            let lowest = known.first().copied().unwrap_or(i64::MIN);
            let new = ids.iter().filter(|id| **id > lowest && !known.contains(id)).count();
            self.new_letters.count += new;
            // Below the lowest of them may be more.
            self.new_letters.is_capped |= new == LIMIT;
        }
        // Without any, what was known tells as much.
        if self.letters.is_none() || !ids.is_empty() {
            self.letters = Some(ids);
        }
    }

    /// Whether all that is to be looked at was looked at.
    pub(super) fn has_begun(&self, has_desk: bool) -> bool {
        self.causes.is_some() && self.stuck.is_some() && (self.letters.is_some() || !has_desk)
    }

    /// Returns what may be told now.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        if let Some(new) = self.new_causes.take(now) {
            let text = |cause: &Value| cause["cause"].as_str().unwrap_or_default().to_owned();
            let first = new.named.first().map(text).unwrap_or_default();
            let (text, url) = match &new.named[..] {
                [cause] if !new.is_capped => (
                    format!("New cause of failures: {first}"),
                    cause["url"].as_str().unwrap_or_default().to_owned(),
                ),
                _ => (
                    format!("{} of failures, the first: {first}", new.counted("new cause")),
                    format!("{}/failures", self.base),
                ),
            };
            notices.push(self.notice("new_cause", &text, url, new));
        }
        if let Some(new) = self.newly_stuck.take(now) {
            let now_stuck = self.stuck.unwrap_or_default();
            let text = format!("{} became stuck; stuck now: {now_stuck}", new.counted("event"));
            let url = format!("{}/events?state=stuck", self.base);
            notices.push(self.notice("stuck", &text, url, new));
        }
        if let Some(new) = self.new_letters.take(now) {
            let text = format!("{} arrived", new.counted("new dead letter"));
            let url = format!("{}/dead-letters", self.base);
            notices.push(self.notice("dead_letters", &text, url, new));
        }
        notices
    }

    fn notice(&self, kind: &'static str, text: &str, url: String, new: Waiting) -> Notice {
        let environment = self.environment.clone();
        let text = match &environment {
            Some(name) => escaped(&format!("[{name}] {text}: {url}")),
            None => escaped(&format!("{text}: {url}")),
        };
        let Waiting { count, is_capped: count_is_capped, named: causes, .. } = new;
        Notice { kind, text, count, count_is_capped, url, environment, causes }
    }
}

/// Returns a text in which chats such as Slack find no links and mentions of their markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
