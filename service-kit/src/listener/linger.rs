//! Lingering close: closes a connection so that the client can read the last response. If a
//! connection is closed while the client's bytes are unread or still arrive, the kernel resets it,
//! and the client may lose the response ([RFC 9112, section
//! 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many bytes are read and discarded.
const MAX_DRAIN: usize = 1 << 20;

/// How long they are read.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Closes the sending side, and reads until the client closes its side, has sent a megabyte, or a
/// second has passed.
///
/// # Errors
/// If the client has reset the connection.
pub(super) async fn close(mut tcp: TcpStream) -> io::Result<()> {
    let closing = async {
        tcp.shutdown().await?;
        let (mut bytes, mut drained) = (vec![0; 4096], 0);
        while drained < MAX_DRAIN {
            match tcp.read(&mut bytes).await? {
                0 => break,
                length => drained += length,
            }
        }
        Ok(())
    };
    tokio::time::timeout(MAX_TIME, closing).await.unwrap_or(Ok(()))
}
