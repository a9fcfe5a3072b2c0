//! What a stack consists of: ports, addresses, and each service's command and settings.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::port_owner::port_owner;
use crate::state::Name;

/// Where the services listen on 127.0.0.1.
#[derive(Clone, Debug)]
pub(crate) struct ServicePorts {
    order_api: u16,
    customer_api: u16,
    /// order-service, outbox-relay, customer api, customer consumer
    ops: [u16; 4],
}

impl ServicePorts {
    /// The documented ports, or six in a row from `base` on.
    pub(crate) fn new(base: Option<u16>) -> anyhow::Result<Self> {
        let Some(base) = base else {
            return Ok(Self { order_api: 3000, customer_api: 3001, ops: [9000, 9001, 9002, 9003] });
        };
        base.checked_add(5).context("--port-base leaves no room for six ports below 65536")?;
        Ok(Self {
            order_api: base,
            customer_api: base + 1,
            ops: [base + 2, base + 3, base + 4, base + 5],
        })
    }

    /// Fails with one sentence for the first port that someone else has.
    pub(crate) fn check_free(&self) -> anyhow::Result<()> {
        for (port, name) in self.named() {
            if !stack::is_free(port) {
                let owner = port_owner(port).unwrap_or_else(|| "another process".to_owned());
                bail!(
                    "port {port}, for {name}, is taken by {owner}; stop that, or choose other \
                     ports for the services, such as `cargo xtask up --port-base 4000`"
                );
            }
        }
        Ok(())
    }

    /// Occupies the ports until the result is dropped, so that nothing else finds them free.
    pub(crate) fn occupy(&self) -> Vec<TcpListener> {
        let listen = |(port, _)| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        self.named().into_iter().filter_map(listen).collect()
    }

    fn named(&self) -> [(u16, &'static str); 6] {
        [
            (self.order_api, "order-service"),
            (self.customer_api, "customer-service"),
            (self.ops[0], "the operations port of order-service"),
            (self.ops[1], "the operations port of outbox-relay"),
            (self.ops[2], "the operations port of customer-service"),
            (self.ops[3], "the operations port of customer-consumer"),
        ]
    }
}

/// The addresses that `.stack/env` gives away. All but the databases are URLs for curl.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) order_service: String,
    pub(crate) customer_service: String,
    pub(crate) order_database: String,
    /// The same, for the relay.
    #[serde(default)]
    pub(crate) relay_database: String,
    pub(crate) customer_database: String,
    pub(crate) rabbitmq: String,
    /// With user and password in it; unknown for some brokers of others.
    pub(crate) rabbitmq_management: Option<String>,
    pub(crate) order_service_ops: String,
    pub(crate) relay_ops: String,
    pub(crate) customer_service_ops: String,
    pub(crate) customer_consumer_ops: String,
}

/// The servers' part of the addresses.
pub(crate) struct ServerAddresses {
    pub(crate) order_database: String,
    pub(crate) relay_database: String,
    pub(crate) customer_database: String,
    pub(crate) rabbitmq: String,
    pub(crate) rabbitmq_management: Option<String>,
}

impl Addresses {
    pub(crate) fn new(ports: &ServicePorts, servers: ServerAddresses) -> Self {
        let on = |port: u16| format!("http://127.0.0.1:{port}");
        Self {
            order_service: on(ports.order_api),
            customer_service: on(ports.customer_api),
            order_database: servers.order_database,
            relay_database: servers.relay_database,
            customer_database: servers.customer_database,
            rabbitmq: servers.rabbitmq,
            rabbitmq_management: servers.rabbitmq_management,
            order_service_ops: on(ports.ops[0]),
            relay_ops: on(ports.ops[1]),
            customer_service_ops: on(ports.ops[2]),
            customer_consumer_ops: on(ports.ops[3]),
        }
    }
}

/// How one service is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) package: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Base URL of its operations port.
    pub(crate) ops: String,
    /// The port people use: that of its API, or of operations.
    pub(crate) port: u16,
}

