//! How a client wants its answer.

use poem::http::{HeaderMap, header};

/// How a client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A page.
    Html,
    /// What the page shows, as JSON.
    Json,
}

impl Format {
    /// JSON is asked for by the path or by the header. Returns the path without the part that asks
    /// for it.
    pub(super) fn of(mut path: Vec<String>, headers: &HeaderMap) -> (Vec<String>, Self) {
        if path.first().is_some_and(|part| part == "api") {
            path.remove(0);
            return (path, Self::Json);
        }
        (path, if begins(headers, &header::ACCEPT) { Self::Json } else { Self::Html })
    }
}

/// Whether a request's body is JSON, by its own account.
pub(super) fn has_json(headers: &HeaderMap) -> bool {
    begins(headers, &header::CONTENT_TYPE)
}

/// Whether a header names JSON first.
fn begins(headers: &HeaderMap, name: &header::HeaderName) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = value.split([',', ';']).next().unwrap_or_default();
    first.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_by_the_path_or_by_the_header() {
        let format = |path: &str, accept: &str| {
            let path = path.split('/').map(ToOwned::to_owned).collect();
            let headers = [(header::ACCEPT, accept.parse().expect("a value"))];
            let (path, format) = Format::of(path, &headers.into_iter().collect());
            (path.join("/"), format)
        };
        assert_eq!(format("api/events", "*/*"), ("events".to_owned(), Format::Json));
        assert_eq!(format("events", "application/json;q=1"), ("events".to_owned(), Format::Json));
        let browser = "text/html,application/xhtml+xml,application/json;q=0.9";
        assert_eq!(format("events", browser), ("events".to_owned(), Format::Html));
        assert_eq!(format("events", "application/json-seq").1, Format::Html);
    }
}
