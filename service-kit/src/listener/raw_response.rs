//! Error responses written directly to the socket, where hyper has no request to answer: the parser
//! rejected it, or its headers took too long.

use std::time::Duration;

use hyper::StatusCode;
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::linger;
use super::request_id::{HEADER, RequestId};
use crate::problem::{CONTENT_TYPE, Problem};

/// How long sending the response may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The date format of HTTP: [RFC 9110, section
/// 5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7).
const HTTP_DATE: StaticFormatDescription = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Returns the problem for bytes that hyper could not parse, or `None` if the connection ended for
/// another reason.
pub(super) fn for_parse_error(error: &hyper::Error) -> Option<Problem> {
    if error.is_parse_too_large() {
        let detail = "The request line and the headers are larger than 16 KiB or more than 100.";
        return Some(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    error.is_parse().then(|| {
        let detail = "This is no HTTP/1.1 request: the request line or a header is malformed.";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}

/// Returns the problem for headers that arrive too slowly.
pub(super) fn slow_headers(limit: Duration) -> Problem {
    let detail = format!("The headers took longer than {} s.", limit.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// Sends `problem` over a connection on which no other response is being sent, and closes it.
pub(super) async fn send(mut tcp: TcpStream, problem: &Problem) {
    let id = RequestId::new();
    let status = problem.status().as_u16();
    tracing::debug!(target: "access", request_id = %id, status, "malformed request");
    let text = render(problem, &id);
    let sent = match tokio::time::timeout(SEND_TIMEOUT, tcp.write_all(text.as_bytes())).await {
        Ok(Ok(())) => linger::close(tcp).await,
        Ok(Err(error)) => Err(error),
        Err(late) => Err(late.into()),
    };
    if let Err(error) = sent {
        tracing::debug!(request_id = %id, %error, "the client did not read the error response");
    }
}

fn render(problem: &Problem, id: &RequestId) -> String {
    let (status, body) = (problem.status(), problem.body());
    let date = OffsetDateTime::now_utc().format(HTTP_DATE).unwrap_or_default();
    let reason = status.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n{HEADER}: {id}\r\n\
         connection: close\r\ndate: {date}\r\n\r\n{body}",
        status.as_u16(),
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_a_whole_problem() {
        let id = RequestId::new();
        let text = render(&slow_headers(Duration::from_secs(10)), &id);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let lines: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 408 Request Timeout");
        assert_eq!(lines[1], "content-type: application/problem+json");
        assert_eq!(lines[2], format!("content-length: {}", body.len()));
        assert_eq!(lines[3], format!("x-request-id: {id}"));
        assert_eq!(lines[4], "connection: close");
        assert!(lines[5].starts_with("date: ") && lines[5].ends_with(" GMT"), "{head}");
        assert!(body.contains("\"status\":408"), "{body}");
    }
}
