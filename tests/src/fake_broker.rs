//! A broker that logs anybody in, and then misbehaves as no healthy RabbitMQ does on demand. It
//! knows of AMQP 0-9-1 what a publisher needs, and keeps no message.

mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tcp_server::TcpServer;
use session::Session;

/// The type of messages that some manners are about.
pub const ODD: &str = "order.odd";

/// What it does once it is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerBehaviour {
    /// It confirms every message.
    Confirms,
    /// The same, each byte in a packet of its own.
    Trickles,
    /// It takes connections and says nothing at all.
    Mute,
    /// It says at the first message that publishers are to wait, and from then on nothing; nor does
    /// it read.
    BlocksAndFallsSilent,
    /// It says at the first message that publishers are to wait, and confirms none. Once it is to
    /// behave otherwise, it says that they may go on, and confirms those that came meanwhile.
    BlocksUntilTold,
    /// It takes every message and confirms none.
    NeverConfirms,
    /// It takes every message and confirms none of the type [`ODD`], as if the queue of those had
    /// no leader.
    ConfirmsOthers,
    /// From the first message on it reads nothing. It gives signs of life.
    ReadsNothing,
    /// It ends the connection in the midst of the first confirm.
    BreaksOff,
    /// It closes the channel over every message of the type [`ODD`], with this code.
    ClosesChannel(u16),
    /// It closes the connection over such a message, with this code.
    ClosesConnection(u16),
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// On which connection, from 1 on.
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

/// The broker. Dropping it ends its connections.
#[derive(Debug)]
pub struct FakeBroker {
    tcp_server: TcpServer,
    manner: Arc<Mutex<BrokerBehaviour>>,
    seen: Arc<Mutex<Seen>>,
}

impl FakeBroker {
    /// A broker that behaves like this.
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

    /// Where it is, with signs of life every second.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f?heartbeat=1", self.tcp_server.address)
    }

    /// It behaves like this from now on.
    pub fn behave(&self, manner: BrokerBehaviour) {
        *lock(&self.manner) = manner;
    }

    /// The messages that came.
    #[must_use]
    pub fn messages(&self) -> Vec<Came> {
        lock(&self.seen).messages.clone()
    }

    /// The channels that are open.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        lock(&self.seen).open_channels
    }

    /// The connections that were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
