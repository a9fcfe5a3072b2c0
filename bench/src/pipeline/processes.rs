//! The pipeline's processes, with its two databases and a virtual host.

use std::time::{Duration, Instant};

use anyhow::ensure;
use stack::Service;

use super::orders::OrderDatabase;
use super::programs::{Api, Programs, ready, stop};
use crate::consume::{ConsumerProgram, Customers, Orders};
use crate::load::Accepted;
use crate::setup::{Servers, backend};

/// The timeout without progress while orders are not counted yet.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Each program serves its metrics on a port of its own.
const ANY_OPS_PORT: (&str, &str) = ("OPS_ADDR", "127.0.0.1:0");

/// The interval between checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The databases, the virtual host, and the orders accepted so far.
#[derive(Debug)]
pub(crate) struct Pipeline<'a> {
    pub(crate) servers: &'a Servers,
    programs: &'a Programs,
    pub(crate) orders: OrderDatabase,
    pub(crate) customers: Customers,
    pub(crate) broker: Orders,
    accepted: Accepted,
}

/// The order service and the customer API, which answer clients. Killed on drop.
#[derive(Debug)]
pub(crate) struct Apis {
    pub(crate) order_service: Api,
    pub(crate) customer_api: Api,
}

/// The relay and the consumer. Killed on drop.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) relay: Service,
    pub(crate) consumer: Service,
}

impl<'a> Pipeline<'a> {
    /// A pipeline without orders and with this many customers.
    pub(crate) async fn new(
        servers: &'a Servers,
        programs: &'a Programs,
        customers: usize,
    ) -> anyhow::Result<Self> {
        let program = ConsumerProgram::new(Some(programs.customer_service.clone()), Vec::new())?;
        let (orders, customers, broker) = tokio::try_join!(
            OrderDatabase::new(servers, programs),
            Customers::new(servers, customers, &program),
            Orders::new(servers),
        )?;
        Ok(Self { servers, programs, orders, customers, broker, accepted: Accepted::default() })
    }

    /// Starts the order service, with default settings, and the customer service's API that it
    /// calls.
    pub(crate) async fn start_apis(&self) -> anyhow::Result<Apis> {
        let anywhere = [("LISTEN_ADDR", "127.0.0.1:0"), ("OPS_ADDR", "127.0.0.1:0")];
        let database = [("DATABASE_URL", self.customers.url.as_str())];
        let program = &self.programs.customer_service;
        let customer_api =
            Api::start(program, &["api"], &[&database[..], &anywhere].concat()).await?;
        let customers = format!("http://{}", customer_api.address);
        let own =
            [("DATABASE_URL", self.orders.url.as_str()), ("CUSTOMER_SERVICE_URL", &customers)];
        let program = &self.programs.order_service;
        let order_service =
            Api::start(program, &["serve"], &[&own[..], &anywhere].concat()).await?;
        tokio::try_join!(customer_api.ready(), order_service.ready())?;
        Ok(Apis { order_service, customer_api })
    }

    /// Starts relay and consumer with default settings.
    pub(crate) async fn start_workers(&self) -> anyhow::Result<Workers> {
        // The consumer declares the queue; until then the relay's messages would be returned.
        let consumer = self.start_consumer(&[]).await?;
        let relay = self.start_relay(&[]).await?;
        Ok(Workers { relay, consumer })
    }

    /// Starts a consumer with these settings besides its addresses, and waits until it is ready.
    pub(crate) async fn start_consumer(
        &self,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Service> {
        let own = [("DATABASE_URL", self.customers.url.as_str()), self.broker_url(), ANY_OPS_PORT];
        let settings = own.iter().chain(settings).copied();
        let consumer =
            Service::spawn(&self.programs.customer_service, ["consumer"], settings).await?;
        ready(&consumer).await?;
        Ok(consumer)
    }

    /// The same for a relay.
    pub(crate) async fn start_relay(&self, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let url = self.orders.relay_url.as_str();
        let own = [("DATABASE_URL", url), self.broker_url(), ANY_OPS_PORT];
        let settings = own.iter().chain(settings).copied();
        let relay = Service::spawn(&self.programs.outbox_relay, ["run"], settings).await?;
        ready(&relay).await?;
        Ok(relay)
    }

    fn broker_url(&self) -> (&'static str, &str) {
        ("RABBITMQ_URL", self.broker.url.as_str())
    }

    /// Adds the orders that the order service accepted.
    pub(crate) fn accept(&mut self, accepted: &Accepted) {
        self.accepted.add(accepted);
    }

    /// The number of orders accepted so far.
    pub(crate) const fn accepted(&self) -> u64 {
        self.accepted.total
    }

    /// The backend pids of the benchmark's own sessions.
    pub(crate) async fn own_sessions(&self) -> anyhow::Result<[u32; 2]> {
        tokio::try_join!(backend(&self.orders.sql), self.customers.backend()).map(Into::into)
    }

    /// Waits until all accepted orders are counted, and fails unless each was counted once.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let accepted = usize::try_from(self.accepted.total)?;
        let (mut counted, mut progress) = (0, Instant::now());
        while counted < accepted {
            let now = self.customers.counted().await?;
            if now > counted {
                (counted, progress) = (now, Instant::now());
            }
            ensure!(
                progress.elapsed() < TIMEOUT,
                "{counted} of {accepted} accepted orders are counted: this run has no result"
            );
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        self.check().await
    }

    async fn check(&self) -> anyhow::Result<()> {
        self.orders.check(self.accepted.total).await?;
        self.customers.check_each(&self.accepted.by_customer).await?;
        self.broker.check_empty().await
    }
}

impl Apis {
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.order_service.stop().await?;
        self.customer_api.stop().await
    }
}

impl Workers {
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        stop(&self.relay).await?;
        stop(&self.consumer).await
    }
}
