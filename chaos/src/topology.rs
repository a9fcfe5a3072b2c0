//! All servers and processes of a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::pgbouncer::PgBouncer;
use pipeline_tests::previous_release::PreviousRelease;
use stack::RabbitCluster;
use tokio::sync::Mutex;

use crate::cluster;
use crate::links::Link;
use crate::mounts::may_mount;
use crate::postgres::{Postgres, Role};
use crate::program::Program;
use crate::thread;

/// The cluster's only virtual host.
pub(crate) const VHOST: &str = "%2f";
/// What the plan calls the broker, and its nodes with a number.
pub(crate) const BROKER: &str = "rabbitmq";
/// What the plan calls the poolers.
pub(crate) const POOLERS: &str = "pgbouncer";
const READY: Duration = Duration::from_secs(120);

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
    pub(crate) clocks: PathBuf,
    /// The programs of the previous release, where they can be built.
    pub(crate) previous: Option<Arc<PreviousRelease>>,
    /// The poolers between an order service and its database.
    pub(crate) poolers: Mutex<Vec<PgBouncer>>,
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
    pub(crate) async fn start(
        clocks: &Path,
        previous: Option<Arc<PreviousRelease>>,
    ) -> anyhow::Result<Self> {
        let orders = thread::spawn(|| Postgres::start("orders-database", "orders", may_mount()));
        let customers = thread::spawn(|| Postgres::start("customers-database", "customers", false));
        let cluster = thread::spawn(cluster::start);
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
            previous,
            poolers: Mutex::default(),
            programs: Vec::new(),
            spare_relays: Vec::new(),
            links: Vec::new(),
            order_urls: Vec::new(),
            http,
        };
        topology.start_programs().await?;
        Ok(topology)
    }

    /// Waits until every program is ready.
    pub(crate) async fn all_ready(&self) -> anyhow::Result<()> {
        for program in &self.programs {
            self.ready(program).await?;
        }
        Ok(())
    }

    /// Waits until a program is ready.
    pub(crate) async fn ready(&self, program: &Program) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        while !program.is_ready(&self.http).await {
            let why =
                async || format!("{} is not ready: {}", program.name, program.last_lines().await);
            ensure!(Instant::now() < end, "{}", why().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The program with this name.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<&Program> {
        let found = self.programs.iter().find(|program| program.name == name);
        found.with_context(|| format!("no program {name}"))
    }

    /// Whether the previous release's program can take the place of this one.
    pub(crate) fn had_release(&self, program: &Program) -> bool {
        // The collector is new. Consumers of that release can't use the queue that those of this one
        // declare (docs/operations.md, "A queue with other arguments"), and its order service no
        // pooler.
        let name = program.name.as_str();
        let is_pooled = self.links.iter().any(|link| link.name() == format!("{name} to {POOLERS}"));
        name != "collector" && program.arguments != ["consumer"] && !is_pooled
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
