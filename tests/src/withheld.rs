//! A broker whose answers are withheld for a while: what was sent stays in flight.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stands before a broker. Dropping it ends its connections.
#[derive(Debug)]
pub struct Withheld {
    withholds: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Withheld {
    /// Stands before the broker that `url` names, and passes everything on; also the URL that leads through it.
    ///
    /// # Errors
    /// When no port is free, or `url` names no address.
    pub async fn before(url: &str) -> anyhow::Result<(Self, String)> {
        let (head, tail) = url.split_once('@').context("amqp://USER:PASSWORD@HOST:PORT/VHOST")?;
        let (server, path) = tail.split_once('/').context("a virtual host")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = format!("{head}@{}/{path}", listener.local_addr()?);
        let server: SocketAddr = server.parse()?;
        let withholds = watch::Sender::new(false);
        let told = withholds.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // It ends with either side, or with the runtime of the test.
                tokio::spawn(serve(client, server, told.clone()));
            }
        });
        Ok((Self { withholds, task }, own))
    }

    /// Withholds what the broker says from now on, or passes it on.
    pub fn withhold(&self, withholds: bool) {
        self.withholds.send_replace(withholds);
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    told: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (mut from_client, into_client) = client.into_split();
    let (from_server, mut into_server) = TcpStream::connect(server).await?.into_split();
    tokio::select! {
        sent = copy(&mut from_client, &mut into_server) => drop(sent?),
        answered = answer(from_server, into_client, told) => answered?,
    }
    Ok(())
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut told: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        told.wait_for(|withholds| !withholds).await?;
        to.write_all(&buffer[..count]).await?;
    }
}
