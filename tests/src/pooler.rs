//! A pooler in front of PostgreSQL that hands out its connections by transaction, as PgBouncer does
//! with `pool_mode=transaction`. Clients log in with the server itself; from then on whoever begins
//! a transaction gets the connection that was given back last.

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

/// The connections that are not lent.
#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<TcpStream>>,
    /// As many permits as there are of them.
    available: Semaphore,
    /// How many more the pool may have.
    room: Semaphore,
}

impl Pool {
    fn of(most: usize) -> Self {
        let (available, room) = (Semaphore::new(0), Semaphore::new(most));
        Self { idle: Mutex::default(), available, room }
    }

    /// Takes in a client's own connection, below the others, so that the next transaction gets one
    /// that was used before.
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

    /// The connection that was given back last, as soon as there is one.
    async fn lend(&self) -> anyhow::Result<TcpStream> {
        self.available.acquire().await?.forget();
        self.lock().pop().context("there are as many as permits")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pooler {
    /// A pooler in front of the server that `url` names, and the URL that leads through it.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before(url: &str) -> anyhow::Result<(Self, String)> {
        Self::with_room_for(Semaphore::MAX_PERMITS, url).await
    }

    /// The same with one connection for all.
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

    /// How many connections nobody uses.
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
        // The server answers a simple query, and a Sync what came before it.
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

/// Lets the client log in with the server; returns the connection.
async fn log_in(client: &mut TcpStream, server: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(server).await?;
    // Messages go out one by one, and must not wait for each other.
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
            // An authentication request that wants an answer: neither "ok" nor the last word of
            // SCRAM.
            b'R' if !matches!(message[5..9], [0, 0, 0, 0 | 12]) => {
                let answer = read_message(client).await?;
                connection.write_all(&answer).await?;
            }
            _ => {}
        }
    }
}

/// Passes on what the server says until it is ready; says whether no transaction is open. A client
/// that has gone meanwhile does not spoil the connection for the next one.
async fn pass_answer(server: &mut TcpStream, client: &mut TcpStream) -> anyhow::Result<bool> {
    loop {
        let message = read_message(server).await?;
        client.write_all(&message).await.ok();
        if message[0] == b'Z' {
            return Ok(message[5] == b'I');
        }
    }
}

/// A message with its type.
async fn read_message(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut message = vec![stream.read_u8().await?];
    message.extend(read_body(stream).await?);
    Ok(message)
}

/// A length that counts itself, and what it counts.
async fn read_body(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    ensure!((4..1 << 20).contains(&length), "a message of {length} bytes");
    let mut body = length.to_be_bytes().to_vec();
    body.resize(usize::try_from(length)?, 0);
    stream.read_exact(&mut body[4..]).await?;
    Ok(body)
}
