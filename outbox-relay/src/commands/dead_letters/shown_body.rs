//! A body as `show` prints it: as text, or else in base64; all of it, or its beginning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::queries::Body;
use crate::commands::output::escape;

/// The members of the JSON document that have the body.
#[derive(Debug, Default, Serialize)]
pub(super) struct BodyReport {
    /// The body as text, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_body: Option<CutBody>,
}

/// The beginning of a body that is longer than `--cut-at`.
#[derive(Debug, Serialize)]
struct CutBody {
    /// As text, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    beginning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beginning_base64: Option<String>,
    /// The size of all of it.
    bytes: i32,
}

impl BodyReport {
    pub(super) fn new(body: &Body) -> Self {
        let (is_cut, bytes) = (body.is_cut(), body.size);
        let (text, base64) = match body.text() {
            Some(text) => (Some(text.to_owned()), None),
            None => (None, Some(STANDARD.encode(&body.bytes))),
        };
        if is_cut {
            let cut_body = CutBody { beginning: text, beginning_base64: base64, bytes };
            return Self { cut_body: Some(cut_body), ..Self::default() };
        }
        Self { body: text, body_base64: base64, cut_body: None }
    }
}

impl Body {
    /// Whether it is only the beginning.
    fn is_cut(&self) -> bool {
        usize::try_from(self.size).is_ok_and(|size| size > self.bytes.len())
    }

    /// The body as text, if it is UTF-8.
    fn text(&self) -> Option<&str> {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Some(text),
            // The limit may cut a character in two.
            Err(error) if self.is_cut() && error.error_len().is_none() => {
                std::str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }

    /// The body for a terminal.
    pub(super) fn shown(&self) -> String {
        match self.text() {
            Some(text) if self.is_cut() => {
                format!("{}\n… (--json shows all of it)\n", escape::lines(text))
            }
            Some(text) => format!("{}\n", escape::lines(text)),
            None => "no text (--json shows it in base64)\n".to_owned(),
        }
    }
}
