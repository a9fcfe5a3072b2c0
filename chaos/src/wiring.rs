//! Which programs there are, and what each is connected to.

use pipeline_tests::pgbouncer::PgBouncer;
use pipeline_tests::pipeline::connect;
use pipeline_tests::relay_role::relay_url;
use pipeline_tests::tcp_server::server_of;

use crate::links::Link;
use crate::program::Program;
use crate::topology::{BROKER, POOLERS, Topology};

/// How many there are of each replicated program.
const REPLICAS: usize = 3;
/// How many more relays there are when they are scaled up.
const SPARE_RELAYS: usize = 2;
/// The order service behind the poolers.
const POOLED: usize = 3;
const DESK: &str = include_str!("../../sql/dead-letters/schema.sql");

impl Topology {
    /// Starts them and waits until all are ready.
    pub(crate) async fn start_programs(&mut self) -> anyhow::Result<()> {
        let customer_api = self.add_customer_api().await?;
        for replica in 1..=REPLICAS {
            self.add_order_service(replica, &customer_api).await?;
        }
        let owner = connect(&self.orders.url).await?;
        let outbox = relay_url(&self.orders.database, &owner).await?;
        connect(&self.customers.url).await?.batch_execute(DESK).await?;
        for replica in 1..=REPLICAS {
            self.add_consumer(replica)?;
            let relay = self.relay(replica, &outbox)?;
            self.programs.push(relay);
        }
        for replica in REPLICAS + 1..=REPLICAS + SPARE_RELAYS {
            let relay = self.relay(replica, &outbox)?;
            self.spare_relays.push(relay);
        }
        self.add_collector()?;
        for program in &self.programs {
            program.start().await?;
        }
        self.all_ready().await
    }

    async fn add_customer_api(&mut self) -> anyhow::Result<String> {
        let address = format!("127.0.0.1:{}", stack::free_port()?);
        let url = self.customers.database.url.clone();
        let database = self.through_pair("customer-api", "customers-database", &url)?;
        let settings = vec![
            ("DATABASE_URL", database),
            ("SEED_CUSTOMERS", "true".to_owned()),
            ("LISTEN_ADDR", address.clone()),
        ];
        let api = Program::new(
            "customer-api".to_owned(),
            "customer-service",
            vec!["api"],
            settings,
            &self.clocks,
        )?;
        api.start().await?;
        self.programs.push(api);
        self.all_ready().await?;
        Ok(address)
    }

    async fn add_order_service(
        &mut self,
        replica: usize,
        customer_api: &str,
    ) -> anyhow::Result<()> {
        let name = format!("order-service-{replica}");
        let url = self.orders.database.url.clone();
        let database = if replica == POOLED {
            self.through_poolers(&name, &url).await?
        } else {
            self.through_pair(&name, "orders-database", &url)?
        };
        let (link, customers) = Link::before_address(&name, "customer-api", customer_api)?;
        self.links.push(link);
        let address = format!("127.0.0.1:{}", stack::free_port()?);
        let settings = vec![
            ("DATABASE_URL", database),
            ("CUSTOMER_SERVICE_URL", format!("http://{customers}")),
            ("LISTEN_ADDR", address.clone()),
        ];
        self.order_urls.push(format!("http://{address}/api/orders"));
        let service = Program::new(name, "order-service", vec!["serve"], settings, &self.clocks)?;
        service.start().await?;
        self.programs.push(service);
        self.all_ready().await
    }

    fn relay(&mut self, replica: usize, database: &str) -> anyhow::Result<Program> {
        let name = format!("relay-{replica}");
        let settings = vec![
            ("DATABASE_URL", self.through_pair(&name, "orders-database", database)?),
            ("RABBITMQ_URL", self.brokers_for(&name, replica)?),
            ("OUTBOX_RETENTION", "off".to_owned()),
        ];
        Program::new(name, "outbox-relay", vec!["run"], settings, &self.clocks)
    }

    fn add_consumer(&mut self, replica: usize) -> anyhow::Result<()> {
        let name = format!("consumer-{replica}");
        let database = self.customers.database.url.clone();
        let settings = vec![
            ("DATABASE_URL", self.through_pair(&name, "customers-database", &database)?),
            ("RABBITMQ_URL", self.brokers_for(&name, replica)?),
            ("RABBITMQ_RETRY_TTL_MS", "2000".to_owned()),
        ];
        self.programs.push(Program::new(
            name,
            "customer-service",
            vec!["consumer"],
            settings,
            &self.clocks,
        )?);
        Ok(())
    }

    fn add_collector(&mut self) -> anyhow::Result<()> {
        let name = "collector".to_owned();
        let database = self.customers.database.url.clone();
        let settings = vec![
            (
                "DEAD_LETTERS_DATABASE_URL",
                self.through_pair(&name, "customers-database", &database)?,
            ),
            ("RABBITMQ_URL", self.brokers_for(&name, 1)?),
        ];
        let arguments =
            vec!["dead-letters", "collect", "--queue", "customer.orders_count.dlq", "--follow"];
        self.programs.push(Program::new(name, "outbox-relay", arguments, settings, &self.clocks)?);
        Ok(())
    }

    /// The URL of a server through a link of its own.
    fn through(&mut self, from: &str, to: &str, url: &str) -> anyhow::Result<String> {
        let (link, url) = Link::before(from, to, url)?;
        self.links.push(link);
        Ok(url)
    }

    /// The URL of a database with both servers, each through a link of its own.
    fn through_pair(&mut self, from: &str, to: &str, url: &str) -> anyhow::Result<String> {
        let urls = self.postgres(to)?.url_of_each(url)?;
        self.through_both(from, to, &urls)
    }

    /// The URL of the order database with both servers, each behind a pooler of its own.
    async fn through_poolers(&mut self, from: &str, url: &str) -> anyhow::Result<String> {
        let [first, second] = self.orders.url_of_each(url)?;
        let ((one, first), (other, second)) =
            (PgBouncer::before(&first).await?, PgBouncer::before(&second).await?);
        self.poolers.get_mut().extend([one, other]);
        self.through_both(from, POOLERS, &[first, second])
    }

    fn through_both(
        &mut self,
        from: &str,
        to: &str,
        [first, second]: &[String; 2],
    ) -> anyhow::Result<String> {
        let (first, second) = (self.through(from, to, first)?, self.through(from, to, second)?);
        let (one, other) = (server_of(&first)?, server_of(&second)?);
        Ok(first.replace(one, &format!("{one},{other}")))
    }

    /// `RABBITMQ_URL` with a link to each node, beginning with another one for each replica.
    fn brokers_for(&mut self, from: &str, replica: usize) -> anyhow::Result<String> {
        let mut urls = Vec::new();
        for place in (0..3).map(|place| (place + replica - 1) % 3) {
            let url = self.amqp_urls[place].clone();
            urls.push(self.through(from, BROKER, &url)?);
        }
        Ok(urls.join(","))
    }
}
