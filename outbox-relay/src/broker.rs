//! The relay's connection to RabbitMQ and its one channel with publisher confirms.

use std::time::Duration;

use anyhow::Context as _;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use service_kit::broker::{BrokerUrl, connect, reason};
use tokio::time::timeout;

use crate::topology::Topology;

/// How long the broker may take to open a channel and to declare the exchange.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// How long the broker may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A connection that publishes to an exchange that is known to exist.
#[derive(Debug)]
pub(crate) struct Broker {
    connection: Connection,
    pub(crate) channel: Channel,
    pub(crate) topology: Topology,
}

impl Broker {
    pub(crate) async fn connect(url: &BrokerUrl, topology: Topology) -> anyhow::Result<Self> {
        let connection = connect(url, "outbox-relay").await?;
        let channel = open(&connection, &topology).await?;
        Ok(Self { connection, channel, topology })
    }

    /// Opens a new channel after the broker closed the last one. The exchange is looked at again, as its absence is
    /// one of the reasons for which the broker does so.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        self.channel = open(&self.connection, &self.topology).await?;
        Ok(())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_connected() && self.channel.status().connected()
    }

    /// Whether the broker has told publishers to wait (<https://www.rabbitmq.com/docs/alarms>).
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// The longest frame that both sides agreed on, in bytes.
    pub(crate) fn frame_max(&self) -> usize {
        usize::try_from(self.connection.configuration().frame_max()).unwrap_or(usize::MAX)
    }

    /// Says goodbye, if the broker still listens.
    pub(crate) async fn close(self) {
        let closed = timeout(CLOSE_LIMIT, async {
            self.channel.close(200, "OK".into()).await?;
            self.connection.close(200, "OK".into()).await
        });
        if !matches!(closed.await, Ok(Ok(()))) {
            tracing::debug!("the connection to RabbitMQ was dropped without a goodbye");
        }
    }
}

async fn open(connection: &Connection, topology: &Topology) -> anyhow::Result<Channel> {
    timeout(OPEN_LIMIT, async {
        topology.ensure(connection).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok::<_, anyhow::Error>(channel)
    })
    .await
    .with_context(|| {
        format!("the broker does not open a channel within {} s", OPEN_LIMIT.as_secs())
    })?
    .map_err(|error| match error.downcast_ref::<lapin::Error>() {
        Some(error) => anyhow::anyhow!(reason(error)),
        None => error,
    })
}
