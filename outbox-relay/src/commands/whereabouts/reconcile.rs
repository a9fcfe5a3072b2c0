//! `reconcile`: finds published events that a consumer has neither applied nor refused.

mod page;

use std::collections::HashSet;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::inbox_reader::InboxReader;
use super::inboxes::Inbox;
use super::location::{WaitingQueue, waiting_queues};
use super::places::{Depths, Desk, KnownLetter, PlacesArgs};
use super::queries;
use crate::commands::args::{ConnectionArgs, TimeArg};
use crate::commands::outcome::{Outcome, UsageError};
use crate::commands::output;
use crate::commands::progress::Progress;
use crate::commands::queries::ago;
use crate::commands::session::{Access, Session};

/// How many rows of the outbox a statement reads, and how many events an inbox is asked about.
const PAGE_ROWS: i64 = 10_000;

/// How many missing events are kept: they are held in memory.
const MISSING_LIMIT: usize = 10_000;

/// Arguments of `reconcile`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay reconcile --since 1d --inboxes inboxes.toml")]
pub struct ReconcileArgs {
    /// Only events published since this time: an age (90m, 7d), counted back from longest_retry ago,
    /// so that a daily 1d leaves no gap; or a date (2026-02-01T22:25:31Z)
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
    oldest_published_at: Option<String>,
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
    /// Its queues that hold messages, or of which that is unknown.
    waiting: Vec<WaitingQueue>,
    /// Events published since then, and before `until`, are looked for.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct ReconcileReport {
    consumers: Vec<ConsumerReport>,
    /// When the first event was published that the outbox still has.
    oldest_published_at: Option<String>,
    /// Whether dead letters were looked for.
    knows_dead_letters: bool,
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
        // Before the tables: what is applied or collected meanwhile is found there.
        let depths = self.places.count_messages().await;
        let mut inboxes = Vec::new();
        for inbox in self.places.inboxes() {
            inboxes.push((inbox, InboxReader::open(inbox, "reconcile").await?));
        }
        let known = Known { inboxes, desk: self.places.open_desk("reconcile").await? };
        let consumers = windows(&session, &known, self.since, &depths).await?;
        let report = read(&session, &known, consumers, self.json).await?;
        if self.json {
            output::json(&report)?;
        } else {
            output::text(&page::render(&report))?;
        }
        Ok(outcome(&report))
    }
}

/// Returns what is to be found out about each consumer.
async fn windows(
    session: &Session,
    known: &Known<'_>,
    since: TimeArg,
    depths: &Depths,
) -> anyhow::Result<Vec<ConsumerReport>> {
    let mut consumers = Vec::new();
    for (inbox, _) in &known.inboxes {
        let until = ago(session, inbox.longest_retry).await?;
        let since = match since {
            TimeArg::Ago(age) => until - age,
            TimeArg::At(time) => time,
        };
        if since >= until {
            return Err(UsageError(format!(
                "--since has to be earlier than {}: {} may go on trying what was published later (longest_retry)",
                until.format(&Rfc3339)?,
                inbox.name
            ))
            .into());
        }
        consumers.push(ConsumerReport {
            name: inbox.name.clone(),
            checked: 0,
            missing: 0,
            waiting: waiting_queues(inbox, depths),
            since,
            until,
        });
    }
    Ok(consumers)
}

async fn read(
    session: &Session,
    known: &Known<'_>,
    consumers: Vec<ConsumerReport>,
    json: bool,
) -> anyhow::Result<ReconcileReport> {
    let since = consumers.iter().map(|consumer| consumer.since).min();
    let until = consumers.iter().map(|consumer| consumer.until).max();
    let (Some(since), Some(until)) = (since, until) else {
        bail!("no inbox is named");
    };
    let bounds = [since.format(&Rfc3339)?, until.format(&Rfc3339)?];
    let mut report = ReconcileReport {
        consumers,
        oldest_published_at: None,
        knows_dead_letters: known.desk.is_some(),
        missing: Vec::new(),
        is_cut: false,
    };
    let total = queries::count_rows(session).await?;
    let (progress, mut done, mut above) = (Progress::new(total, "event", json), 0, None);
    loop {
        let page: Page = queries::list_published_page(session, above, PAGE_ROWS, &bounds).await?;
        check(known, &page.published, &mut report).await?;
        report.oldest_published_at = earlier(report.oldest_published_at, page.oldest_published_at);
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
            let published_at = OffsetDateTime::parse(&event.published_at, &Rfc3339)?;
            if (consumer.since..consumer.until).contains(&published_at) {
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

/// Returns the earlier one of two times.
fn earlier(one: Option<String>, other: Option<String>) -> Option<String> {
    // By their text, as PostgreSQL writes times of one zone.
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Returns which of some events are dead letters of a consumer that nobody has returned, or that it
/// may still be trying; without the name of its queue, those of any.
async fn refused(
    desk: &Desk,
    inbox: &Inbox,
    events: &[&Published],
) -> anyhow::Result<HashSet<Uuid>> {
    let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let longest = inbox.longest_retry.as_secs_f64();
    let mut known = desk.known(&event_ids).await?;
    known.retain(|KnownLetter { queue, is_unreturned, returned_seconds, .. }| {
        inbox.dead_letter_queue.as_ref().is_none_or(|of_inbox| of_inbox == queue)
            && (*is_unreturned || returned_seconds.is_some_and(|seconds| seconds <= longest))
    });
    Ok(known.into_iter().map(|letter| letter.event_id).collect())
}

fn outcome(report: &ReconcileReport) -> Outcome {
    let missing: Vec<&ConsumerReport> =
        report.consumers.iter().filter(|consumer| consumer.missing > 0).collect();
    // All that a consumer misses may wait in its queues, if these hold as much.
    let may_wait = |consumer: &&ConsumerReport| {
        let messages = consumer.waiting.iter().map(|queue| queue.messages.unwrap_or(u32::MAX));
        let messages = messages.fold(0, u32::saturating_add);
        consumer.missing <= usize::try_from(messages).unwrap_or(usize::MAX)
    };
    if missing.is_empty() {
        Outcome::Ok
    } else if missing.iter().all(may_wait) {
        Outcome::Unknown
    } else {
        Outcome::Problems
    }
}
