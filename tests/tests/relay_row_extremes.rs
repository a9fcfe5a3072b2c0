//! Rows of every extreme that the table allows, few aggregates, so that they stand behind each other: each row ends published, stuck with
//! the reason, or waiting behind what the settings say, and the relay never takes one of them for a trouble of the database.
//!
//! `TEST_SEED` repeats a run, `ROW_CASES` makes it longer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use outbox_relay::Outcome;
use pipeline_tests::outbox::{Outbox, PATIENCE, Stepped, event_id};
use pipeline_tests::seed::seed;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Rows of a case.
const ROWS: usize = 60;

/// `RELAY_MAX_ATTEMPTS`.
const MAX_ATTEMPTS: i32 = 3;

/// What each relay is set to besides: what fails is tried again soon, and the longest payload is shorter than the longest one here.
const SETTINGS: [&str; 8] = [
    "--relay-max-attempts",
    "3",
    "--relay-backoff-min",
    "20ms",
    "--relay-backoff-max",
    "100ms",
    "--relay-max-message-bytes",
    "2500000",
];

/// A row as it is inserted. What is not a text of its own is an expression of SQL.
#[derive(Clone)]
struct Row {
    id: i64,
    aggregate: (&'static str, String),
    event_type: String,
    headers: Value,
    payload: Value,
    created_at: (&'static str, bool),
    attempts: i32,
    last_error: Option<String>,
    next: Next,
    is_published: bool,
}

/// An expression of SQL.
#[derive(Debug, Clone)]
struct Value {
    sql: String,
    /// About as many bytes as a message needs for it.
    size: usize,
    /// It can be sent, if there is room for it.
    is_fit: bool,
}

/// When the row is to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Null,
    /// At once, or in a moment.
    Due(&'static str),
    Later,
    Never,
}

/// What is to become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Published,
    /// With so many attempts.
    Stuck(i32),
    /// Nothing.
    Left,
    /// It was tried before one with a lower id is seen, that will hold it back: it is tried beside that one, or again, or not.
    Beside,
}

/// What may become of rows, by their ids.
type Fates = BTreeMap<i64, Fate>;

/// What those ahead of a row in its aggregate hold back for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    /// What nobody has tried yet.
    Untried,
    All,
}

/// What a relay makes of events that fail.
#[derive(Debug, Clone, Copy)]
struct Mode {
    is_strict: bool,
    stuck_holds: bool,
}

/// In one line.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, attempts, next, is_published, last_error, .. } = self;
        let begin = |text: &str| text.chars().take(20).collect::<String>();
        let (kind, name) = &self.aggregate;
        write!(
            f,
            "{id} of {kind:?} {:?} ({}), {:?} ({}), headers {} ({}), payload {} ({}), {}, {attempts}, {next:?}, {is_published}, {:?}",
            begin(name),
            name.len(),
            begin(&self.event_type),
            self.event_type.len(),
            begin(&self.headers.sql),
            self.headers.size,
            begin(&self.payload.sql),
            self.payload.size,
            self.created_at.0,
            last_error.as_deref().map(begin)
        )
    }
}

/// Bytes that the broker allows for the headers and the aggregate's name.
const ROOM: usize = 30_720;

fn value(sql: impl Into<String>, size: usize) -> Value {
    Value { sql: sql.into(), size, is_fit: true }
}

fn unfit(sql: impl Into<String>) -> Value {
    Value { sql: sql.into(), size: 0, is_fit: false }
}

/// What text may hold without being easy: control characters, quotes, marks of direction, the end of the range.
const ODD: &str = "\u{1}\t\r\n\"'\\%_{}$1 \u{7f}\u{85}\u{200b}\u{202e}\u{feff}\u{fffd}\u{10ffff}\\u0000 e\u{301}\u{1f980}";

fn ids() -> impl Strategy<Value = i64> {
    let ends = vec![i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
    prop_oneof![12 => 1..90_i64, 3 => -30..0_i64, 2 => select(ends), 1 => any::<i64>()]
}

fn aggregates() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        4 => Just(("order", "7".to_owned())),
        4 => Just(("order", String::new())),
        4 => Just(("", "7".to_owned())),
        4 => Just(("", String::new())),
        4 => Just(("\u{1f980}\n", ODD.to_owned())),
        3 => Just(("order", "\u{f1}".repeat(10_000))),
        1 => Just(("order", "\u{1f980}".repeat(25_000))),
    ]
}

