//! Request ids: one per request, in every response and every log line.

use std::fmt;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries the id in requests and responses.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the client's if it is valid, otherwise a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the id in the headers of a request, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(only), None) => Self::parse(only),
            _ => None,
        }
        .unwrap_or_else(Self::new)
    }

    /// Creates a new id.
    pub(super) fn new() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// Accepts an id that is safe in logs, headers and URLs.
    fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ((1..=128).contains(&text.len()) && text.bytes().all(harmless)).then(|| Self(text.into()))
    }

    /// Returns the id as a header value.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id consists of letters, digits, '.', '_' and '-'")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
            headers.append(HEADER, value);
        }
        RequestId::of(&headers).to_string()
    }

    #[test]
    fn a_sane_id_is_kept() {
        assert_eq!(id_of(&["Job-7_a.b"]), "Job-7_a.b");
        assert_eq!(id_of(&[&"x".repeat(128)]), "x".repeat(128));
    }

    #[test]
    fn any_other_id_is_replaced() {
        for values in
            [&[][..], &[""], &["a b"], &["a\"b"], &["é"], &["a", "b"], &[&"x".repeat(129)]]
        {
            let id = id_of(values);
            assert!(Uuid::try_parse(&id).is_ok(), "{values:?} gave {id}");
        }
    }
}
