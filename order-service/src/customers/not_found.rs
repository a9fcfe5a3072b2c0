//! The meaning of a 404: no such customer, or nothing at this address, as an ingress or a wrong
//! path answers.

use serde_json::{Map, Value};

/// The problem type for an unknown customer.
const CUSTOMER_NOT_FOUND: &str = "urn:problem:customer-not-found";

/// The type of a problem that says no more than its status
/// ([RFC 9457, section 4.2.1](https://www.rfc-editor.org/rfc/rfc9457#section-4.2.1)).
const ABOUT_BLANK: &str = "about:blank";

/// The meaning of a 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotFound {
    /// There is no such customer.
    Customer,
    /// A problem without a type: an earlier release of the customer service answers it for an
    /// unknown customer, and other servers for any path.
    Untyped,
    /// Not an answer about a customer.
    Foreign,
}

impl NotFound {
    /// Interprets a 404 with this `Content-Type` and body.
    pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Self {
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/problem+json") {
            return Self::Foreign;
        }
        let Ok(problem) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return Self::Foreign;
        };
        // A member with a value of the wrong type is ignored (section 3.1).
        match problem.get("type").and_then(Value::as_str).unwrap_or(ABOUT_BLANK) {
            CUSTOMER_NOT_FOUND => Self::Customer,
            ABOUT_BLANK => Self::Untyped,
            _ => Self::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_problem_type_says_that_there_is_no_such_customer() {
        let problem = Some("application/problem+json");
        let typed = br#"{"type":"urn:problem:customer-not-found","status":404}"#;
        for (content_type, body, expected) in [
            (problem, &typed[..], NotFound::Customer),
            (Some("Application/Problem+JSON; charset=utf-8"), typed, NotFound::Customer),
            (Some("application/problem+json;charset=utf-8"), typed, NotFound::Customer),
            (Some("application/json"), typed, NotFound::Foreign),
            (Some("application/problem+json-seq"), typed, NotFound::Foreign),
            (Some("text/html"), b"<html>404 page not found</html>", NotFound::Foreign),
            (None, typed, NotFound::Foreign),
            (problem, b"", NotFound::Foreign),
            (problem, b"404 page not found", NotFound::Foreign),
            (problem, br#"["urn:problem:customer-not-found"]"#, NotFound::Foreign),
            (problem, br#"{"type":"urn:problem:route-not-found"}"#, NotFound::Foreign),
            (problem, br#"{"type":"urn:problem:customer-not-found-here"}"#, NotFound::Foreign),
            (problem, br#"{"type":"about:blank","status":404}"#, NotFound::Untyped),
            (problem, br#"{"title":"Not Found"}"#, NotFound::Untyped),
            (problem, br#"{"type":null}"#, NotFound::Untyped),
            (problem, br#"{"type":404}"#, NotFound::Untyped),
        ] {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(NotFound::read(content_type, body), expected, "{content_type:?} {shown}");
        }
    }
}