fn event_types() -> impl Strategy<Value = String> {
    let longest = "order.".to_owned() + &"x".repeat(249);
    prop_oneof![
        60 => Just("order.created".to_owned()),
        6 => Just(String::new()),
        3 => Just(longest.clone()),
        3 => Just(format!("order.{ODD}")),
        2 => Just("unheard".to_owned()),
        1 => Just(longest.clone() + "x"),
        1 => Just(longest + &"\u{e9}".repeat(500)),
    ]
}

fn headers() -> impl Strategy<Value = Value> {
    let many = "(SELECT jsonb_object_agg('header ' || n, n) FROM generate_series(1, 100) AS n)";
    let odd = ODD.replace('\'', "''");
    prop_oneof![
        60 => Just(value("'{}'", 0)),
        4 => Just(value("NULL", 0)),
        4 => Just(value("'null'", 0)),
        4 => Just(value(many, 2_000)),
        4 => Just(value(format!("jsonb_build_object('{odd}', '{odd}', '', '')"), 200)),
        4 => Just(value(r#"'{"aggregate-id": [], "s": "\u0001", "i": -9223372036854775808, "d": 1e-300, "n": null}'"#.replace("[]", "0"), 100)),
        4 => Just(value("jsonb_build_object('note', repeat('\u{f1}', 10000))", 20_000)),
        1 => Just(value("jsonb_build_object('note', repeat('x', 1000000))", 1_000_000)),
        1 => Just(unfit("'[]'")),
        1 => Just(unfit("'\"text\"'")),
        1 => Just(unfit("'{\"nested\": {\"a\": [1]}}'")),
        1 => Just(unfit("jsonb_build_object('n', repeat('7', 1000)::numeric)")),
        1 => Just(unfit("jsonb_build_object(repeat('k', 256), 1)")),
    ]
}

fn payloads() -> impl Strategy<Value = Value> {
    let random = |count: u32| {
        format!("(SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, {count}) AS n)")
    };
    let odd = ODD.replace('\'', "''");
    prop_oneof![
        90 => Just(value("'{}'", 2)),
        6 => Just(value("'null'", 4)),
        6 => Just(value(format!("to_jsonb('{odd}'::text)"), 100)),
        6 => Just(value("to_jsonb(repeat('7', 1000)::numeric / 3)", 1_100)),
        6 => Just(value("(repeat('[', 1000) || repeat(']', 1000))::jsonb", 2_000)),
        6 => Just(value("jsonb_build_object('note', repeat('x', 1 << 20))", 1 << 20)),
        1 => Just(value(random(50_000), 1_800_000)),
        1 => Just(unfit(random(80_000))),
        1 => Just(unfit("jsonb_build_object('note', repeat(E'\\x01', 10000000))")),
        1 => Just(unfit("NULL")),
    ]
}

/// Times, and whether a message can say them.
fn created() -> impl Strategy<Value = (&'static str, bool)> {
    prop_oneof![
        150 => Just(("now()", true)),
        4 => Just(("'1970-01-01 00:00:00Z'", true)),
        4 => Just(("'9999-12-31 23:59:59.999999Z'", true)),
        1 => Just(("'1969-12-31 23:59:59.999999Z'", false)),
        1 => Just(("'10000-01-01 00:00:00Z'", false)),
        1 => Just(("'294276-12-31 23:59:59.999999Z'", false)),
        1 => Just(("'4714-11-24 00:00:00Z BC'", false)),
        1 => Just(("'infinity'", false)),
        1 => Just(("'-infinity'", false)),
    ]
}

fn nexts() -> impl Strategy<Value = Next> {
    prop_oneof![
        40 => Just(Next::Null),
        2 => Just(Next::Due("now() - interval '1 hour'")),
        2 => Just(Next::Due("'-infinity'")),
        2 => Just(Next::Due("now() + interval '300 milliseconds'")),
        1 => Just(Next::Later),
        1 => Just(Next::Never),
    ]
}

fn last_errors() -> impl Strategy<Value = Option<String>> {
    let refused = "the broker closed the channel over the message: no (refusal 2 of 3)";
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(String::new())),
        1 => Just(Some(ODD.to_owned())),
        1 => Just(Some("\u{1f980}".repeat(50_000))),
        1 => Just(Some(refused.to_owned())),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let attempts =
        prop_oneof![4 => Just(0), 2 => select(vec![-1, 1, 2, MAX_ATTEMPTS, i32::MAX - 1, i32::MAX])];
    let row = (
        (ids(), aggregates(), event_types(), headers(), payloads(), created()),
        (attempts, last_errors(), nexts(), prop::bool::weighted(0.1)),
    );
    let row = row.prop_map(|(contents, state)| {
        let (id, aggregate, event_type, headers, payload, created_at) = contents;
        let (attempts, last_error, next, is_published) = state;
        Row {
            id,
            aggregate,
            event_type,
            headers,
            payload,
            created_at,
            attempts,
            last_error,
            next,
            is_published,
        }
    });
    prop::collection::vec(row, 1..2 * ROWS).prop_map(|mut rows| {
        let mut ids = HashSet::new();
        rows.retain(|row| ids.insert(row.id));
        rows.truncate(ROWS);
        rows
    })
}

impl Row {
    fn can_be_a_message(&self) -> bool {
        let (kind, id) = &self.aggregate;
        self.event_type.len() <= 255
            && self.created_at.1
            && self.headers.is_fit
            && self.payload.is_fit
            && self.headers.size + kind.len() + id.len() + 100 <= ROOM
    }

    /// What becomes of it once it is tried.
    fn fate(&self) -> Fate {
        if !self.can_be_a_message() {
            return Fate::Stuck(self.attempts.saturating_add(1));
        }
        if self.event_type == "unheard" {
            return Fate::Stuck(self.attempts.saturating_add(1).max(MAX_ATTEMPTS));
        }
        Fate::Published
    }

    async fn insert(&self, outbox: &Outbox) -> anyhow::Result<Uuid> {
        let next = match self.next {
            Next::Null => "NULL",
            Next::Due(at) => at,
            Next::Later => "now() + interval '1 hour'",
            Next::Never => "'infinity'",
        };
        let published = if self.is_published { "now() - interval '1 hour'" } else { "NULL" };
        let insert = format!(
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, last_error, attempts,
                                 headers, payload, created_at, next_attempt_at, published_at)
             OVERRIDING SYSTEM VALUE
             SELECT $1, $2, $3, $4, $5, $6, {}, {}, {}, {next}, {published}
             RETURNING event_id",
            self.headers.sql, self.payload.sql, self.created_at.0
        );
        let (kind, id) = &self.aggregate;
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.id, kind, id, &self.event_type, &self.last_error, &self.attempts];
        let row = outbox.sql.query_one(&insert, &params).await;
        Ok(row.with_context(|| format!("{self:?}"))?.get(0))
    }
}

