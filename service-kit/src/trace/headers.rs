//! `OTEL_EXPORTER_OTLP_HEADERS`.

use std::fmt;
use std::str::FromStr;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Headers for each request to the collector, such as an API key. `Debug` shows no values.
#[derive(Clone, Default)]
pub struct ExportHeaders(HeaderMap);

impl ExportHeaders {
    /// Returns the headers by name.
    pub(super) fn into_map(self) -> HeaderMap {
        self.0
    }
}

impl FromStr for ExportHeaders {
    type Err = String;

    /// Parses `name=value` pairs, separated by commas, as in [the
    /// specification](https://opentelemetry.io/docs/specs/otel/protocol/exporter/); values are
    /// percent-encoded.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (number, pair) in (1..).zip(text.split(',').filter(|pair| !pair.trim().is_empty())) {
            let wrong = || format!("header {number} of it is not name=value");
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = percent_decode(value.trim()).ok_or_else(wrong)?;
            let name = HeaderName::from_str(name.trim()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self(headers))
    }
}

impl fmt::Debug for ExportHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Decodes percent-encoding; a percent sign without two hexadecimal digits stands for itself.
fn percent_decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|digits| byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        let headers = text.parse::<ExportHeaders>()?.into_map();
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        headers.sort();
        Ok(headers)
    }

    #[test]
    fn pairs_are_read_with_their_encoding() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parse(""), Ok(vec![]));
        let all = [pair("authorization", "Basic a=="), pair("x", "100%"), pair("y", "a,b")];
        assert_eq!(parse("authorization=Basic%20a==, x = 100% ,y=a%2Cb,"), Ok(all.to_vec()));
    }

    #[test]
    fn what_is_no_header_is_refused_without_being_shown() {
        for wrong in ["hunter2", "a=1,hunter2", "a b=hunter2", "a=hunter2%0A", "=hunter2"] {
            let sentence = parse(wrong).expect_err(wrong);
            assert!(sentence.ends_with("is not name=value"), "{sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
    }
}
