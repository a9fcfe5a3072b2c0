//! What a payload stands for where a message has no envelope.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// See the [module](self).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PayloadEncoding {
    /// The JSON itself.
    #[default]
    Json,
    /// The bytes whose base64 is the JSON string.
    Base64,
}

/// Returns the bytes of a payload that is a JSON string in base64. Line breaks, with which
/// PostgreSQL's `encode` wraps it, are left out.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn decode(payload: &str) -> Result<Vec<u8>, String> {
    let decoded = payload.strip_prefix('"').and_then(|rest| {
        let text = rest.strip_suffix('"')?;
        if text.contains('\\') {
            return BASE64_STANDARD.decode(text.replace("\\r", "").replace("\\n", "")).ok();
        }
        BASE64_STANDARD.decode(text).ok()
    });
    decoded.ok_or_else(|| {
        "the header \"amqp-payload-encoding\" is \"base64\", but the payload is no JSON string in base64 \
         (RFC 4648, section 4)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_with_and_without_line_breaks() {
        for (payload, expected) in [
            (r#""""#, &b""[..]),
            (r#""AP8Q""#, b"\x00\xff\x10"),
            (r#""+/8=""#, b"\xfb\xff"),
            (r#""AP\n8Q\r\n""#, b"\x00\xff\x10"),
        ] {
            assert_eq!(decode(payload).as_deref(), Ok(expected), "{payload}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for payload in [
            "",
            "\"",
            "7",
            "null",
            "{}",
            r#"["AP8Q"]"#,
            "AP8Q",
            r#""AP8""#,
            r#""AP8Q=""#,
            r#""AP 8Q""#,
            r#""_-8=""#,
            r#""AP8Q\t""#,
            r#""\\n""#,
            r#""ä""#,
        ] {
            let reason = decode(payload).expect_err(payload);
            assert!(reason.starts_with("the header \"amqp-payload-encoding\" is"), "{reason}");
        }
    }
}
