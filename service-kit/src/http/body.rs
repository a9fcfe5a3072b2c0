//! Reads the body of a request within limits on size and time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{Body, Request};

use super::problem::Problem;
use crate::listener::{CloseReason, Progress, record_closed};

/// The largest body that is read, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// How many bytes of an oversized body are read and discarded. A client that is still sending sees
/// the response only after it is done; if the connection is closed earlier, it sees a reset.
const MAX_DRAIN: usize = 1024 * 1024;

/// How long a body may take to arrive. A body of the largest size has to arrive at 6.5 KB/s.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns how long ago the headers of a request were complete, or `None` if it came over no
/// connection of this process.
pub fn time_since_headers(request: &Request) -> Option<Duration> {
    Some(request.data::<Arc<Progress>>()?.handled_for())
}

/// Reads the body of a request, which must be JSON.
pub(super) async fn read_json(request: &Request, body: Body) -> Result<Vec<u8>, Problem> {
    check_content_type(request.headers())?;
    read_body(request, body, MAX_BODY).await
}

/// Reads the body of a request, of at most `limit` bytes.
///
/// # Errors
/// When it is larger, ends before it is complete, or takes too long to arrive.
pub async fn read_body(request: &Request, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let content_length =
        request.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if content_length.is_some_and(|length| length > (limit + MAX_DRAIN) as u64) {
        return Err(
            larger_than(limit).header(header::CONNECTION, HeaderValue::from_static("close"))
        );
    }
    let bytes = with_timeout(READ_TIMEOUT, collect(body, limit)).await?;
    if let Some(progress) = request.data::<Arc<Progress>>() {
        progress.body_read();
    }
    Ok(bytes)
}

/// Limits the time to read a body, so that a slow client does not hold its connection for ever.
async fn with_timeout(
    limit: Duration,
    body: impl Future<Output = Result<Vec<u8>, Problem>>,
) -> Result<Vec<u8>, Problem> {
    tokio::time::timeout(limit, body).await.unwrap_or_else(|_| {
        record_closed(CloseReason::SlowBody);
        let detail = format!("The body took longer than {} s.", limit.as_secs());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
            .header(header::CONNECTION, HeaderValue::from_static("close")))
    })
}

/// Counts while reading: `Content-Length` may be wrong or, with chunks, missing.
async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = std::pin::pin!(body.into_bytes_stream());
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|_| bad_request("The body ended before it was complete.".to_owned()))?;
        if bytes.len() + chunk.len() > limit {
            let mut rest = bytes.len() + chunk.len();
            while let Ok(Some(chunk)) = stream.try_next().await {
                rest += chunk.len();
                if rest > limit + MAX_DRAIN {
                    break;
                }
            }
            return Err(larger_than(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

pub(super) fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

pub(super) fn too_large() -> Problem {
    larger_than(MAX_BODY)
}

fn larger_than(limit: usize) -> Problem {
    let detail = format!("The body is larger than {} KiB.", limit / 1024);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

pub(super) fn unsupported(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        .header(header::ACCEPT, HeaderValue::from_static("application/json"))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let encoded =
        headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity");
    if encoded {
        return Err(unsupported("The body must not be compressed."));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(only), None) if only.to_str().is_ok_and(is_json) => Ok(()),
        _ => Err(unsupported("The Content-Type must be application/json.")),
    }
}

/// Returns true for `application/json`, with or without the redundant `charset=utf-8`.
fn is_json(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    named
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            Some(_) => true,
            None => parameter.is_empty(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf_8_is_the_only_type() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json;",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let first = futures_util::stream::once(async { Ok::<_, std::io::Error>("x") });
        let silent = first.chain(futures_util::stream::pending());
        let body = collect(Body::from_bytes_stream(silent), MAX_BODY);
        let problem =
            with_timeout(Duration::from_millis(20), body).await.expect_err("the body never ends");
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_is_counted_while_it_is_read() {
        let chunks = |count: usize| {
            let chunk = |_| Ok::<_, std::io::Error>(vec![b' '; 1024]);
            Body::from_bytes_stream(futures_util::stream::iter((0..count).map(chunk)))
        };
        let request = Request::builder()
            .content_type("application/json")
            .header("content-length", 5)
            .finish();
        let read = read_json(&request, chunks(64)).await.expect("64 KiB are fine");
        assert_eq!(read.len(), MAX_BODY);
        let problem = read_json(&request, chunks(65)).await.expect_err("too large");
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
