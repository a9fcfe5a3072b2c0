//! The relay's connections to RabbitMQ and its channels with publisher confirms.

pub(crate) mod topology;

use std::sync::Arc;
use std::time::Duration;

use amqp::BrokerUrl;
use anyhow::Context as _;
use tokio::time::timeout;

use amqp::{Channel, Connection};
use topology::Topology;

/// How long the broker may take to open or close a channel and to declare the exchange.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of a frame: enough for any reasonable headers, and little memory for a connection.
pub(crate) const FRAME_MAX: u32 = 32 << 10;

/// How long the broker may take to close a connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The broker reads each connection in a process of its own: two keep it busier than one.
pub(crate) const CONNECTIONS: u32 = 2;

/// How long a broker that limits connections or channels may still count those that it has closed.
const LIMIT_DELAY: Duration = Duration::from_millis(500);

/// The connections, and the channels on which nothing is in flight.
#[derive(Debug)]
pub(crate) struct Broker {
    connections: Vec<Arc<Connection>>,
    free: Vec<Publisher>,
}

impl Broker {
    /// Opens `channels` channels that publish to an exchange that is known to exist, or as many as
    /// there may be.
    pub(crate) async fn connect(
        url: &BrokerUrl,
        topology: Topology,
        channels: u32,
    ) -> anyhow::Result<Self> {
        let channels = usize::try_from(channels)?;
        // One that confirms nothing is connected to as readily as any other, and windows in flight
        // still hold its connections.
        url.give_up();
        let mut broker = Self::begin(url, &topology, channels > 1).await?;
        let Err(error) = broker.add_channels(&topology, channels).await else {
            return Ok(broker);
        };
        let opened = broker.free.len();
        if opened == 0 {
            return Err(error);
        }
        tracing::info!(%error, "the broker allows {opened} channels: the relay makes do with them");
        if broker.ended().is_none() {
            return Ok(broker);
        }
        // It closes the connection over one channel too many.
        broker.close().await;
        tokio::time::sleep(LIMIT_DELAY).await;
        let mut broker = Self::begin(url, &topology, false).await?;
        broker.add_channels(&topology, opened).await?;
        for publisher in &mut broker.free {
            publisher.is_last_allowed = true;
        }
        Ok(broker)
    }

    /// Connects. The broker reads each connection in a process of its own: two keep it busier than
    /// one, where it allows `two`.
    async fn begin(url: &BrokerUrl, topology: &Topology, two: bool) -> anyhow::Result<Self> {
        let connection = Connection::open(url, "outbox-relay", FRAME_MAX).await?;
        ensure(&connection, topology).await?;
        if timeout(OPEN_LIMIT, topology.warn_of_further(&connection)).await.is_err() {
            tracing::debug!("the broker does not say whether the further exchanges exist");
        }
        let mut connections = vec![Arc::new(connection)];
        if two {
            match timeout(OPEN_LIMIT, connections[0].another()).await {
                Ok(Ok(another)) => connections.push(Arc::new(another)),
                Ok(Err(error)) => {
                    tracing::info!(%error, "the relay makes do with one connection to the broker");
                }
                Err(_) => tracing::info!("the relay makes do with one connection to the broker"),
            }
        }
        Ok(Self { connections, free: Vec::new() })
    }

    async fn add_channels(&mut self, topology: &Topology, count: usize) -> anyhow::Result<()> {
        for connection in self.connections.iter().cycle().take(count) {
            let (channel, topology) = (open(connection).await?, topology.clone());
            let connection = Arc::clone(connection);
            self.free.push(Publisher { connection, channel, topology, is_last_allowed: false });
        }
        Ok(())
    }

    /// Why a connection is over, if one is.
    pub(crate) fn ended(&self) -> Option<&str> {
        self.connections.iter().find_map(|connection| connection.ended())
    }

    /// Whether the broker blocks publishers (<https://www.rabbitmq.com/docs/alarms>).
    pub(crate) fn is_blocked(&self) -> bool {
        self.connections.iter().any(|connection| connection.is_blocked())
    }

    /// The longest frame that all connections take, in bytes.
    pub(crate) fn frame_max(&self) -> usize {
        self.connections.iter().map(|connection| connection.frame_max()).min().unwrap_or(0)
    }

    /// Whether a channel is free.
    pub(crate) const fn has_free_channel(&self) -> bool {
        !self.free.is_empty()
    }

    /// Takes a free channel.
    pub(crate) fn take_channel(&mut self) -> Option<Publisher> {
        self.free.pop()
    }

    /// Whether a channel is one of these connections'.
    pub(crate) fn owns(&self, publisher: &Publisher) -> bool {
        self.connections.iter().any(|own| Arc::ptr_eq(own, &publisher.connection))
    }

    /// Returns a channel that is free again.
    pub(crate) fn return_channel(&mut self, publisher: Publisher) {
        self.free.push(publisher);
    }

    /// Closes the connections, if the broker still answers.
    pub(crate) async fn close(self) {
        let closed = timeout(CLOSE_LIMIT, async {
            for connection in &self.connections {
                connection.close().await;
            }
        });
        if closed.await.is_err() {
            tracing::debug!("a connection to RabbitMQ was dropped without being closed");
        }
    }
}

/// A channel with publisher confirms on which one window at a time is in flight.
#[derive(Debug)]
pub(crate) struct Publisher {
    connection: Arc<Connection>,
    pub(crate) channel: Channel,
    pub(crate) topology: Topology,
    /// Whether the broker allows no further channel, and closes the connection over one.
    is_last_allowed: bool,
}

impl Publisher {
    /// Opens a new channel after the broker closed the last one. The exchange is checked again, as
    /// its absence is one of the reasons for which the broker does so.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        if self.is_last_allowed {
            tokio::time::sleep(LIMIT_DELAY).await;
        }
        ensure(&self.connection, &self.topology).await?;
        self.channel = open(&self.connection).await?;
        Ok(())
    }

    /// Replaces an open channel with a new one. It is closed first, as the broker may allow no
    /// further one.
    pub(crate) async fn renew(&mut self) -> anyhow::Result<()> {
        let closed = timeout(OPEN_LIMIT, self.channel.close()).await;
        closed.with_context(|| {
            format!("the broker does not close a channel within {} s", OPEN_LIMIT.as_secs())
        })??;
        self.channel = open(&self.connection).await?;
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.channel.is_open()
    }

    /// Whether the broker blocks publishers (<https://www.rabbitmq.com/docs/alarms>).
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
