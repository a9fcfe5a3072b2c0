//! The whole pipeline as real processes, with its own databases and virtual host.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use stack::{Database, Service, Vhost};
use tokio_postgres::{Client, NoTls};

use crate::relay_role::relay_url;

/// How long anything may take here before it counts as hanging; debug builds on a busy machine are
/// slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running pipeline. Dropping it kills the services.
#[derive(Debug)]
pub struct Pipeline {
    /// The order database.
    pub orders: Database,
    /// `postgres://…` of the order database for relays.
    pub relay_url: String,
    /// The customer database.
    pub customers: Database,
    /// The virtual host.
    pub broker: Vhost,
    /// `http://127.0.0.1:port` of the order service.
    pub order_url: String,
    /// `http://127.0.0.1:port` of the customer service.
    pub customer_url: String,
    /// The order service.
    pub order_service: Service,
    /// The relay.
    pub relay: Service,
    /// The customer service's API.
    pub customer_api: Service,
    /// The customer service's consumer.
    pub consumer: Service,
}

impl Pipeline {
    /// Starts all four processes and waits until they are ready.
    ///
    /// # Errors
    /// When one of them does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        let orders = servers.database("orders").await?;
        let customers = servers.database("customers").await?;
        let broker = servers.vhost("pipeline").await?;

        let customer_api = start_customer_api(&customers.url).await?;
        let customer_url = address(&customer_api, "HTTP port is open").await?;
        let order_service = start_order_service(&orders.url, &customer_url).await?;
        let order_url = address(&order_service, "HTTP port is open").await?;
        ready(&customer_api).await?;
        ready(&order_service).await?;
        let relay_url = relay_url(&orders, &connect(&orders.url).await?).await?;
        let relay = start_relay(&relay_url, &broker.amqp_url).await?;
        let consumer = start_consumer(&customers.url, &broker.amqp_url).await?;
        // The consumer declares the queue; until then the relay's messages would be returned and
        // wait for a retry.
        ready(&consumer).await?;
        ready(&relay).await?;
        Ok(Self {
            orders,
            relay_url,
            customers,
            broker,
            order_url,
            customer_url,
            order_service,
            relay,
            customer_api,
            consumer,
        })
    }

    /// Kills all four programs and starts them again.
    ///
    /// # Errors
    /// When one of them does not become ready.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        for program in [&self.order_service, &self.relay, &self.customer_api, &self.consumer] {
            program.sigkill()?;
            program.wait_exit(PATIENCE).await?;
        }
        self.customer_api = start_customer_api(&self.customers.url).await?;
        self.customer_url = address(&self.customer_api, "HTTP port is open").await?;
        self.order_service = start_order_service(&self.orders.url, &self.customer_url).await?;
        self.order_url = address(&self.order_service, "HTTP port is open").await?;
        self.relay = start_relay(&self.relay_url, &self.broker.amqp_url).await?;
        self.consumer = start_consumer(&self.customers.url, &self.broker.amqp_url).await?;
        for program in [&self.order_service, &self.relay, &self.customer_api, &self.consumer] {
            ready(program).await?;
        }
        Ok(())
    }

    /// Kills the relay, as a crash would, and starts another one.
    ///
    /// # Errors
    /// When it can't be killed or started.
    pub async fn crash_relay(&mut self) -> anyhow::Result<()> {
        self.relay.sigkill()?;
        self.relay.wait_exit(PATIENCE).await?;
        self.relay = start_relay(&self.relay_url, &self.broker.amqp_url).await?;
        Ok(())
    }

    /// Kills the consumer, as a crash would, and starts another one.
    ///
    /// # Errors
    /// When it can't be killed or started.
    pub async fn crash_consumer(&mut self) -> anyhow::Result<()> {
        self.consumer.sigkill()?;
        self.consumer.wait_exit(PATIENCE).await?;
        self.consumer = start_consumer(&self.customers.url, &self.broker.amqp_url).await?;
        Ok(())
    }
}

/// Starts the order service on free ports, with the customer service at `customer_url`. Under load
/// it lets requests wait for the database instead of rejecting them.
///
/// # Errors
/// When it can't be started.
pub async fn start_order_service(database: &str, customer_url: &str) -> anyhow::Result<Service> {
    let settings = [
        ("DATABASE_URL", database),
        ("CUSTOMER_SERVICE_URL", customer_url),
        ("DATABASE_POOL_WAIT", "30s"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    Service::spawn(stack::binary("order-service").await?, ["serve"], settings).await
}

/// Starts the customer service's API on free ports, with the seed data.
///
/// # Errors
/// When it can't be started.
pub async fn start_customer_api(database: &str) -> anyhow::Result<Service> {
    let settings = [
        ("DATABASE_URL", database),
        ("SEED_CUSTOMERS", "true"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    Service::spawn(stack::binary("customer-service").await?, ["api"], settings).await
}

/// Starts a relay.
///
/// # Errors
/// When it can't be started.
pub async fn start_relay(database: &str, broker: &str) -> anyhow::Result<Service> {
    let settings =
        [("DATABASE_URL", database), ("RABBITMQ_URL", broker), ("OPS_ADDR", "127.0.0.1:0")];
    Service::spawn(stack::binary("outbox-relay").await?, ["run"], settings).await
}

/// Starts a consumer.
///
/// # Errors
/// When it can't be started.
pub async fn start_consumer(database: &str, broker: &str) -> anyhow::Result<Service> {
    let settings =
        [("DATABASE_URL", database), ("RABBITMQ_URL", broker), ("OPS_ADDR", "127.0.0.1:0")];
    Service::spawn(stack::binary("customer-service").await?, ["consumer"], settings).await
}

/// The address in the log line that contains `event`, as a URL.
///
/// # Errors
/// When the service does not log it in time.
pub async fn address(service: &Service, event: &str) -> anyhow::Result<String> {
    let line = service.wait_for_line(event, PATIENCE).await?;
    let (_, rest) =
        line.split_once("address=").with_context(|| format!("no address in {line:?}"))?;
    let address = rest.split_whitespace().next().unwrap_or_default();
    Ok(format!("http://{address}"))
}

/// Waits until the service is ready.
///
/// # Errors
/// When it does not in time.
pub async fn ready(service: &Service) -> anyhow::Result<()> {
    let url = format!("{}/readyz", address(service, "operations port is open").await?);
    let http = stack::http_client()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = http.get(&url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "never ready: {}", service.last_lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connects to a test's database.
///
/// # Errors
/// When it does not answer.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

/// A customer's `orders_count`, from the customer service's API.
///
/// # Errors
/// When the service does not answer with a customer.
pub async fn orders_count(customer_url: &str, customer: &str) -> anyhow::Result<i64> {
    let url = format!("{customer_url}/api/customers/{customer}");
    let customer: Value =
        stack::http_client()?.get(url).send().await?.error_for_status()?.json().await?;
    customer["orders_count"].as_i64().with_context(|| format!("no count in {customer}"))
}
