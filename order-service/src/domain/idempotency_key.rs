//! The header `Idempotency-Key`.

use poem::http::HeaderMap;

/// The name of the header.
const HEADER: &str = "Idempotency-Key";

/// A key by which a client marks repetitions of one request: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the key of a request, if it has one.
    ///
    /// # Errors
    /// A sentence, if the value is not a valid key or there are several.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(format!("{HEADER} is given more than once"));
        }
        let bytes = value.as_bytes();
        if !(1..=255).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(format!("{HEADER} must consist of 1 to 255 visible ASCII characters"));
        }
        Ok(Some(Self(bytes.iter().copied().map(char::from).collect())))
    }

    /// The key's text.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header's value");
            headers.append("idempotency-key", value);
        }
        IdempotencyKey::from_headers(&headers).map(|key| key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_key_is_visible_ascii_within_255_characters() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"~a-1!"]), Ok(Some("~a-1!".to_owned())));
        assert!(key(&[&[b'x'; 255]]).is_ok());
        for wrong in [&b""[..], b"a b", "é".as_bytes(), b"a\tb", &[b'x'; 256]] {
            assert!(key(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(key(&[b"a", b"a"]).is_err());
    }
}
