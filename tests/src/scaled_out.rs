//! The pipeline scaled out on one machine: three of each process, and a RabbitMQ cluster of three
//! nodes.

use anyhow::Context as _;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use stack::{Database, Management, RabbitCluster, Service};
use tokio_postgres::Client;

use crate::consumer_fixture::{QUEUE, until};
use crate::pipeline::{
    address, connect, ready, start_consumer, start_customer_api, start_order_service, start_relay,
};
use crate::relay_role::relay_url;

/// The cluster's only virtual host.
const VHOST: &str = "%2f";

/// An order service and the relay beside it.
#[derive(Debug)]
pub struct Replica {
    /// `http://127.0.0.1:port` of the order service.
    pub url: String,
    /// The order service.
    pub order_service: Service,
    /// The relay. All relays work on the same outbox.
    pub relay: Service,
}

/// Three replicas and three consumers. The relay and consumer at an index list the broker's nodes
/// beginning with the node at the same index, and fail over to the next one.
#[derive(Debug)]
pub struct ScaledOut {
    /// The broker.
    pub cluster: RabbitCluster,
    /// The replicas, each with its relay.
    pub replicas: [Replica; 3],
    /// The consumers.
    pub consumers: [Service; 3],
    /// `http://127.0.0.1:port` of the customer service's API.
    pub customer_url: String,
    /// A session with the order database.
    pub orders: Client,
    /// A session with the customer database.
    pub customers: Client,
    _customer_api: Service,
    _databases: (Database, Database),
}

impl ScaledOut {
    /// Starts everything, and waits until the queue has a member on each node and all relays and
    /// consumers are working.
    ///
    /// # Errors
    /// When something does not get there.
    pub async fn start() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        let (cluster, order_database, customer_database) = tokio::try_join!(
            Box::pin(RabbitCluster::start_temporary()),
            servers.database("orders"),
            servers.database("customers")
        )?;
        let customer_api = start_customer_api(&customer_database.url).await?;
        let customer_url = address(&customer_api, "HTTP port is open").await?;
        ready(&customer_api).await?;

        let consumer = async |place| {
            start_consumer(&customer_database.url, &cluster.amqp_urls(VHOST, place)).await
        };
        let consumers = [consumer(0).await?, consumer(1).await?, consumer(2).await?];
        let order_service = async || start_order_service(&order_database.url, &customer_url).await;
        let order_services =
            [order_service().await?, order_service().await?, order_service().await?];
        for service in &order_services {
            ready(service).await?;
        }
        let orders = connect(&order_database.url).await?;
        let relay_url = relay_url(&order_database, &orders).await?;
        let mut replicas = Vec::new();
        for (place, order_service) in order_services.into_iter().enumerate() {
            let url = address(&order_service, "HTTP port is open").await?;
            let relay = start_relay(&relay_url, &cluster.amqp_urls(VHOST, place)).await?;
            replicas.push(Replica { url, order_service, relay });
        }

        let customers = connect(&customer_database.url).await?;
        let scaled_out = Self {
            cluster,
            replicas: replicas.try_into().ok().context("three of them")?,
            consumers,
            customer_url,
            orders,
            customers,
            _customer_api: customer_api,
            _databases: (order_database, customer_database),
        };
        scaled_out.at_work().await?;
        Ok(scaled_out)
    }

    async fn at_work(&self) -> anyhow::Result<()> {
        for service in self.consumers.iter().chain(self.replicas.iter().map(|one| &one.relay)) {
            ready(service).await?;
        }
        let shares = "SELECT count(*) FROM outbox_relays WHERE lanes >= 21";
        until(async || Ok((count(&self.orders, shares).await? == 3).then_some(())))
            .await
            .context("three relays share the 64 lanes")?;
        until(async || Ok((self.queue(QUEUE).await?.consumers == 3).then_some(())))
            .await
            .context("three consumers share the queue")
    }

    /// The indexes of the nodes with a member of the queue, the leader's first.
    ///
    /// # Errors
    /// When the queue has no leader, or the broker does not tell in time.
    pub async fn members(&self, queue: &str) -> anyhow::Result<Vec<usize>> {
        let node = self.cluster.nodes.iter().find(|node| node.process().is_some());
        let node = node.context("a node runs")?;
        let management = Management::new(&node.access().management_url())?;
        let queue = management.get(&format!("/api/queues/{VHOST}/{queue}")).await?;
        let queue = queue.context("the queue is there")?;
        let place = |name: &serde_json::Value| self.cluster.index_of(name.as_str()?);
        let leader = place(&queue["leader"]).with_context(|| format!("no leader in {queue}"))?;
        let members = queue["members"].as_array().into_iter().flatten().filter_map(place);
        Ok(std::iter::once(leader).chain(members.filter(|member| *member != leader)).collect())
    }

    /// A connection to the first node that answers.
    async fn connection(&self) -> anyhow::Result<Connection> {
        let mut refusal = None;
        for url in self.cluster.amqp_urls(VHOST, 0).split(',') {
            match Connection::connect(url, ConnectionProperties::default()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.context("there is no node")?.into())
    }

    /// The state of a queue.
    ///
    /// # Errors
    /// When no node answers, or there is no such queue.
    pub async fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        let connection = self.connection().await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(name.into(), options, FieldTable::default()).await?;
        connection.close(200, "".into()).await?;
        Ok(Queue { waiting: declared.message_count(), consumers: declared.consumer_count() })
    }
}

/// The state of a queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Ready messages.
    pub waiting: u32,
    /// Its consumers.
    pub consumers: u32,
}

/// The number that a query returns.
///
/// # Errors
/// When the database does not answer.
pub async fn count(sql: &Client, query: &str) -> anyhow::Result<i64> {
    Ok(sql.query_one(query, &[]).await?.try_get(0)?)
}
