//! Rows of every extreme that the table allows, in few aggregates, so that they queue behind each
//! other: each row ends published, stuck with the reason, or held back as the settings say, and the
//! relay never mistakes one for a database outage.
//!
//! `TEST_SEED` repeats a run, `ROW_CASES` sets its length.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use outbox_relay::TickOutcome;
use pipeline_tests::extreme_rows::{
    ExtremeRow, MAX_ATTEMPTS, MAX_MESSAGE_BYTES, Next, UNHEARD, extreme_rows,
};
use pipeline_tests::outbox::{Outbox, PATIENCE, Stepped, event_id};
use pipeline_tests::seed::seed;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// The expected outcome of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Published,
    /// With this many attempts.
    Stuck(i32),
    /// Nothing.
    Left,
    /// It was tried before, and there is an untried, unpublishable one with a lower id, as if
    /// committed later; or one ahead is scheduled, and unpublishable: whether that one holds it back
    /// depends on which is tried first.
    Beside,
}

/// The expected outcomes of rows, by id.
type Fates = BTreeMap<i64, Fate>;

/// What the rows ahead of a row in its aggregate hold back permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    /// Perhaps all.
    Perhaps,
    /// Rows not tried yet.
    Untried,
    All,
}

/// How a relay treats failing events.
#[derive(Debug, Clone, Copy)]
struct Mode {
    is_strict: bool,
    stuck_holds: bool,
}

/// The outcome of a row once it is tried.
fn fate_of(row: &ExtremeRow) -> Fate {
    let tried = row.attempts.max(0).saturating_add(1);
    if !row.can_be_a_message() {
        Fate::Stuck(tried)
    } else if row.event_type == UNHEARD {
        Fate::Stuck(tried.max(MAX_ATTEMPTS))
    } else {
        Fate::Published
    }
}

impl Mode {
    /// The expected outcome of each of `rows`, by id.
    fn fates(self, rows: &[ExtremeRow]) -> Fates {
        let mut rows: Vec<&ExtremeRow> = rows.iter().filter(|row| !row.is_published).collect();
        rows.sort_unstable_by_key(|row| row.id);
        let (mut fates, mut holds) = (Fates::new(), HashMap::new());
        for row in rows {
            let ahead = holds.entry(&row.aggregate).or_insert(Holds::No);
            let fate = match (row.next, *ahead) {
                (Next::Later | Next::Never, _)
                | (_, Holds::All)
                | (Next::Untried, Holds::Untried) => Fate::Left,
                (Next::Due(_), Holds::Untried) | (_, Holds::Perhaps) => Fate::Beside,
                (_, Holds::No) => fate_of(row),
            };
            let is_stuck = match row.next {
                Next::Later => false,
                Next::Never => true,
                Next::Untried | Next::Due(_) => fate_of(row) != Fate::Published,
            };
            let holds = match row.next {
                Next::Later | Next::Never if row.is_scheduled() => Holds::No,
                Next::Later => Holds::All,
                _ if !is_stuck || !self.stuck_holds => Holds::No,
                _ if row.is_scheduled() => Holds::Perhaps,
                Next::Untried if fate == Fate::Beside => Holds::Perhaps,
                Next::Untried => Holds::Untried,
                Next::Due(_) | Next::Never => Holds::All,
            };
            let perhaps = if fate == Fate::Beside { Holds::Perhaps } else { Holds::No };
            if self.is_strict {
                *ahead = (*ahead).max(holds).max(perhaps);
            }
            fates.insert(row.id, fate);
        }
        fates
    }

    /// A relay with these settings. Failed events are retried soon.
    fn relay(self, outbox: &Outbox) -> anyhow::Result<Stepped> {
        let attempts = format!("--relay-max-attempts={MAX_ATTEMPTS}");
        let bytes = format!("--relay-max-message-bytes={MAX_MESSAGE_BYTES}");
        outbox.relay(&[
            if self.is_strict { "--relay-ordering=strict" } else { "--relay-ordering=none" },
            if self.stuck_holds { "--relay-when-stuck=hold" } else { "--relay-when-stuck=skip" },
            &attempts,
            &bytes,
            "--relay-backoff-min=20ms",
            "--relay-backoff-max=100ms",
        ])
    }
}

/// A row's id and all columns that a relay changes, for comparison.
const STATES: &str = "SELECT id, published_at IS NOT NULL, attempts, coalesce(next_attempt_at = 'infinity', false),
                             last_error, ROW(published_at, attempts, next_attempt_at, last_error)::text
                      FROM outbox ORDER BY id";

/// The rows without their expected outcome.
async fn unfinished(
    outbox: &Outbox,
    fates: &Fates,
    before: &HashMap<i64, String>,
) -> anyhow::Result<Vec<String>> {
    let mut unfinished = Vec::new();
    for row in outbox.sql.query(STATES, &[]).await? {
        let (id, is_published, attempts): (i64, bool, i32) = (row.get(0), row.get(1), row.get(2));
        let (is_stuck, reason, state): (bool, Option<String>, String) =
            (row.get(3), row.get(4), row.get(5));
        let wanted = fates.get(&id).copied().unwrap_or(Fate::Left);
        let is_finished = match wanted {
            Fate::Published => is_published,
            Fate::Stuck(wanted) => {
                let has_reason = reason.is_some_and(|reason| !reason.is_empty());
                !is_published && is_stuck && attempts == wanted && has_reason
            }
            Fate::Left => before[&id] == state,
            Fate::Beside => true,
        };
        if !is_finished {
            let state: String = state.chars().take(200).collect();
            unfinished.push(format!("{id} is {state}, not {wanted:?}"));
        }
    }
    Ok(unfinished)
}

