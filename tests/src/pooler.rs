//! A pooler in front of PostgreSQL that assigns connections per transaction, as PgBouncer does with
//! `pool_mode=transaction`. Clients log in to the server itself; afterwards each transaction gets
//! the connection that was returned last.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::tcp_server::{TcpServer, server_of};

/// `SSLRequest` (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const SSL_REQUEST: [u8; 4] = 80_877_103_i32.to_be_bytes();

/// A pooler. Dropping it stops it.
#[derive(Debug)]
pub struct Pooler {
    _listening: TcpServer,
    pool: Arc<Pool>,
}

/// The idle connections.
#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<TcpStream>>,
    /// One permit per idle connection.
    available: Semaphore,
    /// One permit per connection that may still be added.
    room: Semaphore,
}

impl Pool {
    fn of(most: usize) -> Self {
        let (available, room) = (Semaphore::new(0), Semaphore::new(most));
        Self { idle: Mutex::default(), available, room }
    }

    /// Adds a client's own connection below the others, so that the next transaction gets one that
    /// was used before.
    fn add(&self, connection: TcpStream) {
        if let Ok(room) = self.room.try_acquire() {
            room.forget();
            self.lock().insert(0, connection);
            self.available.add_permits(1);
        }
    }

    fn give_back(&self, connection: TcpStream) {
        self.lock().push(connection);
        self.available.add_permits(1);
    }

    /// Takes the connection that was returned last, once there is one.
    async fn lend(&self) -> anyhow::Result<TcpStream> {
        self.available.acquire().await?.forget();
        self.lock().pop().context("there are as many as permits")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pooler {
    /// Starts a pooler in front of the server in `url`, and returns the URL through it.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before(url: &str) -> anyhow::Result<(Self, String)> {
        Self::with_room_for(Semaphore::MAX_PERMITS, url).await
    }

    /// The same with a single connection.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn of_one_before(url: &str) -> anyhow::Result<(Self, String)> {
        Self::with_room_for(1, url).await
    }

    async fn with_room_for(most: usize, url: &str) -> anyhow::Result<(Self, String)> {
        let server = server_of(url)?;
        let address = tokio::net::lookup_host(server).await?.next().context("an address")?;
        let pool = Arc::new(Pool::of(most));
        let shared = Arc::clone(&pool);
        let tcp_server = TcpServer::start(move |client| {
            let pool = Arc::clone(&shared);
            async move { serve(client, address, &pool).await }
        })?;
        let url = url.replace(server, &tcp_server.address.to_string());
        Ok((Self { _listening: tcp_server, pool }, url))
    }

    /// The number of idle connections.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.pool.lock().len()
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, pool: &Pool) -> anyhow::Result<()> {
    pool.add(log_in(&mut client, server).await?);
    let mut lent: Option<TcpStream> = None;
    loop {
        let message = read_message(&mut client).await?;
        if message[0] == b'X' {
            return Ok(());
        }
        let mut connection = match lent.take() {
            Some(connection) => connection,
            None => pool.lend().await?,
        };
        connection.write_all(&message).await?;
        // The server answers a simple query, or at a Sync everything before it.
        if !matches!(message[0], b'Q' | b'S') {
            lent = Some(connection);
            continue;
        }
        if pass_answer(&mut connection, &mut client).await? {
            pool.give_back(connection);
        } else {
            lent = Some(connection);
        }
    }
}

/// Passes the client's login to the server, and returns the connection.
async fn log_in(client: &mut TcpStream, server: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(server).await?;
    // Messages are sent one by one and must not be delayed.
    connection.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let mut startup = read_body(client).await?;
    if startup[4..8] == SSL_REQUEST {
        client.write_all(b"N").await?;
        startup = read_body(client).await?;
    }
    connection.write_all(&startup).await?;
    loop {
        let message = read_message(&mut connection).await?;
        client.write_all(&message).await?;
        match message[0] {
            b'Z' => return Ok(connection),
            // An authentication request that expects a response: neither AuthenticationOk nor
            // AuthenticationSASLFinal.
            b'R' if !matches!(message[5..9], [0, 0, 0, 0 | 12]) => {
                let answer = read_message(client).await?;
                connection.write_all(&answer).await?;
            }
            _ => {}
        }
    }
}

/// Forwards the server's messages until ReadyForQuery. Returns true if no transaction is open. A
/// client that has disconnected meanwhile does not break the connection for the next one.
async fn pass_answer(server: &mut TcpStream, client: &mut TcpStream) -> anyhow::Result<bool> {
    loop {
        let message = read_message(server).await?;
        client.write_all(&message).await.ok();
        if message[0] == b'Z' {
            return Ok(message[5] == b'I');
        }
    }
}

/// A message, including its type.
async fn read_message(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut message = vec![stream.read_u8().await?];
    message.extend(read_body(stream).await?);
    Ok(message)
}

/// A length, which includes itself, and the bytes that it counts.
async fn read_body(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    ensure!((4..1 << 20).contains(&length), "a message of {length} bytes");
    let mut body = length.to_be_bytes().to_vec();
    body.resize(usize::try_from(length)?, 0);
    stream.read_exact(&mut body[4..]).await?;
    Ok(body)
}
