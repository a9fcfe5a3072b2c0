//! What is new since the console began, and worth a notice.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

/// The time between two notices of one kind: what comes meanwhile is in the next one.
const PAUSE: Duration = Duration::from_secs(60);

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
    named: Vec<Value>,
    last: Option<Instant>,
}

impl Waiting {
    fn take(&mut self, now: Instant) -> Option<(usize, Vec<Value>)> {
        let is_early = self.last.is_some_and(|last| now.duration_since(last) < PAUSE);
        if self.count == 0 || is_early {
            return None;
        }
        self.last = Some(now);
        Some((std::mem::take(&mut self.count), std::mem::take(&mut self.named)))
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
            let new = ids.iter().filter(|id| **id > lowest && !known.contains(id));
            self.new_letters.count += new.count();
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
        if let Some((count, causes)) = self.new_causes.take(now) {
            let text = |cause: &Value| cause["cause"].as_str().unwrap_or_default().to_owned();
            let first = causes.first().map(text).unwrap_or_default();
            let (text, url) = match &causes[..] {
                [cause] => (
                    format!("New cause of failures: {first}"),
                    cause["url"].as_str().unwrap_or_default().to_owned(),
                ),
                _ => (
                    format!("{count} new causes of failures, the first: {first}"),
                    format!("{}/failures", self.base),
                ),
            };
            notices.push(self.notice("new_cause", &text, count, url, causes));
        }
        if let Some((count, _)) = self.newly_stuck.take(now) {
            let now_stuck = self.stuck.unwrap_or_default();
            let text = format!("{} became stuck; stuck now: {now_stuck}", counted(count, "event"));
            let url = format!("{}/events?state=stuck", self.base);
            notices.push(self.notice("stuck", &text, count, url, Vec::new()));
        }
        if let Some((count, _)) = self.new_letters.take(now) {
            let text = format!("{} arrived", counted(count, "new dead letter"));
            let url = format!("{}/dead-letters", self.base);
            notices.push(self.notice("dead_letters", &text, count, url, Vec::new()));
        }
        notices
    }

    fn notice(
        &self,
        kind: &'static str,
        text: &str,
        count: usize,
        url: String,
        causes: Vec<Value>,
    ) -> Notice {
        let environment = self.environment.clone();
        let text = match &environment {
            Some(name) => escaped(&format!("[{name}] {text}: {url}")),
            None => escaped(&format!("{text}: {url}")),
        };
        Notice { kind, text, count, url, environment, causes }
    }
}

/// Returns a text in which chats such as Slack find no links and mentions of their markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fingerprints: &[&str]) -> Value {
        let group = |name: &&str| json!({"kind": "returned", "fingerprint": name, "cause": name, "events": 2});
        json!({ "failures": fingerprints.iter().map(group).collect::<Vec<_>>() })
    }

    fn texts(news: &mut News, now: Instant) -> Vec<String> {
        news.take(now).into_iter().map(|notice| notice.text).collect()
    }

    #[test]
    fn a_new_cause_is_told_once_and_what_was_there_is_no_news() {
        let (mut news, now) =
            (News::new("https://a".to_owned(), Some("x".to_owned())), Instant::now());
        news.look_at_failures(&report(&["old"]));
        assert_eq!(texts(&mut news, now), [""; 0]);
        news.look_at_failures(&report(&["old", "new"]));
        let told = texts(&mut news, now);
        assert_eq!(told, ["[x] New cause of failures: new: https://a/failures/new"]);
        // It goes and comes back; others come within the minute.
        news.look_at_failures(&report(&["old"]));
        news.look_at_failures(&report(&["new", "b", "c"]));
        assert_eq!(texts(&mut news, now + PAUSE / 2), [""; 0]);
        let told = news.take(now + PAUSE);
        assert_eq!((told.len(), told[0].count, told[0].causes.len()), (1, 2, 2));
        assert_eq!(told[0].url, "https://a/failures");
    }

    #[test]
    fn a_cause_is_no_markup_of_chats() {
        let mut news = News::new("https://a".to_owned(), Some("<x>".to_owned()));
        news.look_at_failures(&report(&[]));
        let cause = "boom & <!channel> <http://evil|click>";
        let group = json!({"kind": "returned", "fingerprint": "f", "cause": cause});
        news.look_at_failures(&json!({"failures": [group]}));
        let notice = news.take(Instant::now()).pop().expect("it is new");
        let text = "[&lt;x&gt;] New cause of failures: boom &amp; &lt;!channel&gt; &lt;http://evil|click&gt;: https://a/failures/f";
        assert_eq!((notice.text.as_str(), &notice.causes[0]["cause"]), (text, &cause.into()));
    }

    #[test]
    fn stuck_events_are_told_when_they_become_more() {
        let (mut news, now) = (News::new(String::new(), None), Instant::now());
        let status = |stuck: u64| json!({"backlog": {"stuck": stuck}});
        for (stuck, told) in [(5, None), (5, None), (7, Some(2)), (3, None), (4, Some(1))] {
            news.look_at_status(&status(stuck));
            news.newly_stuck.last = None;
            let notice = news.take(now).pop();
            assert_eq!(notice.map(|notice| notice.count), told, "{stuck}");
        }
        news.look_at_status(&status(5));
        assert_eq!(texts(&mut news, now), [""; 0], "not twice in a minute");
        let told = texts(&mut news, now + PAUSE);
        assert_eq!(told, ["1 event became stuck; stuck now: 5: /events?state=stuck"]);
    }

    #[test]
    fn dead_letters_are_new_once_also_those_of_slow_transactions() {
        let mut news = News::new("/outbox".to_owned(), None);
        let mut new = |ids: &[i64]| {
            news.look_at_letters(&ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>());
            std::mem::take(&mut news.new_letters.count)
        };
        assert_eq!(new(&[9, 5]), 0);
        assert_eq!(new(&[9, 7, 5]), 1);
        assert_eq!(new(&[5, 4]), 0, "4 was below those that were shown");
        assert_eq!(new(&[]), 0);
        assert_eq!(new(&[6, 5, 4]), 1);
        let mut empty = News::new(String::new(), None);
        empty.look_at_letters(&[]);
        empty.look_at_letters(&[json!({"id": 1})]);
        assert_eq!(texts(&mut empty, Instant::now()), ["1 new dead letter arrived: /dead-letters"]);
    }
}
