//! Extreme values of the outbox's columns, and what becomes of a row with one.

/// The expected outcome of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The database refuses it with this SQLSTATE.
    Refused(&'static str),
    /// Sent and marked.
    Published,
    /// Stuck, for a reason that contains this.
    Stuck(&'static str),
    /// Neither sent nor changed: it was published before, or is scheduled, parked or stuck.
    Left,
}

use Fate::{Left, Published, Refused, Stuck};

/// A row with one extreme value.
#[derive(Debug)]
pub struct Case {
    /// The column.
    pub column: &'static str,
    /// An SQL expression.
    pub value: &'static str,
    /// Other columns that it takes.
    pub others: &'static [(&'static str, &'static str)],
    /// What becomes of it.
    pub fate: Fate,
}

const fn case(column: &'static str, value: &'static str, fate: Fate) -> Case {
    Case { column, value, others: &[], fate }
}

/// SQLSTATEs of PostgreSQL
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const NOT_NULL: Fate = Refused("23502");
const UNIQUE: Fate = Refused("23505");
const NO_SUCH_TEXT: Fate = Refused("22P02");
const OUT_OF_RANGE: Fate = Refused("22003");
const NO_TIME: Fate = Refused("22008");
const NOT_IN_REPERTOIRE: Fate = Refused("22021");
const NO_NUL: Fate = Refused("54000");
const UNTRANSLATABLE: Fate = Refused("22P05");

const TOO_LONG: Fate = Stuck("the headers and the aggregate's name take");
const LONG_NAME: Fate = Stuck(" bytes long, the broker allows ");
const LONG_KEY: Fate = Stuck("event_type is the routing key and");
const NO_EVENT_TIME: Fate = Stuck("created_at is not a time from 1970 to 9999");

/// Events that failed, or were written for later, by other columns than that of the case.
const FAILED: &[(&str, &str)] = &[("attempts", "3")];
const FIRST_OF_ALL: &[(&str, &str)] = &[("attempts", "3"), ("next_attempt_at", "'-infinity'")];
const STUCK: &[(&str, &str)] = &[("attempts", "3"), ("next_attempt_at", "'infinity'")];

/// All cases.
pub static CASES: &[Case] = &[
    Case { others: FIRST_OF_ALL, ..case("id", "-9223372036854775808", Published) },
    case("id", "-1", Published),
    case("id", "0", Published),
    case("id", "9223372036854775807", Published),
    case("id", "9223372036854775808", OUT_OF_RANGE),
    case("id", "NULL", NOT_NULL),
    case("id", "1", UNIQUE),
    case("event_id", "'00000000-0000-0000-0000-000000000000'", Published),
    case("event_id", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", Published),
    case("event_id", "'{FFFFFFFFFFFF4FFFBFFFFFFFFFFFFFFE}'", Published),
    case("event_id", "(SELECT min(event_id::text)::uuid FROM outbox)", UNIQUE),
    case("event_id", "'7'", NO_SUCH_TEXT),
    case("event_id", "NULL", NOT_NULL),
    case("aggregate_type", "''", Published),
    case("aggregate_type", "E' \\t\\r\\n\\x01\\x7f'", Published),
    case("aggregate_type", "U&'\\+10FFFF\\202E\\FEFF\\FFFD'", Published),
    case("aggregate_type", "repeat('t', 30000)", Published),
    case("aggregate_type", "repeat('t', 200000)", LONG_NAME),
    case("aggregate_type", "repeat('t', 5000000)", LONG_NAME),
    case("aggregate_type", "chr(0)", NO_NUL),
    case("aggregate_type", "convert_from('\\xff', 'UTF8')", NOT_IN_REPERTOIRE),
    case("aggregate_type", "NULL", NOT_NULL),
    case("aggregate_id", "''", Published),
    case("aggregate_id", "E' \\t\\r\\n\\x01\\x7f'", Published),
    case("aggregate_id", "U&'\\+10FFFF\\202E\\FEFF\\FFFD'", Published),
    case("aggregate_id", "'NaN'", Published),
    case("aggregate_id", "'''; DROP TABLE outbox; --'", Published),
    case("aggregate_id", "repeat('i', 30000)", Published),
    case("aggregate_id", "repeat('i', 200000)", LONG_NAME),
    case("aggregate_id", "repeat('i', 5000000)", LONG_NAME),
    case("aggregate_id", "chr(0)", NO_NUL),
    case("aggregate_id", "convert_from('\\xeda080', 'UTF8')", NOT_IN_REPERTOIRE),
    case("aggregate_id", "NULL", NOT_NULL),
    case("event_type", "''", Published),
    case("event_type", "' '", Published),
    case("event_type", "'#.*'", Published),
    case("event_type", "repeat('.', 255)", Published),
    case("event_type", "E'\\x01\\n'", Published),
    case("event_type", "repeat('x', 255)", Published),
    case("event_type", "repeat('x', 256)", LONG_KEY),
    case("event_type", "repeat(U&'\\00E9', 127) || 'x'", Published),
    case("event_type", "repeat(U&'\\00E9', 128)", LONG_KEY),
    case("event_type", "repeat('x', 5000000)", LONG_KEY),
    case("event_type", "chr(0)", NO_NUL),
    case("event_type", "NULL", NOT_NULL),
    case("payload", "'null'", Published),
    case("payload", "'false'", Published),
    case("payload", "'\"\"'", Published),
    case("payload", "'[]'", Published),
    case("payload", "'{\"\": {\"\": [[], {}]}, \"a\": 1, \"a\": 2}'", Published),
    case("payload", "'1e131071'", Published),
    case("payload", "'1e-16383'", Published),
    case("payload", "'-0.000'", Published),
    case("payload", "'1e131072'", OUT_OF_RANGE),
    case("payload", "to_jsonb('NaN'::numeric)", Published),
    case("payload", "to_jsonb('-infinity'::float8)", Published),
    case("payload", "to_jsonb('infinity'::timestamptz)", Published),
    case("payload", "'NaN'", NO_SUCH_TEXT),
    case("payload", "'Infinity'", NO_SUCH_TEXT),
    case("payload", "''", NO_SUCH_TEXT),
    case("payload", "'{\"a\": \"\\u0000\"}'", UNTRANSLATABLE),
    case("payload", "'\"\\ud800\"'", NO_SUCH_TEXT),
    case("payload", "to_jsonb(U&'\\+10FFFF\\202E\\FEFF\\FFFD'::text)", Published),
    case("payload", "(repeat('[', 3000) || repeat(']', 3000))::jsonb", Published),
    case("payload", "to_jsonb(repeat('x', 1 << 20))", Published),
    case("payload", "to_jsonb(repeat('x', 50 << 20))", Stuck("RELAY_MAX_MESSAGE_BYTES")),
    case("payload", "NULL", NOT_NULL),
    case("headers", "'{}'", Published),
    case("headers", "'null'", Published),
    case("headers", "'{\"\": \"\", \"aggregate-id\": 7, \"n\": null}'", Published),
    case("headers", "'{\"i\": 9223372036854775807, \"j\": 9223372036854775808}'", Published),
    case("headers", "'{\"n\": 1e308, \"m\": -1e-308}'", Published),
    case("headers", "'{\"n\": 1e309}'", Stuck("the headers can't be read")),
    case("headers", "'{\"n\": \"NaN\"}'", Published),
    case("headers", "jsonb_build_object(repeat('k', 255), 1)", Published),
    case("headers", "jsonb_build_object(repeat('k', 256), 1)", Stuck("256 bytes long")),
    case("headers", "jsonb_build_object('k', repeat('v', 30000))", Published),
    case("headers", "jsonb_build_object('k', repeat('v', 200000))", TOO_LONG),
    case("headers", "jsonb_build_object('k', repeat('v', 5000000))", TOO_LONG),
    case("headers", "'[]'", Stuck("the headers are an array")),
    case("headers", "'7'", Stuck("the headers are a number")),
    case("headers", "'\"\"'", Stuck("the headers are a string")),
    case("headers", "'{\"n\": {}}'", Stuck("\"n\" is an object")),
    case("headers", "'{\"amqp-priority\": 256}'", Stuck("amqp-priority")),
    case("headers", "'{\"amqp-expiration\": -1}'", Stuck("amqp-expiration")),
    case("headers", "'{\"amqp-\": 1}'", Stuck("amqp-")),
    case("headers", "'{\"traceparent\": \"00-\", \"tracestate\": \"=,=\"}'", Published),
    case("headers", "NULL", NOT_NULL),
    case("created_at", "'1970-01-01 00:00:00Z'", Published),
    case("created_at", "'9999-12-31 23:59:59.999999Z'", Published),
    case("created_at", "'2016-12-31 23:59:60Z'", Published),
    case("created_at", "'2026-01-01 00:00:00+15:59:59'", Published),
    case("created_at", "'2026-01-01 00:00:00 Pacific/Kiritimati'", Published),
    case("created_at", "'1969-12-31 23:59:59.999999Z'", NO_EVENT_TIME),
    case("created_at", "'10000-01-01 00:00:00Z'", NO_EVENT_TIME),
    case("created_at", "'4714-11-24 00:00:00Z BC'", NO_EVENT_TIME),
    case("created_at", "'294276-12-31 23:59:59.999999Z'", NO_EVENT_TIME),
    case("created_at", "'infinity'", NO_EVENT_TIME),
    case("created_at", "'-infinity'", NO_EVENT_TIME),
    case("created_at", "'294277-01-01 00:00:00Z'", NO_TIME),
    case("created_at", "'4714-11-23 00:00:00Z BC'", NO_TIME),
    case("created_at", "NULL", NOT_NULL),
    case("published_at", "now()", Left),
    case("published_at", "'infinity'", Left),
    case("published_at", "'-infinity'", Left),
    case("published_at", "'294276-12-31 23:59:59.999999Z'", Left),
    case("published_at", "'4714-11-24 00:00:00Z BC'", Left),
    case("attempts", "-2147483648", Published),
    case("attempts", "-1", Published),
    case("attempts", "2147483647", Published),
    case("attempts", "2147483648", OUT_OF_RANGE),
    case("attempts", "'NaN'::numeric", Refused("0A000")),
    case("attempts", "NULL", NOT_NULL),
    Case { others: FAILED, ..case("next_attempt_at", "'-infinity'", Published) },
    case("next_attempt_at", "'-infinity'", Published),
    case("next_attempt_at", "'4714-11-24 00:00:00Z BC'", Published),
    case("next_attempt_at", "now() + interval '1 hour'", Left),
    case("next_attempt_at", "'294276-12-31 23:59:59.999999Z'", Left),
    case("next_attempt_at", "'infinity'", Left),
    Case { others: FAILED, ..case("next_attempt_at", "'infinity'", Left) },
    Case { others: &[("attempts", "-1")], ..case("next_attempt_at", "'infinity'", Left) },
    case("last_error", "''", Published),
    case("last_error", "repeat(U&'\\+01F980', 1000000)", Published),
    case("last_error", "E'\\x01 (refusal 2 of 3)'", Published),
    Case { others: STUCK, ..case("last_error", "NULL", Left) },
    Case { others: STUCK, ..case("last_error", "repeat('x', 5000000)", Left) },
    case("error_kind", "''", Published),
    case("error_kind", "'not yet invented'", Published),
    case("error_kind", "repeat('x', 1000000)", Published),
    Case { others: STUCK, ..case("error_kind", "'not yet invented'", Left) },
    case("error_fingerprint", "''", Published),
    case("error_fingerprint", "repeat('x', 1000000)", Published),
    Case { others: STUCK, ..case("error_fingerprint", "U&'\\+01F980'", Left) },
    case("no_such_column", "1", Refused("42703")),
];