/// Steps until all rows have their outcome. Once connected, the relay must be available all the
/// time.
async fn until_finished(
    outbox: &Outbox,
    relay: &mut Stepped,
    fates: &Fates,
    before: &HashMap<i64, String>,
) -> anyhow::Result<()> {
    let (end, mut connected) = (Instant::now() + PATIENCE, false);
    loop {
        let now = Box::pin(relay.relay.tick()).await;
        let statuses = relay.health.statuses();
        ensure!(!connected || now != TickOutcome::Unavailable, "it can't work: {statuses:?}");
        connected |= now != TickOutcome::Unavailable;
        ensure!(!connected || relay.health.is_ready(), "it says that it can't: {statuses:?}");
        if now == TickOutcome::Worked {
            continue;
        }
        let left = unfinished(outbox, fates, before).await?;
        if left.is_empty() && now == TickOutcome::Idle {
            return Ok(());
        }
        ensure!(Instant::now() < end, "it is {now:?}, and so many are left: {left:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn try_rows(rows: &[ExtremeRow], mode: Mode) -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    for key in ["", "order.#"] {
        outbox.queue("all", key).await?;
    }
    outbox
        .sql
        .batch_execute(
            "ALTER TABLE outbox ALTER headers DROP NOT NULL, ALTER payload DROP NOT NULL; BEGIN",
        )
        .await?;
    let mut by_event = HashMap::new();
    for row in rows {
        by_event.insert(row.insert(&outbox).await?, row);
    }
    outbox.sql.batch_execute("COMMIT").await?;
    let states = outbox.sql.query(STATES, &[]).await?;
    let before: HashMap<i64, String> = states.iter().map(|row| (row.get(0), row.get(5))).collect();

    let fates = mode.fates(rows);
    let mut relay = mode.relay(&outbox)?;
    until_finished(&outbox, &mut relay, &fates, &before).await?;

    let mut delivered: Vec<&ExtremeRow> = Vec::new();
    for message in outbox.take_all("all").await? {
        delivered.push(by_event.get(&event_id(&message)?).context("an event of nobody's")?);
    }
    let published = "SELECT id FROM outbox WHERE published_at IS NOT NULL ORDER BY id";
    let published = outbox.sql.query(published, &[]).await?;
    let published = published.iter().map(|row| row.get::<_, i64>(0));
    let marked: Vec<i64> = published.filter(|id| fates.contains_key(id)).collect();
    let mut sent: Vec<i64> = delivered.iter().map(|row| row.id).collect();
    sent.sort_unstable();
    ensure!(sent == marked, "sent, each once: {sent:?}; marked: {marked:?}");
    if mode.is_strict {
        in_order(&delivered)?;
    }
    Ok(())
}

/// Fails if a row was published before one of its aggregate with a lower id, unless that one was
/// not visible at the first attempt.
fn in_order(delivered: &[&ExtremeRow]) -> anyhow::Result<()> {
    for (place, late) in delivered.iter().enumerate() {
        for early in delivered[..place].iter().filter(|row| row.aggregate == late.aggregate) {
            let is_beside = late.next == Next::Untried && early.next != Next::Untried
                || late.is_scheduled()
                || early.is_scheduled();
            ensure!(early.id < late.id || is_beside, "{early:?} came before {late:?}");
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how many cases to try")]
fn try_many(mode: Mode) -> anyhow::Result<()> {
    let cases = std::env::var("ROW_CASES").map_or(Ok(3), |given| given.parse())?;
    // Failing cases are shrunk for a limited time, as each attempt takes seconds.
    let config =
        Config { cases, failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed()?.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tried = TestRunner::new_with_rng(config, rng).run(&extreme_rows(), |rows| {
        let tried = runtime.block_on(try_rows(&rows, mode));
        tried.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    tried.map_err(|error| anyhow::anyhow!("{mode:?}: {error}"))
}

#[test]
fn in_strict_order_each_row_ends_or_waits_behind_one_that_failed() -> anyhow::Result<()> {
    try_many(Mode { is_strict: true, stuck_holds: true })
}

#[test]
fn in_strict_order_stuck_rows_are_skipped_and_each_other_one_ends_or_waits() -> anyhow::Result<()> {
    try_many(Mode { is_strict: true, stuck_holds: false })
}

#[test]
fn without_an_order_each_row_ends_by_itself() -> anyhow::Result<()> {
    try_many(Mode { is_strict: false, stuck_holds: true })
}

#[test]
fn without_an_order_each_row_ends_by_itself_where_stuck_ones_are_skipped() -> anyhow::Result<()> {
    try_many(Mode { is_strict: false, stuck_holds: false })
}
