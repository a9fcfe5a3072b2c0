//! Headers as no program of ours writes them.

use lapin::types::{AMQPValue, FieldArray, FieldTable};
use rand::RngExt as _;
use rand::rngs::StdRng;

/// Below a frame of RabbitMQ, with room for what the broker and the consumer add.
const HUGE_HEADERS: usize = 60_000;

/// Headers of every type, nested, many, huge, and those that the consumer itself writes, with
/// values that it does not.
pub(super) fn headers(rng: &mut StdRng) -> FieldTable {
    let mut headers = FieldTable::default();
    match rng.random_range(0..6) {
        0 => {}
        1 => {
            for name in ["x-retry-count", "x-tries", "x-reason", "x-last-failed-at", "outbox-id"] {
                headers.insert(name.into(), value(rng, 1));
            }
        }
        2 => {
            let huge = "x".repeat(HUGE_HEADERS);
            headers.insert("huge".into(), AMQPValue::LongString(huge.into()));
        }
        3 => {
            for number in 0..rng.random_range(1..500) {
                headers.insert(format!("header-{number}").into(), value(rng, 0));
            }
        }
        4 => {
            headers.insert("nested".into(), value(rng, 6));
        }
        _ => {
            headers.insert("".into(), value(rng, 1));
            headers.insert("n".repeat(128).into(), value(rng, 1));
            headers.insert("traceparent".into(), value(rng, 0));
        }
    }
    headers
}

/// A value of any type but those that RabbitMQ itself can not read (NaN, infinities), with tables and arrays nested so many levels deep.
fn value(rng: &mut StdRng, levels: usize) -> AMQPValue {
    let kinds = if levels == 0 { 13 } else { 15 };
    match rng.random_range(0..kinds) {
        0 => AMQPValue::Boolean(rng.random()),
        1 => AMQPValue::ShortShortInt(rng.random()),
        2 => AMQPValue::ShortShortUInt(rng.random()),
        3 => AMQPValue::ShortInt(rng.random()),
        4 => AMQPValue::ShortUInt(rng.random()),
        5 => AMQPValue::LongInt(rng.random()),
        6 => AMQPValue::LongUInt(rng.random()),
        7 => AMQPValue::LongLongInt(rng.random()),
        8 => AMQPValue::Float(f32::MAX),
        9 => AMQPValue::Double(f64::MIN),
        10 => AMQPValue::Timestamp(rng.random()),
        11 => AMQPValue::LongString(vec![rng.random(); rng.random_range(0..300)].into()),
        12 => AMQPValue::Void,
        13 => {
            let mut array = FieldArray::default();
            for _ in 0..rng.random_range(0..4) {
                array.push(value(rng, levels - 1));
            }
            AMQPValue::FieldArray(array)
        }
        _ => {
            let mut table = FieldTable::default();
            for number in 0..rng.random_range(0..4) {
                table.insert(number.to_string().into(), value(rng, levels - 1));
            }
            AMQPValue::FieldTable(table)
        }
    }
}