impl Mode {
    /// What is to become of each of `rows`, by its id.
    fn fates(self, rows: &[Row]) -> Fates {
        let mut rows: Vec<&Row> = rows.iter().filter(|row| !row.is_published).collect();
        rows.sort_unstable_by_key(|row| row.id);
        let (mut fates, mut holds) = (Fates::new(), HashMap::new());
        for row in rows {
            let ahead = holds.entry(&row.aggregate).or_insert(Holds::No);
            let fate = match (row.next, *ahead) {
                (Next::Later | Next::Never, _) | (_, Holds::All) => Fate::Left,
                (Next::Null, Holds::Untried) => Fate::Left,
                (Next::Due(_), Holds::Untried) => Fate::Beside,
                (_, Holds::No) => row.fate(),
            };
            let is_stuck = match row.next {
                Next::Later => false,
                Next::Never => true,
                Next::Null | Next::Due(_) => row.fate() != Fate::Published,
            };
            if self.is_strict && (row.next == Next::Later || is_stuck && self.stuck_holds) {
                let holds = if row.next == Next::Null { Holds::Untried } else { Holds::All };
                *ahead = (*ahead).max(holds);
            }
            fates.insert(row.id, fate);
        }
        fates
    }

    fn settings(self) -> [&'static str; 4] {
        let ordering = if self.is_strict { "strict" } else { "none" };
        let when_stuck = if self.stuck_holds { "hold" } else { "skip" };
        ["--relay-ordering", ordering, "--relay-when-stuck", when_stuck]
    }
}

