//! The pipeline's programs, as real processes that export traces.

use stack::{Database, Service, Vhost};

use crate::collector::TraceCollector;
use crate::pipeline::{PATIENCE, address, connect, ready};
use crate::relay_role::relay_url;

/// The setting with which spans are exported soon.
pub const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// A running pipeline that exports traces. Dropping it kills the services.
#[derive(Debug)]
pub struct TracedPipeline {
    /// The order database.
    pub orders: Database,
    /// `http://127.0.0.1:port` of the order service.
    pub order_url: String,
    /// All four services.
    pub services: Vec<Service>,
    _customers: Database,
    _broker: Vhost,
}

impl TracedPipeline {
    /// Starts all four processes and waits until they are ready and have found `collector`.
    ///
    /// # Errors
    /// When one of them is not in time.
    pub async fn start(collector: &TraceCollector) -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        let orders = servers.database("orders").await?;
        let customers = servers.database("customers").await?;
        let broker = servers.vhost("traced").await?;
        let (customer_db, amqp) =
            (("DATABASE_URL", customers.url.as_str()), ("RABBITMQ_URL", broker.amqp_url.as_str()));

        let seeds = [customer_db, ("SEED_CUSTOMERS", "true")];
        let customer_api = start("customer-service", "api", &seeds, collector).await?;
        let customer_url = address(&customer_api, "HTTP port is open").await?;
        let settings =
            [("DATABASE_URL", orders.url.as_str()), ("CUSTOMER_SERVICE_URL", &customer_url)];
        let order_service = start("order-service", "serve", &settings, collector).await?;
        let order_url = address(&order_service, "HTTP port is open").await?;
        ready(&order_service).await?;
        let relay_url = relay_url(&orders, &connect(&orders.url).await?).await?;
        let consumer =
            start("customer-service", "consumer", &[customer_db, amqp], collector).await?;
        // The consumer declares the queue, so that no message is returned.
        ready(&consumer).await?;
        let settings = [("DATABASE_URL", relay_url.as_str()), amqp];
        let relay = start("outbox-relay", "run", &settings, collector).await?;
        let services = vec![customer_api, order_service, consumer, relay];
        for service in &services {
            ready(service).await?;
            service.wait_for_line("traces are exported", PATIENCE).await?;
        }
        Ok(Self { orders, order_url, services, _customers: customers, _broker: broker })
    }
}

async fn start(
    program: &str,
    role: &str,
    settings: &[(&str, &str)],
    collector: &TraceCollector,
) -> anyhow::Result<Service> {
    let usual = [
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        SOON,
    ];
    let settings = usual.iter().chain(settings).copied();
    Service::spawn(stack::binary(program).await?, [role], settings).await
}
