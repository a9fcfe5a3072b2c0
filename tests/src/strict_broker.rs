//! A broker that requires the configure permission even for a passive declare, as RabbitMQ 4.2.6
//! and 4.3.0 do: a proxy that forwards to an older broker and turns each passive declare into a
//! real one.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The first bytes of a connection, `AMQP` and the version.
const PROTOCOL_HEADER: usize = 8;

const FRAME_METHOD: u8 = 1;

/// Type, channel and size before a frame's contents.
const HEAD: usize = 7;

/// Class and method of `exchange.declare`, and the two bytes that follow them.
const EXCHANGE_DECLARE: [u8; 6] = [0, 40, 0, 10, 0, 0];

/// The same of `queue.declare`.
const QUEUE_DECLARE: [u8; 6] = [0, 50, 0, 10, 0, 0];

/// The passive bit of both.
const PASSIVE: u8 = 1;

/// For what the proxy requires the permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strict {
    Everywhere,
    OfExchanges,
}

/// The proxy. Dropping it stops it.
#[derive(Debug)]
pub struct StrictBroker {
    accepting: JoinHandle<()>,
}

impl StrictBroker {
    /// Starts a proxy in front of the broker in `url`, and returns the URL through it.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before(url: &str) -> anyhow::Result<(Self, String)> {
        Self::that_is(url, Strict::Everywhere).await
    }

    /// The same for exchanges only, as for a user with the configure permission for every queue.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before_exchanges(url: &str) -> anyhow::Result<(Self, String)> {
        Self::that_is(url, Strict::OfExchanges).await
    }

    async fn that_is(url: &str, strict: Strict) -> anyhow::Result<(Self, String)> {
        let (_, rest) = url.split_once('@').context("a password")?;
        let (broker, _) = rest.split_once('/').context("a virtual host")?;
        let address: SocketAddr = broker.parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.to_string();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // It ends when either side does; the client sees any error.
                tokio::spawn(serve(client, address, strict));
            }
        });
        Ok((Self { accepting }, url.replace(broker, &own)))
    }
}

impl Drop for StrictBroker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, broker: SocketAddr, strict: Strict) -> anyhow::Result<()> {
    let broker = TcpStream::connect(broker).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_broker, to_broker) = broker.into_split();
    tokio::select! {
        passed = pass_frames(from_client, to_broker, strict) => passed,
        copied = tokio::io::copy(&mut from_broker, &mut to_client) => Ok(copied.map(drop)?),
    }
}

async fn pass_frames(
    mut client: OwnedReadHalf,
    mut broker: OwnedWriteHalf,
    strict: Strict,
) -> anyhow::Result<()> {
    let mut header = [0; PROTOCOL_HEADER];
    client.read_exact(&mut header).await?;
    broker.write_all(&header).await?;
    loop {
        let mut frame = vec![0; HEAD];
        client.read_exact(&mut frame).await?;
        let size = usize::try_from(u32::from_be_bytes(frame[3..HEAD].try_into()?))?;
        ensure!(size < 1 << 20, "a frame of {size} bytes");
        // Plus the frame-end byte.
        frame.resize(HEAD + size + 1, 0);
        client.read_exact(&mut frame[HEAD..]).await?;
        if frame[0] == FRAME_METHOD && frame[HEAD..].starts_with(&EXCHANGE_DECLARE) {
            let name = HEAD + EXCHANGE_DECLARE.len();
            let kind = name + 1 + usize::from(frame[name]);
            let flags = kind + 1 + usize::from(frame[kind]);
            frame[flags] &= !PASSIVE;
        }
        if strict == Strict::Everywhere
            && frame[0] == FRAME_METHOD
            && frame[HEAD..].starts_with(&QUEUE_DECLARE)
        {
            let name = HEAD + QUEUE_DECLARE.len();
            let flags = name + 1 + usize::from(frame[name]);
            frame[flags] &= !PASSIVE;
        }
        broker.write_all(&frame).await?;
    }
}