/// A row without its contents, for comparing: the id, and everything that a relay changes.
const STATES: &str = "SELECT id, published_at IS NOT NULL, attempts, coalesce(next_attempt_at = 'infinity', false),
                             last_error, ROW(published_at, attempts, next_attempt_at, last_error)::text
                      FROM outbox ORDER BY id";

/// The rows that did not end as they are to end yet.
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

/// Steps until all rows have ended; the relay is able to work all the time, once it is connected.
async fn until_finished(
    outbox: &Outbox,
    relay: &mut Stepped,
    fates: &Fates,
    before: &HashMap<i64, String>,
) -> anyhow::Result<()> {
    let (end, mut connected) = (Instant::now() + PATIENCE / 6, false);
    loop {
        let now = Box::pin(relay.relay.run_once()).await;
        let statuses = relay.health.statuses();
        ensure!(!connected || now != Outcome::Unavailable, "it can't work: {statuses:?}");
        connected |= now != Outcome::Unavailable;
        ensure!(!connected || relay.health.is_ready(), "it says that it can't: {statuses:?}");
        if now == Outcome::Worked {
            continue;
        }
        let left = unfinished(outbox, fates, before).await?;
        if left.is_empty() && now == Outcome::Idle {
            return Ok(());
        }
        ensure!(Instant::now() < end, "it is {now:?}, and so many are left: {left:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn try_rows(rows: &[Row], mode: Mode) -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    for key in ["", "order.#"] {
        outbox.queue("all", key).await?;
    }
    outbox
        .sql
        .batch_execute("ALTER TABLE outbox ALTER headers DROP NOT NULL, ALTER payload DROP NOT NULL; BEGIN")
        .await?;
    let mut by_event = HashMap::new();
    for row in rows {
        by_event.insert(row.insert(&outbox).await?, row);
    }
    outbox.sql.batch_execute("COMMIT").await?;
    let states = outbox.sql.query(STATES, &[]).await?;
    let before: HashMap<i64, String> = states.iter().map(|row| (row.get(0), row.get(5))).collect();

    let fates = mode.fates(rows);
    let mut relay = outbox.relay(&[&mode.settings()[..], &SETTINGS].concat())?;
    until_finished(&outbox, &mut relay, &fates, &before).await?;

    let mut delivered: Vec<&Row> = Vec::new();
    for message in outbox.take_all("all").await? {
        delivered.push(by_event.get(&event_id(&message)?).context("an event of nobody's")?);
    }
    let ids: HashSet<i64> = delivered.iter().map(|row| row.id).collect();
    ensure!(ids.len() == delivered.len(), "nothing went wrong, and some were sent twice");
    let published = "SELECT id FROM outbox WHERE published_at IS NOT NULL";
    let published = outbox.sql.query(published, &[]).await?;
    let published: HashSet<i64> = published.iter().map(|row| row.get(0)).collect();
    let wanted: HashSet<i64> = published.into_iter().filter(|id| fates.contains_key(id)).collect();
    ensure!(ids == wanted, "sent: {ids:?}, marked: {wanted:?}");
    for (place, late) in delivered.iter().enumerate().filter(|_| mode.is_strict) {
        for early in delivered[..place].iter().filter(|row| row.aggregate == late.aggregate) {
            let is_beside = late.next == Next::Null && early.next != Next::Null;
            ensure!(early.id < late.id || is_beside, "{early:?} came before {late:?}");
        }
    }
    Ok(())
}

fn try_many(mode: Mode) -> anyhow::Result<()> {
    let cases = std::env::var("ROW_CASES").map_or(Ok(3), |given| given.parse())?;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: std::env::var("SHRINK").map_or(0, |s| s.parse().unwrap_or(0)), ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed()?.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tried = TestRunner::new_with_rng(config, rng).run(&rows(), |rows| {
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
fn in_strict_order_each_row_ends_or_waits_behind_one_that_is_tried_again_where_stuck_ones_are_skipped()
-> anyhow::Result<()> {
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
