//! The relay's connections to RabbitMQ and its channels with publisher confirms.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use service_kit::broker::BrokerUrl;
use tokio::time::timeout;

use crate::topology::Topology;
use service_kit::amqp::{Channel, Connection};

/// How long the broker may take to open or close a channel and to declare the exchange.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of a frame: enough for any headers of sense, and little room for a connection to keep.
pub(crate) const FRAME_MAX: u32 = 32 << 10;

/// How long the broker may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The broker reads each connection in a process of its own: two keep it busier than one.
pub(crate) const CONNECTIONS: u32 = 2;

/// The connections, and the channels on which nothing is in flight.
#[derive(Debug)]
pub(crate) struct Broker {
    connections: Vec<Arc<Connection>>,
    free: Vec<Publisher>,
}

impl Broker {
    /// Opens `channels` channels that publish to an exchange that is known to exist.
    pub(crate) async fn connect(
        url: &BrokerUrl,
        topology: Topology,
        channels: u32,
    ) -> anyhow::Result<Self> {
        let mut broker = Self { connections: Vec::new(), free: Vec::new() };
        for _ in 0..CONNECTIONS.min(channels) {
            let connection = Arc::new(Connection::open(url, "outbox-relay", FRAME_MAX).await?);
            if broker.connections.is_empty() {
                ensure(&connection, &topology).await?;
            }
            broker.connections.push(connection);
        }
        let connections = broker.connections.iter().cycle();
        for connection in connections.take(usize::try_from(channels)?) {
            let channel = open(connection).await?;
            let topology = topology.clone();
            broker.free.push(Publisher { connection: Arc::clone(connection), channel, topology });
        }
        Ok(broker)
    }

    /// Why a connection is over, if one is.
    pub(crate) fn ended(&self) -> Option<&str> {
        self.connections.iter().find_map(|connection| connection.ended())
    }

    /// Whether the broker has told publishers to wait (<https://www.rabbitmq.com/docs/alarms>).
    pub(crate) fn is_blocked(&self) -> bool {
        self.connections.iter().any(|connection| connection.is_blocked())
    }

    /// Whether a channel is free.
    pub(crate) const fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// A free channel.
    pub(crate) fn take(&mut self) -> Option<Publisher> {
        self.free.pop()
    }

    /// Whether a channel is one of these connections'.
    pub(crate) fn owns(&self, publisher: &Publisher) -> bool {
        self.connections.iter().any(|own| Arc::ptr_eq(own, &publisher.connection))
    }

    /// A channel is free again.
    pub(crate) fn give_back(&mut self, publisher: Publisher) {
        self.free.push(publisher);
    }

    /// Says goodbye, if the broker still listens.
    pub(crate) async fn close(self) {
        let closed = timeout(CLOSE_LIMIT, async {
            for connection in &self.connections {
                connection.close().await;
            }
        });
        if closed.await.is_err() {
            tracing::debug!("a connection to RabbitMQ was dropped without a goodbye");
        }
    }
}

/// A channel with publisher confirms on which one window at a time is in flight.
#[derive(Debug)]
pub(crate) struct Publisher {
    connection: Arc<Connection>,
    pub(crate) channel: Channel,
    pub(crate) topology: Topology,
}

impl Publisher {
    /// Opens a new channel after the broker closed the last one. The exchange is looked at again, as its absence is
    /// one of the reasons for which the broker does so.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        ensure(&self.connection, &self.topology).await?;
        self.channel = open(&self.connection).await?;
        Ok(())
    }

    /// Goes on with a new channel in place of one that is open.
    pub(crate) async fn renew(&mut self) -> anyhow::Result<()> {
        let last = std::mem::replace(&mut self.channel, open(&self.connection).await?);
        let closed = timeout(OPEN_LIMIT, last.close()).await.with_context(|| {
            format!("the broker does not close a channel within {} s", OPEN_LIMIT.as_secs())
        })?;
        Ok(closed?)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.channel.is_open()
    }

    /// Whether the broker has told publishers to wait (<https://www.rabbitmq.com/docs/alarms>).
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.is_blocked()
    }

    /// The longest frame that both sides agreed on, in bytes.
    pub(crate) fn frame_max(&self) -> usize {
        self.connection.frame_max()
    }
}

async fn ensure(connection: &Connection, topology: &Topology) -> anyhow::Result<()> {
    timeout(OPEN_LIMIT, topology.ensure(connection)).await.with_context(|| {
        format!("the broker does not declare the exchange within {} s", OPEN_LIMIT.as_secs())
    })?
}

async fn open(connection: &Connection) -> anyhow::Result<Channel> {
    timeout(OPEN_LIMIT, async {
        let channel = Channel::open(connection).await?;
        channel.confirm().await?;
        anyhow::Ok(channel)
    })
    .await
    .with_context(|| {
        format!("the broker does not open a channel within {} s", OPEN_LIMIT.as_secs())
    })?
}
