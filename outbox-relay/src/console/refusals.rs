//! Responses to requests that get no page.

use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};

use super::login::Refusal;
use super::request_checks::Suspicion;

/// Why a suspicious request is not answered.
pub(super) fn refuse_suspicion(suspicion: &Suspicion) -> Response {
    match suspicion {
        Suspicion::UnknownHost(host) => text(
            StatusCode::MISDIRECTED_REQUEST,
            &format!("The console is not known as {host}: add it to CONSOLE_ALLOWED_HOSTS.\n"),
        ),
        Suspicion::ForeignOrigin => text(
            StatusCode::FORBIDDEN,
            "Another site's page has sent this, or a program without credentials: it is refused.\n",
        ),
    }
}

/// Why nobody is logged in.
pub(super) fn refuse_login(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Unauthenticated { challenge, detail } => {
            let status = StatusCode::UNAUTHORIZED;
            let mut response = text(status, &format!("{detail}\n"));
            if let Some(challenge) = challenge {
                let challenge = HeaderValue::from_static(challenge);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
        Refusal::TooManyAttempts { seconds } => {
            let mut response = text(
                StatusCode::TOO_MANY_REQUESTS,
                &format!("Too many wrong names or secrets came from here: wait {seconds} s.\n"),
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            response
        }
    }
}

/// A sentence, for whom no page is drawn.
pub(super) fn text(status: StatusCode, text: &str) -> Response {
    let builder = Response::builder().status(status);
    builder.content_type("text/plain; charset=utf-8").body(text.to_owned())
}
