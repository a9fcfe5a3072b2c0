//! HTTP byte by byte, for clients that misbehave as no library does.

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::pipeline::PATIENCE;

/// A connection to the server of a URL.
///
/// # Errors
/// When it takes none.
pub async fn connect_to(url: &str) -> anyhow::Result<TcpStream> {
    Ok(TcpStream::connect(url.trim_start_matches("http://")).await?)
}

/// Sends bytes as they are and reads until the server closes the connection.
///
/// # Errors
/// When it does not, or closes it in bad order.
pub async fn exchange(url: &str, request: &[u8]) -> anyhow::Result<String> {
    let mut stream = connect_to(url).await?;
    stream.write_all(request).await?;
    rest(&mut stream).await
}

/// Reads until the server closes the connection.
///
/// # Errors
/// When it does not, or closes it in bad order.
pub async fn rest(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("it stays open")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A connection that has requested `path` and whose response has begun, with a receive buffer of
/// this many bytes.
///
/// # Errors
/// When the server takes no connection, or does not answer.
pub async fn reader(url: &str, path: &str, room: u32) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(room)?;
    let mut stream = socket.connect(url.trim_start_matches("http://").parse()?).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await?;
    timeout(PATIENCE, stream.readable()).await.context("no answer")??;
    Ok(stream)
}

/// Reads a response in chunks with a pause before each, calls `begun` after the first, and returns
/// the body.
///
/// # Errors
/// When the connection ends before the answer does.
pub async fn read_slowly(
    stream: &mut TcpStream,
    piece: usize,
    pause: Duration,
    begun: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<u8>> {
    let (mut begun, mut answer, mut bytes) = (Some(begun), Vec::new(), vec![0; piece]);
    loop {
        tokio::time::sleep(pause).await;
        let read = timeout(PATIENCE, stream.read(&mut bytes)).await.context("nothing comes")??;
        anyhow::ensure!(read > 0, "closed after {} bytes", answer.len());
        answer.extend_from_slice(&bytes[..read]);
        if let Some(begun) = begun.take() {
            begun()?;
        }
        let Some(end) = answer.windows(4).take(4096).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("no length")?.parse()?;
        if answer.len() >= end + 4 + length {
            return Ok(answer.split_off(end + 4));
        }
    }
}
