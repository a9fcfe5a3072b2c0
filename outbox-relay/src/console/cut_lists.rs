//! Reads what a change prints as JSON, and keeps of each list only the beginning: a command names
//! each row of a million, and the console keeps the answers of hundreds of commands.

use std::fmt;
use std::io::Read;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How many rows of a list are kept.
const ROWS: usize = 1000;

/// How many bytes of a list are kept.
const BYTES: usize = 128 * 1024;

/// The member that is added if lists are cut: how many rows each of them had.
pub(super) const CUT: &str = "cut";

/// Reads a JSON object, and cuts the lists that are its members. None if there is no such object.
pub(super) fn read(printed: impl Read) -> Option<Value> {
    serde_json::Deserializer::from_reader(printed).deserialize_map(Report).ok()
}

/// How many rows the list `name` of a report had before it was cut.
pub(super) fn length(report: &Value, name: &str) -> Option<u64> {
    let kept = report.get(name)?.as_array()?.len();
    let cut = report.get(CUT).and_then(|cut| cut.get(name)).and_then(Value::as_u64);
    cut.or_else(|| u64::try_from(kept).ok())
}

/// The whole report.
struct Report;

impl<'de> Visitor<'de> for Report {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut members, mut cut) = (Map::new(), Map::new());
        while let Some(name) = map.next_key::<String>()? {
            let mut rows = 0;
            let value = map.next_value_seed(Member { rows: &mut rows })?;
            if value.as_array().is_some_and(|kept| kept.len() < rows) {
                cut.insert(name.clone(), rows.into());
            }
            members.insert(name, value);
        }
        if !cut.is_empty() {
            members.insert(CUT.to_owned(), cut.into());
        }
        Ok(members.into())
    }
}

/// A member of the report: a list, or what is kept as it is.
struct Member<'a> {
    /// How many rows it has, if it is a list.
    rows: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member of a report")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let (mut kept, mut bytes) = (Vec::new(), 0);
        while kept.len() < ROWS {
            let Some(row) = list.next_element::<Value>()? else { return Ok(kept.into()) };
            *self.rows += 1;
            bytes += row.to_string().len();
            if bytes > BYTES {
                break;
            }
            kept.push(row);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            *self.rows += 1;
        }
        Ok(kept.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        serde::Deserialize::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Value, E> {
        Ok(is.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut(report: &Value) -> Option<Value> {
        read(report.to_string().as_bytes())
    }

    #[test]
    fn short_reports_are_kept_as_they_are() {
        let report = json!({
            "matched": 3, "rest": -1, "rate": 0.5, "why": null, "ok": true, "who": "alice",
            "ids": [1, 2, {"id": 3}], "more": {"list": [1]},
        });
        assert_eq!(cut(&report), Some(report.clone()));
        assert_eq!((length(&report, "ids"), length(&report, "who")), (Some(3), None));
        for none in ["", "[1]", "{\"a\": [1,", "no JSON"] {
            assert_eq!(read(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn of_long_lists_the_beginning_is_kept_and_the_length_is_told() {
        let long: Vec<usize> = (0..5000).collect();
        let wide = vec!["x".repeat(50_000); 10];
        let report =
            json!({ "long": long, "wide": wide, "huge": ["y".repeat(BYTES)], "short": [1] });
        let cut = cut(&report).expect("a report");
        assert_eq!(cut["long"], json!((0..ROWS).collect::<Vec<_>>()));
        assert_eq!((cut["wide"].as_array().map(Vec::len), &cut["huge"]), (Some(2), &json!([])));
        assert_eq!(cut[CUT], json!({ "long": 5000, "wide": 10, "huge": 1 }));
        assert_eq!((length(&cut, "long"), length(&cut, "short")), (Some(5000), Some(1)));
    }
}
