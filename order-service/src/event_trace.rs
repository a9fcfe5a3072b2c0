//! The trace, handed on with the event: [W3C Trace Context](https://www.w3.org/TR/trace-context/).

use poem::http::HeaderMap;
use serde_json::{Map, Value};

use crate::creation::Creation;

/// The longest `tracestate` that is handed on; the specification asks for 512 characters at least.
const MAX_STATE: usize = 512;

/// `traceparent` and `tracestate` as headers of an event: those of its `creation`, or, where no traces are made, those of the
/// request as it has them.
pub(crate) fn event_headers(headers: &HeaderMap, creation: &Creation) -> Value {
    creation.headers().unwrap_or_else(|| handed_on(headers))
}

/// None when the request has no valid `traceparent`.
fn handed_on(headers: &HeaderMap) -> Value {
    let mut kept = Map::new();
    let mut parents = headers.get_all("traceparent").iter();
    if let (Some(parent), None) = (parents.next(), parents.next())
        && let Ok(parent) = parent.to_str()
        && is_parent(parent)
    {
        kept.insert("traceparent".to_owned(), parent.into());
        let states: Result<Vec<&str>, _> =
            headers.get_all("tracestate").iter().map(|state| state.to_str()).collect();
        // Several headers are one list; see section 3.3 of the specification.
        let state = states.map(|states| states.join(",")).unwrap_or_default();
        if !state.trim().is_empty() && state.len() <= MAX_STATE {
            kept.insert("tracestate".to_owned(), state.into());
        }
    }
    Value::Object(kept)
}

/// `version-traceid-parentid-flags`; versions to come may append more.
fn is_parent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, more @ ..] = parts.as_slice() else {
        return false;
    };
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    hex(version, 2)
        && *version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2)
        && (more.is_empty() || *version != "00")
        && text.len() <= 255
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> Value {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a header's value"),
            );
        }
        handed_on(&headers)
    }

    #[test]
    fn a_valid_trace_is_handed_on() {
        assert_eq!(headers(&[("traceparent", PARENT)]), json!({"traceparent": PARENT}));
        assert_eq!(
            headers(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]),
            json!({"traceparent": PARENT, "tracestate": "a=1,b=2"})
        );
        let later = format!("01-{}-more", &PARENT[3..]);
        assert_eq!(headers(&[("traceparent", &later)]), json!({"traceparent": later}));
    }

    #[test]
    fn an_invalid_trace_is_dropped_with_its_state() {
        let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for parent in [
            "",
            "00-x",
            &PARENT.to_uppercase(),
            &zeros,
            &format!("{PARENT}-more"),
            &format!("ff{}", &PARENT[2..]),
        ] {
            let kept = headers(&[("traceparent", parent), ("tracestate", "a=1")]);
            assert_eq!(kept, json!({}), "{parent}");
        }
        assert_eq!(headers(&[("traceparent", PARENT), ("traceparent", PARENT)]), json!({}));
        let long = "x".repeat(513);
        assert_eq!(
            headers(&[("traceparent", PARENT), ("tracestate", &long)]),
            json!({"traceparent": PARENT})
        );
    }
}
