//! A broker that accepts any login and then misbehaves as no healthy RabbitMQ does on demand. It
//! implements what a publisher needs of AMQP 0-9-1, and stores no message.

mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tcp_server::TcpServer;
use session::Session;

/// The message type to which some behaviours apply.
pub const AFFECTED_TYPE: &str = "order.affected";

/// What it does once a client has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerBehaviour {
    /// Confirms every message.
    Confirms,
    /// The same, with each byte in a separate packet.
    Trickles,
    /// Accepts connections and sends nothing.
    Silent,
    /// Sends `connection.blocked` at the first message, and from then on neither sends nor reads.
    BlocksAndFallsSilent,
    /// Sends `connection.blocked` at the first message and confirms none. When the behaviour
    /// changes, it sends `connection.unblocked` and confirms the messages received meanwhile.
    BlocksUntilChanged,
    /// Accepts every message and confirms none.
    NeverConfirms,
    /// Confirms every message but those of type [`AFFECTED_TYPE`], as if their queue had no leader.
    ConfirmsOthers,
    /// Reads nothing from the first message on, but sends heartbeats.
    ReadsNothing,
    /// Closes the connection in the middle of the first confirm.
    DisconnectsDuringConfirm,
    /// Closes the channel over every message of type [`AFFECTED_TYPE`], with this code.
    ClosesChannel(u16),
    /// Closes the connection over such a message, with this code.
    ClosesConnection(u16),
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The number of its connection, from 1.
    pub connection: usize,
    /// Its `message_id`.
    pub message_id: String,
    /// Its routing key.
    pub routing_key: String,
}

/// What the broker has observed of its clients.
#[derive(Debug, Default)]
struct Observed {
    connections: usize,
    open_channels: usize,
    messages: Vec<ReceivedMessage>,
}

/// The broker. Dropping it closes its connections.
#[derive(Debug)]
pub struct FakeBroker {
    tcp_server: TcpServer,
    behaviour: Arc<Mutex<BrokerBehaviour>>,
    observed: Arc<Mutex<Observed>>,
}

impl FakeBroker {
    /// Starts a broker with this behaviour.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(behaviour: BrokerBehaviour) -> anyhow::Result<Self> {
        let (behaviour, observed) =
            (Arc::new(Mutex::new(behaviour)), Arc::<Mutex<Observed>>::default());
        let shared = (Arc::clone(&behaviour), Arc::clone(&observed));
        let tcp_server = TcpServer::start(move |stream| {
            let (behaviour, observed) = shared.clone();
            async move {
                let connection = {
                    let mut observed = lock(&observed);
                    observed.connections += 1;
                    observed.connections
                };
                Session::new(stream, behaviour, observed, connection).serve().await
            }
        })?;
        Ok(Self { tcp_server, behaviour, observed })
    }

    /// Its URL, with a heartbeat of a second.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f?heartbeat=1", self.tcp_server.address)
    }

    /// Changes the behaviour.
    pub fn set_behaviour(&self, behaviour: BrokerBehaviour) {
        *lock(&self.behaviour) = behaviour;
    }

    /// The received messages.
    #[must_use]
    pub fn messages(&self) -> Vec<ReceivedMessage> {
        lock(&self.observed).messages.clone()
    }

    /// The number of open channels.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        lock(&self.observed).open_channels
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.observed).connections
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
