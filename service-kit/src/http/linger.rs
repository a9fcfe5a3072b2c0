//! Closing a connection so that the client sees the last answer: a system that closes a connection while bytes of the client's are unread, or still come,
//! resets it, and the client may lose what it has not read yet ([RFC 9112, section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many bytes of the client's are read and thrown away.
const MAX_DRAIN: usize = 1 << 20;

/// How long they are.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Closes the sending side, and reads until the client closes too, has sent a megabyte or a second has passed.
///
/// # Errors
/// When the client has reset the connection.
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
