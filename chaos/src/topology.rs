//! All servers and processes of a run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::pipeline::connect;
use pipeline_tests::relay_role::relay_url;
use pipeline_tests::tcp_server::server_of;
use stack::RabbitCluster;
use tokio::sync::Mutex;

use crate::links::Link;
use crate::postgres::{Postgres, Role};
use crate::program::Program;
use crate::thread;

/// The cluster's only virtual host.
pub(crate) const VHOST: &str = "%2f";
/// How many there are of each replicated program.
const REPLICAS: usize = 3;
/// How many more relays there are when they are scaled up.
const SPARE_RELAYS: usize = 2;
/// What the plan calls the broker, and its nodes with a number.
const BROKER: &str = "rabbitmq";
const READY: Duration = Duration::from_secs(120);
const DESK: &str = include_str!("../../sql/dead-letters/schema.sql");

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Topology {
    /// The order database.
    pub(crate) orders: Postgres,
    /// The customer database, with the desk's tables.
    pub(crate) customers: Postgres,
    /// The broker.
    pub(crate) cluster: Mutex<RabbitCluster>,
    /// The URLs of its nodes, which do not change.
    pub(crate) amqp_urls: [String; 3],
    /// The management APIs of its nodes.
    pub(crate) management_urls: [String; 3],
    clocks: PathBuf,
    /// The programs: order services, relays, consumers, the customer API, the collector.
    pub(crate) programs: Vec<Program>,
    /// Relays that are down, and started to scale up.
    pub(crate) spare_relays: Vec<Program>,
    /// The connections between programs and servers.
    pub(crate) links: Vec<Link>,
    /// Where each order service listens.
    pub(crate) order_urls: Vec<String>,
    /// A client with a short deadline.
    pub(crate) http: reqwest::Client,
}

impl Topology {
    /// Starts everything and waits until all programs are ready.
    ///
    /// `clocks` is an empty folder for the clocks of the programs.
    pub(crate) async fn start(clocks: &Path) -> anyhow::Result<Self> {
        let orders = thread::spawn(|| Postgres::start("orders-database", "orders"));
        let customers = thread::spawn(|| Postgres::start("customers-database", "customers"));
        let cluster = thread::spawn(RabbitCluster::start_temporary);
        let (orders, customers, cluster) = tokio::try_join!(orders, customers, cluster)?;
        let (orders, customers, cluster) = (orders?, customers?, cluster?);
        let url_of = |place: usize| cluster.nodes[place].access().amqp_url(VHOST);
        let api_of = |place: usize| cluster.nodes[place].access().management_url();
        let amqp_urls = [url_of(0), url_of(1), url_of(2)];
        let management_urls = [api_of(0), api_of(1), api_of(2)];
        let http = stack::http_client_builder()?.timeout(Duration::from_secs(10)).build()?;
        let mut topology = Self {
            orders,
            customers,
            cluster: Mutex::new(cluster),
            amqp_urls,
            management_urls,
            clocks: clocks.to_owned(),
            programs: Vec::new(),
            spare_relays: Vec::new(),
            links: Vec::new(),
            order_urls: Vec::new(),
            http,
        };
        topology.start_programs().await?;
        Ok(topology)
    }

    async fn start_programs(&mut self) -> anyhow::Result<()> {
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

    /// Waits until every program is ready.
    pub(crate) async fn all_ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        for program in &self.programs {
            while !program.is_ready(&self.http).await {
                let why = async || {
                    format!("{} is not ready: {}", program.name, program.last_lines().await)
                };
                ensure!(Instant::now() < end, "{}", why().await);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// The program with this name.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<&Program> {
        let found = self.programs.iter().find(|program| program.name == name);
        found.with_context(|| format!("no program {name}"))
    }

    /// The links with this name.
    pub(crate) fn links(&self, name: &str) -> anyhow::Result<Vec<&Link>> {
        let found: Vec<&Link> = self.links.iter().filter(|link| link.name() == name).collect();
        ensure!(!found.is_empty(), "no link {name}");
        Ok(found)
    }

    /// The database whose primary has this name.
    pub(crate) fn postgres(&self, name: &str) -> anyhow::Result<&Postgres> {
        let found = [&self.orders, &self.customers].into_iter().find(|one| one.name == name);
        found.with_context(|| format!("no database {name}"))
    }

    /// The PostgreSQL server with this name.
    pub(crate) fn postgres_server(&self, name: &str) -> Option<(&Postgres, Role)> {
        [&self.orders, &self.customers].into_iter().find_map(|one| match name {
            _ if name == one.name => Some((one, Role::Primary)),
            _ if name == one.standby_name() => Some((one, Role::Standby)),
            _ => None,
        })
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
        let database = self.through_pair(&name, "orders-database", &url)?;
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
        let [first, second] = self.postgres(to)?.url_of_each(url)?;
        let (first, second) = (self.through(from, to, &first)?, self.through(from, to, &second)?);
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

/// What the plan calls the node at this index.
pub(crate) fn node_name(place: usize) -> String {
    format!("{BROKER}-{}", place + 1)
}

/// The index of the node with this name.
pub(crate) fn node_place(name: &str) -> anyhow::Result<usize> {
    let place = (0..3).find(|place| node_name(*place) == name);
    place.with_context(|| format!("nothing is called {name}"))
}
