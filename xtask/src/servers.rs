//! PostgreSQL and RabbitMQ of the stack: its own, or those named in the environment.

use anyhow::Context;
use stack::{PostgresServer, RabbitServer};
use url::Url;

use crate::logins::Logins;
use crate::plan::ServerAddresses;
use crate::process_name::Name;
use crate::service_ports::ServicePorts;
use crate::state::{State, given, own_postgres, own_rabbitmq, write_pid};
use crate::terminal::progress;

/// The servers that the environment names instead of the stack's own.
pub(crate) struct ExternalServers {
    order_database: Option<String>,
    relay_database: Option<String>,
    customer_database: Option<String>,
    rabbitmq: Option<String>,
}

impl ExternalServers {
    pub(crate) fn from_environment() -> Self {
        Self {
            order_database: given("ORDER_DATABASE_URL"),
            relay_database: given("RELAY_DATABASE_URL"),
            customer_database: given("CUSTOMER_DATABASE_URL"),
            rabbitmq: given("RABBITMQ_URL"),
        }
    }

    pub(crate) fn needs_postgres(&self) -> bool {
        self.order_database.is_none() || self.customer_database.is_none()
    }

    /// Whether the stack creates schema and roles of the order database.
    pub(crate) fn owns_order_database(&self) -> bool {
        self.order_database.is_none()
    }

    /// Whether the stack creates schema and roles of the customer database.
    pub(crate) fn owns_customer_database(&self) -> bool {
        self.customer_database.is_none()
    }

    /// Whether the stack creates the relay's role in the order database.
    pub(crate) fn makes_relay_role(&self) -> bool {
        self.order_database.is_none() && self.relay_database.is_none()
    }

    /// Whether the stack creates the console's roles, which are one in each database.
    pub(crate) fn makes_console_roles(&self) -> bool {
        self.makes_relay_role() && self.owns_customer_database()
    }

    pub(crate) fn needs_rabbitmq(&self) -> bool {
        self.rabbitmq.is_none()
    }

    /// The servers that the stack starts, as names of Debian packages.
    fn needed_packages(&self) -> Vec<&'static str> {
        let postgres = self.needs_postgres().then_some("postgresql");
        let rabbitmq = self.needs_rabbitmq().then_some("rabbitmq-server");
        postgres.into_iter().chain(rabbitmq).collect()
    }
}

/// Installs those of `packages` that are missing; fails if an installed one is too old. Blocks.
fn install(packages: &[&str]) -> anyhow::Result<()> {
    let mut missing = stack::missing();
    missing.retain(|package| packages.contains(package));
    stack::install(&missing, progress)?;
    stack::check_versions(packages)
}

/// Installs the missing servers, starts the stack's own ones concurrently, and creates the databases.
pub(crate) async fn start(
    state: &State,
    given: &ExternalServers,
    ports: &ServicePorts,
) -> anyhow::Result<ServerAddresses> {
    let packages = given.needed_packages();
    tokio::task::spawn_blocking(move || install(&packages)).await??;
    // Keeps the servers from choosing the services' ports.
    let services_ports = ports.occupy();
    let postgres = state.own_postgres.then(own_postgres).transpose()?;
    let rabbitmq = state.own_rabbitmq.then(own_rabbitmq).transpose()?;
    drop(services_ports);

    let (databases, (rabbitmq, rabbitmq_management)) = tokio::try_join!(
        Box::pin(start_postgres(postgres, given)),
        Box::pin(start_rabbitmq(rabbitmq, given))
    )?;
    let (order_database, customer_database, logins) = databases;
    Ok(ServerAddresses { order_database, customer_database, logins, rabbitmq, rabbitmq_management })
}

async fn start_postgres(
    own: Option<PostgresServer>,
    given: &ExternalServers,
) -> anyhow::Result<(String, String, Logins)> {
    // The roles of an external database are up to its owner.
    let orders = given.order_database.clone().unwrap_or_default();
    let customers = given.customer_database.clone().unwrap_or_default();
    let Some(mut server) = own else {
        let mut logins = Logins::of_owners(&orders, &customers);
        if let Some(relay) = &given.relay_database {
            logins.outbox_relay.clone_from(relay);
        }
        return Ok((orders, customers, logins));
    };
    progress("Starting PostgreSQL …");
    truncate(server.log())?;
    server.start().await?;
    write_pid(Name::Postgres, server.process().context("PostgreSQL has ended again")?)?;
    let access = server.access();
    let orders = if given.owns_order_database() { access.url("orders") } else { orders };
    let customers =
        if given.owns_customer_database() { access.url("customers") } else { customers };
    let mut logins = Logins::of_owners(&orders, &customers);
    let login = |role: &str, database: &str| access.url_as(role, &stack::password(), database);
    if given.owns_order_database() {
        access.create_if_missing("orders").await?;
        logins.order_service = login("order_service", "orders");
    }
    if given.owns_customer_database() {
        access.create_if_missing("customers").await?;
        logins.customer_api = login("customer_api", "customers");
        logins.customer_consumer = login("customer_consumer", "customers");
        logins.dead_letters_collector = login("dead_letters_collector", "customers");
    }
    if let Some(relay) = &given.relay_database {
        logins.outbox_relay.clone_from(relay);
    } else if given.makes_relay_role() {
        logins.outbox_relay = login("outbox_relay", "orders");
    }
    if given.makes_console_roles() {
        logins.outbox_console = login("outbox_console", "orders");
        logins.dead_letters_console = login("dead_letters_console", "customers");
    }
    Ok((orders, customers, logins))
}

async fn start_rabbitmq(
    own: Option<RabbitServer>,
    given: &ExternalServers,
) -> anyhow::Result<(String, Option<String>)> {
    let Some(mut server) = own else {
        let url = given.rabbitmq.clone().unwrap_or_default();
        let management = self::given("RABBITMQ_MANAGEMENT_URL").or_else(|| usual_management(&url));
        return Ok((url, management));
    };
    progress("Starting RabbitMQ, which takes about ten seconds …");
    truncate(server.log())?;
    server.start().await?;
    server.add_guest().await?;
    write_pid(Name::Rabbitmq, server.process().context("RabbitMQ has ended again")?)?;
    let management = format!("http://guest:guest@127.0.0.1:{}", server.access().management_port);
    Ok((server.access().amqp_url("%2f"), Some(management)))
}

/// The usual URL of a broker's management API: same host, same user, port 15672.
fn usual_management(amqp: &str) -> Option<String> {
    let amqp = Url::parse(amqp).ok()?;
    let mut management = Url::parse("http://localhost:15672").ok()?;
    management.set_host(amqp.host_str()).ok()?;
    management.set_username(amqp.username()).ok()?;
    management.set_password(amqp.password()).ok()?;
    Some(management.as_str().trim_end_matches('/').to_owned())
}

/// Empties a log. A new stack begins with empty logs; `restart` appends.
pub(crate) fn truncate(log: &std::path::Path) -> anyhow::Result<()> {
    std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    Ok(())
}