/// The four services, in the order in which they are started: the relay last, as its role is given rights on tables that the
/// order service makes.
pub(crate) fn commands(ports: &ServicePorts, at: &Addresses) -> Vec<(Name, Command)> {
    let order_db = ("DATABASE_URL", at.order_database.clone());
    let relay_db = ("DATABASE_URL", at.relay_database.clone());
    let customer_db = ("DATABASE_URL", at.customer_database.clone());
    let broker = ("RABBITMQ_URL", at.rabbitmq.clone());
    let listen = |port: u16| ("LISTEN_ADDR", format!("127.0.0.1:{port}"));
    let command = |package: &str, role: &str, api: Option<u16>, ops: u16, settings: Vec<_>| {
        let ops_addr = ("OPS_ADDR", format!("127.0.0.1:{ops}"));
        let settings = settings.into_iter().chain([ops_addr]);
        Command {
            package: package.to_owned(),
            arguments: vec![role.to_owned()],
            environment: settings.map(|(name, value)| (name.to_owned(), value)).collect(),
            ops: format!("http://127.0.0.1:{ops}"),
            port: api.unwrap_or(ops),
        }
    };

    let api = vec![
        customer_db.clone(),
        listen(ports.customer_api),
        ("SEED_CUSTOMERS", "true".to_owned()),
    ];
    let orders = vec![
        order_db,
        listen(ports.order_api),
        ("CUSTOMER_SERVICE_URL", at.customer_service.clone()),
    ];
    let [order_ops, relay_ops, api_ops, consumer_ops] = ports.ops;
    vec![
        (
            Name::CustomerService,
            command("customer-service", "api", Some(ports.customer_api), api_ops, api),
        ),
        (
            Name::CustomerConsumer,
            command(
                "customer-service",
                "consumer",
                None,
                consumer_ops,
                vec![customer_db, broker.clone()],
            ),
        ),
        (
            Name::OrderService,
            command("order-service", "serve", Some(ports.order_api), order_ops, orders),
        ),
        (
            Name::OutboxRelay,
            command("outbox-relay", "run", None, relay_ops, vec![relay_db, broker]),
        ),
    ]
}

/// Variables that would send a service to other servers or ports than the stack's.
const OURS: [&str; 11] = [
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "RABBITMQ_URL",
    "RABBITMQ_URL_FILE",
    "CUSTOMER_SERVICE_URL",
    "ORDER_SERVICE_URL",
    "ORDER_DATABASE_URL",
    "RELAY_DATABASE_URL",
    "CUSTOMER_DATABASE_URL",
    "LISTEN_ADDR",
    "OPS_ADDR",
];

/// Beginnings of the services' own settings, which `restart` finds again in the state.
const SETTINGS: [&str; 13] = [
    "CONSUMER_",
    "CUSTOMER_",
    "DATABASE_",
    "HTTP_",
    "LOG_",
    "MIGRATE_",
    "ORDER_",
    "OTEL_",
    "RABBITMQ_MAX_RETRIES",
    "RABBITMQ_RETRY_TTL_MS",
    "RELAY_",
    "RUST_LOG",
    "SHUTDOWN_",
];

/// The services' settings in this process's environment.
pub(crate) fn settings_from_environment() -> Vec<(String, String)> {
    let is_setting = |name: &str| SETTINGS.iter().any(|prefix| name.starts_with(prefix));
    std::env::vars().filter(|(name, _)| is_setting(name) && !is_ours(name)).collect()
}

pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

/// Where `package`'s program lies in a folder of built programs.
pub(crate) fn program(bin_dir: &Path, package: &str) -> std::path::PathBuf {
    bin_dir.join(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_comes_last_and_is_the_only_one_to_use_its_role() -> anyhow::Result<()> {
        let ports = ServicePorts::new(None)?;
        let servers = ServerAddresses {
            order_database: "postgres://owner@h/orders".to_owned(),
            relay_database: "postgres://outbox_relay@h/orders".to_owned(),
            customer_database: "postgres://owner@h/customers".to_owned(),
            rabbitmq: "amqp://h".to_owned(),
            rabbitmq_management: None,
        };
        let commands = commands(&ports, &Addresses::new(&ports, servers));
        let uses_role = |command: &Command| {
            command.environment.iter().any(|(_, value)| value.contains("outbox_relay@"))
        };
        let (last, others) = commands.split_last().context("four services")?;
        assert!(last.0 == Name::OutboxRelay && uses_role(&last.1));
        assert!(!others.iter().any(|(_, command)| uses_role(command)));
        Ok(())
    }
}
