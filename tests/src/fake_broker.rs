//! A broker that accepts any login and then misbehaves as no healthy RabbitMQ does on demand. It
//! implements what a publisher needs of AMQP 0-9-1, and stores no message.

mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tcp_server::TcpServer;
use session::Session;

/// The message type that some behaviours are about.
pub const ODD: &str = "order.odd";

/// What it does once a client has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerBehaviour {
    /// Confirms every message.
    Confirms,
    /// The same, with each byte in a separate packet.
    Trickles,
    /// Accepts connections and sends nothing.
    Mute,
    /// Sends `connection.blocked` at the first message, and from then on neither sends nor reads.
    BlocksAndFallsSilent,
    /// Sends `connection.blocked` at the first message and confirms none. When the behaviour
    /// changes, it sends `connection.unblocked` and confirms the messages received meanwhile.
    BlocksUntilTold,
    /// Accepts every message and confirms none.
    NeverConfirms,
    /// Confirms every message but those of type [`ODD`], as if their queue had no leader.
    ConfirmsOthers,
    /// Reads nothing from the first message on, but sends heartbeats.
    ReadsNothing,
    /// Closes the connection in the middle of the first confirm.
    BreaksOff,
    /// Closes the channel over every message of type [`ODD`], with this code.
    ClosesChannel(u16),
    /// Closes the connection over such a message, with this code.
    ClosesConnection(u16),
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// The number of its connection, from 1.
    pub connection: usize,
    /// Its `message_id`.
    pub message_id: String,
    /// Its routing key.
    pub routing_key: String,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    open_channels: usize,
    messages: Vec<Came>,
}

/// The broker. Dropping it closes its connections.
#[derive(Debug)]
pub struct FakeBroker {
    tcp_server: TcpServer,
    manner: Arc<Mutex<BrokerBehaviour>>,
    seen: Arc<Mutex<Seen>>,
}

impl FakeBroker {
    /// Starts a broker with this behaviour.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(manner: BrokerBehaviour) -> anyhow::Result<Self> {
        let (manner, seen) = (Arc::new(Mutex::new(manner)), Arc::<Mutex<Seen>>::default());
        let (manners, counted) = (Arc::clone(&manner), Arc::clone(&seen));
        let tcp_server = TcpServer::start(move |stream| {
            let (manner, seen) = (Arc::clone(&manners), Arc::clone(&counted));
            async move {
                let connection = {
                    let mut seen = lock(&seen);
                    seen.connections += 1;
                    seen.connections
                };
                Session::new(stream, manner, seen, connection).serve().await
            }
        })?;
        Ok(Self { tcp_server, manner, seen })
    }

    /// Its URL, with a heartbeat of a second.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f?heartbeat=1", self.tcp_server.address)
    }

    /// Changes the behaviour.
    pub fn behave(&self, manner: BrokerBehaviour) {
        *lock(&self.manner) = manner;
    }

    /// The received messages.
    #[must_use]
    pub fn messages(&self) -> Vec<Came> {
        lock(&self.seen).messages.clone()
    }

    /// The number of open channels.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        lock(&self.seen).open_channels
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
