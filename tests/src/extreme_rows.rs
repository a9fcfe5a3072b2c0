//! Random outbox rows of every extreme that the table allows.
//!
//! They belong to few aggregates, so that they queue behind each other; most of their values are
//! ordinary, so that not all of them are stuck.

use std::collections::HashSet;
use std::fmt;

use anyhow::Context as _;
use proptest::prelude::*;
use proptest::sample::select;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::outbox::Outbox;

/// The maximum number of rows of [`extreme_rows`].
const ROWS: usize = 60;

/// For `RELAY_MAX_ATTEMPTS`: rows have failed this many times, fewer and more.
pub const MAX_ATTEMPTS: i32 = 3;

/// For `RELAY_MAX_MESSAGE_BYTES`: the longest payloads are longer.
pub const MAX_MESSAGE_BYTES: usize = 2_500_000;

/// A routing key that no queue is bound for.
pub const UNHEARD: &str = "unheard";

/// A row.
#[derive(Clone)]
pub struct ExtremeRow {
    /// Its id.
    pub id: i64,
    /// Its aggregate's type and id.
    pub aggregate: (&'static str, String),
    /// Its routing key.
    pub event_type: String,
    /// How many times it has failed.
    pub attempts: i32,
    /// When it is to be tried.
    pub next: Next,
    /// It was published before.
    pub is_published: bool,
    last_error: Option<String>,
    headers: Value,
    payload: Value,
    created_at: Value,
}

impl ExtremeRow {
    /// Whether it was written for later: it holds back nobody before it has failed.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.attempts <= 0 && self.next != Next::Untried
    }
}

/// When a row is to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nobody has tried it.
    Untried,
    /// Due now or soon, by this SQL expression.
    Due(&'static str),
    /// Due in an hour.
    Later,
    /// It is stuck, or parked.
    Never,
}

/// An SQL expression.
#[derive(Debug, Clone)]
struct Value {
    sql: String,
    /// Approximately the bytes that it takes in a message.
    size: usize,
    /// Whether a message can contain it, if there is room.
    is_fit: bool,
}

/// One-line description.
impl fmt::Debug for ExtremeRow {
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
            self.created_at.sql,
            last_error.as_deref().map(begin)
        )
    }
}

/// The broker's limit for the headers and the aggregate's name, in bytes.
const ROOM: usize = 30_720;

fn value(sql: impl Into<String>, size: usize) -> Value {
    Value { sql: sql.into(), size, is_fit: true }
}

fn unfit(sql: impl Into<String>) -> Value {
    Value { sql: sql.into(), size: 0, is_fit: false }
}

/// Difficult characters: control characters, quotes, direction marks, the end of the range.
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
        2 => Just(UNHEARD.to_owned()),
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
        4 => Just(value(r#"'{"aggregate-id": 0, "s": "\u0001", "i": -9223372036854775808, "d": 1e-300, "n": null}'"#, 100)),
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

fn created() -> impl Strategy<Value = Value> {
    prop_oneof![
        150 => Just(value("now()", 0)),
        4 => Just(value("'1970-01-01 00:00:00Z'", 0)),
        4 => Just(value("'9999-12-31 23:59:59.999999Z'", 0)),
        1 => Just(unfit("'1969-12-31 23:59:59.999999Z'")),
        1 => Just(unfit("'10000-01-01 00:00:00Z'")),
        1 => Just(unfit("'294276-12-31 23:59:59.999999Z'")),
        1 => Just(unfit("'4714-11-24 00:00:00Z BC'")),
        1 => Just(unfit("'infinity'")),
        1 => Just(unfit("'-infinity'")),
    ]
}

fn nexts() -> impl Strategy<Value = Next> {
    prop_oneof![
        40 => Just(Next::Untried),
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

/// Rows with different ids.
pub fn extreme_rows() -> impl Strategy<Value = Vec<ExtremeRow>> {
    let attempts = prop_oneof![4 => Just(0), 2 => select(vec![-1, 1, 2, MAX_ATTEMPTS, i32::MAX - 1, i32::MAX])];
    let row = (
        (ids(), aggregates(), event_types(), headers(), payloads(), created()),
        (attempts, last_errors(), nexts(), prop::bool::weighted(0.1)),
    );
    let row = row.prop_map(|(contents, state)| {
        let (id, aggregate, event_type, headers, payload, created_at) = contents;
        let (attempts, last_error, next, is_published) = state;
        ExtremeRow {
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

impl ExtremeRow {
    /// Whether a message can contain its values.
    #[must_use]
    pub fn can_be_a_message(&self) -> bool {
        let (kind, id) = &self.aggregate;
        self.event_type.len() <= 255
            && self.created_at.is_fit
            && self.headers.is_fit
            && self.payload.is_fit
            && self.headers.size + kind.len() + id.len() + 100 <= ROOM
    }

    /// Adds it to a table that takes NULL for headers and payload; returns its `event_id`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert(&self, outbox: &Outbox) -> anyhow::Result<Uuid> {
        let next = match self.next {
            Next::Untried => "NULL",
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
            self.headers.sql, self.payload.sql, self.created_at.sql
        );
        let (kind, id) = &self.aggregate;
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.id, kind, id, &self.event_type, &self.last_error, &self.attempts];
        let row = outbox.sql.query_one(&insert, &params).await;
        Ok(row.with_context(|| format!("{self:?}"))?.get(0))
    }
}
