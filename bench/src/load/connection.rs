//! One keep-alive connection with at most one request in flight (HTTP/1.1, RFC 9112).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// The maximum number of response headers.
const HEADERS: usize = 32;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Received bytes of the response.
    filled: usize,
    head: Option<Head>,
}

/// The layout of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// The size of status line and headers in bytes.
    length: usize,
    /// The size of the body in bytes.
    content: usize,
}

impl Connection {
    /// Opens a connection, registered in `registry` with `token`.
    pub(super) fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        // Nothing blocks after this.
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024], filled: 0, head: None })
    }

    /// Sends a request. The socket's buffer has room, as the last request was answered.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.filled = 0;
        self.head = None;
        self.stream.write_all(request)
    }

    /// Reads what has arrived. Returns the response's status once it is complete.
    pub(super) fn receive(&mut self) -> io::Result<Option<u16>> {
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.filled * 2, 0);
            }
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
            if self.head.is_none() {
                self.head = parse(&self.buffer[..self.filled])?;
            }
            if let Some(Head { status, length, content }) = self.head
                && self.filled >= length + content
            {
                return Ok(Some(status));
            }
        }
    }
}

/// Parses status line and headers, once they are complete.
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
