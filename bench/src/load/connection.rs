//! One keep-alive connection that waits for each answer before the next request (HTTP/1.1, RFC 9112).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that an answer may have.
const HEADERS: usize = 32;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What has arrived of the answer.
    buffer: Vec<u8>,
}

/// Where an answer's parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes before the body.
    length: usize,
    /// Bytes of the body.
    content: usize,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; 64 * 1024] })
    }

    /// Sends a request and reads its answer to the end. Returns status and body.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        let mut head = None;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if head.is_none() {
                head = parse(&self.buffer[..filled])?;
            }
            if let Some(Head { status, length, content }) = head
                && filled >= length + content
            {
                return Ok((status, &self.buffer[length..length + content]));
            }
        }
    }
}

/// The head of an answer, once all of it is there.
fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(io::Error::other)?;
    let (httparse::Status::Complete(length), Some(status)) = (parsed, answer.code) else {
        return Ok(None);
    };
    let given = answer.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let content = given.and_then(|it| std::str::from_utf8(it.value).ok()?.parse().ok());
    let content = content.ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
    Ok(Some(Head { status, length, content }))
}

#[cfg(test)]
mod tests {
    use super::{Head, parse};

    #[test]
    fn an_answer_is_read_when_its_head_is_there() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        let head = Head { status: 201, length: answer.len() - 2, content: 2 };
        assert_eq!(parse(answer).expect("an answer"), Some(head));
        assert_eq!(parse(&answer[..30]).expect("half an answer"), None);
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"220 mail.example").is_err());
    }
}
