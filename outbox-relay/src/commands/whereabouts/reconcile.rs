//! `reconcile`: finds published events that a consumer has neither applied nor refused.

use std::collections::HashSet;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::inbox_reader::InboxReader;
use super::inboxes::Inbox;
use super::places::{Desk, PlacesArgs, Uncollected};
use crate::commands::args::{ConnectionArgs, TimeArg};
use crate::commands::outcome::{Outcome, UsageError};
use crate::commands::output::table::{Align, TextTable};
use crate::commands::output::{self, counted};
use crate::commands::progress::Progress;
use crate::commands::queries;
use crate::commands::session::{Access, Session};

/// How many rows of the outbox a statement reads, and how many events an inbox is asked about.
const PAGE_ROWS: i64 = 10_000;

/// How many missing events are kept: they are held in memory.
const MISSING_LIMIT: usize = 10_000;

/// How many are printed; --json prints all.
const PRINT_LIMIT: usize = 50;

/// Arguments of `reconcile`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay reconcile --since 1d --inboxes inboxes.toml")]
pub struct ReconcileArgs {
    /// Only events published since this time: an age (90m, 7d) or a date (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN", default_value = "1d")]
    since: TimeArg,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: PlacesArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A published event.
#[derive(Debug, Deserialize)]
struct Published {
    event_id: Uuid,
    event_type: String,
    /// RFC 3339.
    published_at: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    rows: i64,
    last_id: Option<i64>,
    published: Vec<Published>,
}

/// An event that a consumer should know.
#[derive(Debug, Serialize)]
struct Missing {
    consumer: String,
    event_id: Uuid,
    event_type: String,
    published_at: String,
}

/// What was found about one consumer.
#[derive(Debug, Serialize)]
struct ConsumerReport {
    name: String,
    /// The events of its types that were looked for.
    checked: usize,
    missing: usize,
    /// Its dead-letter queue with messages that nobody has collected.
    uncollected: Option<(String, Result<u32, String>)>,
    #[serde(skip)]
    until: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct ReconcileReport {
    since: String,
    consumers: Vec<ConsumerReport>,
    missing: Vec<Missing>,
    /// Whether the list ends before all are named.
    is_cut: bool,
}

/// What is asked about events.
struct Known<'a> {
    inboxes: Vec<(&'a Inbox, InboxReader)>,
    desk: Option<Desk>,
}

impl ReconcileArgs {
    pub(in crate::commands) async fn run(self) -> anyhow::Result<Outcome> {
        if self.places.inboxes().is_empty() {
            let why = "--inboxes has to name a file with the consumers' inboxes: docs/desk.md has an example";
            return Err(UsageError(why.to_owned()).into());
        }
        let session = self.connection.open("reconcile", Access::Read).await?;
        // Before the tables: what is collected meanwhile is found there.
        let uncollected = self.places.count_uncollected().await;
        let mut inboxes = Vec::new();
        for inbox in self.places.inboxes() {
            inboxes.push((inbox, InboxReader::open(inbox, "reconcile").await?));
        }
        let known = Known { inboxes, desk: self.places.open_desk("reconcile").await? };
        let report = read(&session, &known, self.since, &uncollected).await?;
        if self.json {
            output::json(&report)?;
        } else {
            output::text(&page(&report))?;
        }
        Ok(outcome(&report))
    }
}

async fn read(
    session: &Session,
    known: &Known<'_>,
    since: TimeArg,
    uncollected: &Uncollected,
) -> anyhow::Result<ReconcileReport> {
    let since = since.resolve(session).await?;
    let mut consumers = Vec::new();
    for (inbox, _) in &known.inboxes {
        let queue = inbox.dead_letter_queue.as_ref();
        let uncollected =
            queue.and_then(|queue| Some((queue.clone(), uncollected.get(queue)?.clone())));
        consumers.push(ConsumerReport {
            name: inbox.name.clone(),
            checked: 0,
            missing: 0,
            uncollected: uncollected.filter(|(_, messages)| *messages != Ok(0)),
            until: queries::ago(session, inbox.longest_retry).await?,
        });
    }
    let Some(latest) = consumers.iter().map(|consumer| consumer.until).max() else {
        bail!("no inbox is named");
    };
    let bounds = [since.format(&Rfc3339)?, latest.format(&Rfc3339)?];
    let mut report =
        ReconcileReport { since: bounds[0].clone(), consumers, missing: Vec::new(), is_cut: false };
    let total = queries::count_rows(session).await?;
    let (progress, mut done, mut above) = (Progress::new(total, "event"), 0, None);
    loop {
        let page: Page = queries::list_published_page(session, above, PAGE_ROWS, &bounds).await?;
        check(known, &page.published, &mut report).await?;
        done += page.rows;
        progress.set_done(done);
        above = page.last_id;
        if page.rows < PAGE_ROWS {
            break;
        }
    }
    progress.clear();
    Ok(report)
}

/// Asks about the events of one page.
async fn check(
    known: &Known<'_>,
    published: &[Published],
    report: &mut ReconcileReport,
) -> anyhow::Result<()> {
    for ((inbox, reader), consumer) in known.inboxes.iter().zip(&mut report.consumers) {
        let mut due = Vec::new();
        for event in published.iter().filter(|event| inbox.handles(&event.event_type)) {
            if OffsetDateTime::parse(&event.published_at, &Rfc3339)? < consumer.until {
                due.push(event);
            }
        }
        consumer.checked += due.len();
        let event_ids: Vec<Uuid> = due.iter().map(|event| event.event_id).collect();
        let applied =
            if event_ids.is_empty() { HashSet::new() } else { reader.applied(&event_ids).await? };
        due.retain(|event| !applied.contains(&event.event_id));
        let refused = match &known.desk {
            Some(desk) if !due.is_empty() => refused(desk, inbox, &due).await?,
            _ => HashSet::new(),
        };
        due.retain(|event| !refused.contains(&event.event_id));
        consumer.missing += due.len();
        let room = MISSING_LIMIT.saturating_sub(report.missing.len());
        report.is_cut |= due.len() > room;
        report.missing.extend(due.into_iter().take(room).map(|event| Missing {
            consumer: inbox.name.clone(),
            event_id: event.event_id,
            event_type: event.event_type.clone(),
            published_at: event.published_at.clone(),
        }));
    }
    Ok(())
}

/// Returns which of some events are dead letters of a consumer; without the name of its queue, of
/// any.
async fn refused(
    desk: &Desk,
    inbox: &Inbox,
    events: &[&Published],
) -> anyhow::Result<HashSet<Uuid>> {
    let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let known = desk.known(&event_ids).await?;
    let is_of_inbox =
        |queue: &String| inbox.dead_letter_queue.as_ref().is_none_or(|of_inbox| of_inbox == queue);
    Ok(known.into_iter().filter(|(_, queue)| is_of_inbox(queue)).map(|(id, _)| id).collect())
}

fn outcome(report: &ReconcileReport) -> Outcome {
    let missing: Vec<&ConsumerReport> =
        report.consumers.iter().filter(|consumer| consumer.missing > 0).collect();
    if missing.is_empty() {
        Outcome::Ok
    } else if missing.iter().all(|consumer| consumer.uncollected.is_some()) {
        Outcome::Unknown
    } else {
        Outcome::Problems
    }
}

fn page(report: &ReconcileReport) -> String {
    let mut page = String::new();
    for consumer in &report.consumers {
        let ConsumerReport { name, checked, missing, uncollected, .. } = consumer;
        let checked = counted(*checked, "event");
        page.push_str(&format!(
            "{name}: {checked} published, {missing} neither applied nor a dead letter\n"
        ));
        match uncollected {
            Some((queue, Ok(messages))) if *missing > 0 => page.push_str(&format!(
                "  {queue} holds {messages} messages that nobody has collected: these may be among them\n"
            )),
            Some((queue, Err(reason))) if *missing > 0 => page.push_str(&format!(
                "  whether {queue} holds messages is unknown: {reason}\n"
            )),
            _ => {}
        }
    }
    if report.missing.is_empty() {
        return page;
    }
    let mut table = TextTable::new([
        ("CONSUMER", Align::Left),
        ("EVENT", Align::Left),
        ("TYPE", Align::Left),
        ("PUBLISHED", Align::Left),
    ]);
    for missing in report.missing.iter().take(PRINT_LIMIT) {
        table.add_row([
            &missing.consumer,
            &missing.event_id.to_string(),
            &missing.event_type,
            &missing.published_at,
        ]);
    }
    page.push('\n');
    page.push_str(&table.render());
    if report.missing.len() > PRINT_LIMIT {
        page.push_str(&format!("… and {} more: --json\n", report.missing.len() - PRINT_LIMIT));
    }
    page.push_str("\nWhere one is: outbox-relay where EVENT_ID. To publish it again: outbox-relay replay EVENT_ID\n");
    page
}
