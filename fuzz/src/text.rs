//! Texts from outside: reasons of failures, and what comes in headers and queries of HTTP.

use outbox_relay::fuzz::{cursor, fingerprint};
use service_kit::http::Parameters;
use service_kit::http::page::Page;
use service_kit::trace::TraceContext;

use crate::memory::within;

/// The longest name of a cause, in characters.
const LONGEST_NAME: usize = 200;

/// A value that no name of a cause has.
const ID: &str = "018f6b5e-7c1a-7d2e-9b3f-2a4c5d6e7f80";

/// The name of a cause is short, has no values, and is its own name.
pub fn failure_reason(data: &[u8]) {
    let Ok(reason) = std::str::from_utf8(data) else {
        return;
    };
    within(256 * 1024 + 16 * data.len(), || {
        let (name, hash) = fingerprint(reason);
        assert!(name.chars().count() <= LONGEST_NAME, "{name}");
        assert!(hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(fingerprint(&name), (name.clone(), hash), "the name of {reason:?}");
        let (name, _) = fingerprint(&format!("{ID} {reason} {ID}"));
        assert!(!name.contains(ID), "{name}");
    });
}

/// Trace context, cursors and queries: what is accepted is read again as the same.
pub fn http_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    within(64 * 1024 + 64 * data.len(), || {
        let (parent, state) = text.split_once('\n').unwrap_or((text, ""));
        if let Some(context) = TraceContext::read(parent, Some(state)) {
            let mut headers = context.headers();
            let (name, parent) = headers.next().expect("the parent");
            let state = headers.next().map(|(_, state)| state);
            assert_eq!((name, parent.len()), ("traceparent", 55));
            let again = TraceContext::read(&parent, state.as_deref());
            assert_eq!(again, Some(context), "{text}");
        }
        if let Ok(place) = cursor(text) {
            assert_eq!(cursor(&place), Ok(place.clone()), "{text}");
        }
        if let Ok(mut parameters) = Parameters::new(text) {
            let page = Page::from_parameters(&mut parameters);
            assert!((1..=500).contains(&page.limit));
            // All faults at once, or none.
            let _ = parameters.finish();
        }
    });
}
