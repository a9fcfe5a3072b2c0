//! Responses to requests that get no page.

use poem::Response;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};

use super::format::Format;
use super::login::Refusal;
use super::request_checks::Suspicion;
use super::responses;

/// Why a request gets no page.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    status: StatusCode,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    /// A refusal with a sentence for the client.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), header: None }
    }

    /// The same with a header.
    pub(super) fn with(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    /// A sentence, or a problem for a program.
    pub(super) fn response(self, format: Format) -> Response {
        let mut response = match format {
            Format::Html => text(self.status, &format!("{}\n", self.detail)),
            Format::Json => responses::problem(self.status, &self.detail, "", &[]),
        };
        response.headers_mut().extend(self.header);
        response
    }
}

impl From<Suspicion> for Refused {
    fn from(suspicion: Suspicion) -> Self {
        match suspicion {
            Suspicion::UnknownHost(host) => Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("The console is not known as {host}: add it to CONSOLE_ALLOWED_HOSTS."),
            ),
            Suspicion::ForeignOrigin => Self::new(
                StatusCode::FORBIDDEN,
                "Another site's page has sent this, or a program without credentials: it is refused.",
            ),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated { challenge, detail } => {
                let refused = Self::new(StatusCode::UNAUTHORIZED, detail);
                let challenge = challenge.map(HeaderValue::from_static);
                Self { header: challenge.map(|value| (header::WWW_AUTHENTICATE, value)), ..refused }
            }
            Refusal::TooManyAttempts { seconds } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Too many wrong names or secrets came from here: wait {seconds} s."),
            )
            .with(header::RETRY_AFTER, seconds),
        }
    }
}

/// A sentence, for whom no page is drawn.
pub(super) fn text(status: StatusCode, text: &str) -> Response {
    let builder = Response::builder().status(status);
    builder.content_type("text/plain; charset=utf-8").body(text.to_owned())
}
