//! A TCP proxy that injects faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use crate::tcp_server::{TcpServer, server_of};

/// The faults of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The maximum bytes per second.
    pub rate: Option<usize>,
    /// The added delay.
    pub delay: Duration,
    /// Forwards and reads nothing after this many further bytes.
    pub hold_after: Option<usize>,
    /// Closes the direction, as if its sender had shut down its end (half-close).
    pub is_closed: bool,
}

impl Faults {
    /// Forwards nothing.
    pub const HELD: Self =
        Self { rate: None, delay: Duration::ZERO, hold_after: Some(0), is_closed: false };
}

/// The proxy. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    /// Listens for the proxy's lifetime.
    _listening: TcpServer,
    to_server: watch::Sender<Faults>,
    to_client: watch::Sender<Faults>,
    resets: watch::Sender<()>,
    forwarded: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy in front of the server in `url`, and returns the URL through it.
    ///
    /// # Errors
    /// When no port is free.
    pub fn before(url: &str) -> anyhow::Result<(Self, String)> {
        let server = server_of(url)?;
        let (to_server, to_client) = (watch::Sender::default(), watch::Sender::default());
        let resets = watch::Sender::new(());
        let (sending, receiving, reset) =
            (to_server.subscribe(), to_client.subscribe(), resets.subscribe());
        let server_name = server.to_owned();
        let forwarded = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&forwarded);
        let tcp_server = TcpServer::start(move |client| {
            let (server_name, counter) = (server_name.clone(), Arc::clone(&counter));
            let (sending, receiving, mut reset) =
                (sending.clone(), receiving.clone(), reset.clone());
            reset.mark_unchanged();
            async move { serve(client, &server_name, sending, receiving, reset, &counter).await }
        })?;
        let url = url.replace(server, &tcp_server.address.to_string());
        Ok((Self { _listening: tcp_server, to_server, to_client, resets, forwarded }, url))
    }

    /// Sets the faults of the direction to the server.
    pub fn to_server(&self, faults: Faults) {
        self.to_server.send_replace(faults);
    }

    /// Sets the faults of the direction to the clients.
    pub fn to_client(&self, faults: Faults) {
        self.to_client.send_replace(faults);
    }

    /// How many bytes it has forwarded, in both directions.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Resets every connection (RST) at both ends.
    pub fn reset(&self) {
        self.resets.send_replace(());
    }
}

async fn serve(
    mut client: TcpStream,
    server: &str,
    to_server: watch::Receiver<Faults>,
    to_client: watch::Receiver<Faults>,
    mut reset: watch::Receiver<()>,
    forwarded: &AtomicU64,
) -> anyhow::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let is_reset = {
        let (from_client, into_client) = client.split();
        let (from_server, into_server) = server.split();
        tokio::select! {
            // Before what may be forwarded again since then.
            biased;
            changed = reset.changed() => changed.is_ok(),
            passed = async {
                tokio::try_join!(
                    pass(from_client, into_server, to_server, forwarded),
                    pass(from_server, into_client, to_client, forwarded),
                )
            } => {
                passed?;
                false
            }
        }
    };
    if is_reset {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

/// Forwards bytes until the end of the stream.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: watch::Receiver<Faults>,
    forwarded: &AtomicU64,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    loop {
        let Faults { rate, delay, hold_after, is_closed } = *faults.borrow_and_update();
        if is_closed {
            return Ok(to.shutdown().await?);
        }
        // At a limited rate, some twenty chunks per second.
        let piece = rate.map_or(buffer.len(), |rate| rate.div_ceil(20)).min(buffer.len());
        let room = hold_after.map_or(piece, |most| most.saturating_sub(passed).min(piece));
        let count = tokio::select! {
            biased;
            changed = faults.changed() => {
                changed?;
                passed = 0;
                continue;
            }
            read = from.read(&mut buffer[..room]), if room > 0 => read?,
        };
        if count == 0 {
            return Ok(to.shutdown().await?);
        }
        passed += count;
        let pause = rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX)
                / u32::try_from(rate).unwrap_or(u32::MAX)
        });
        if !(pause + delay).is_zero() {
            tokio::time::sleep(pause + delay).await;
        }
        to.write_all(&buffer[..count]).await?;
        forwarded.fetch_add(u64::try_from(count)?, Ordering::Relaxed);
    }
}
