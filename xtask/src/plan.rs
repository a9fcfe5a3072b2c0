//! The parts of a stack: addresses, and each service's command and settings.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::logins::Logins;
use crate::process_name::Name;
use crate::service_ports::ServicePorts;

/// The addresses in `.stack/env`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) order_service: String,
    pub(crate) customer_service: String,
    /// The databases' URLs as their owner, for people.
    pub(crate) order_database: String,
    pub(crate) customer_database: String,
    /// The same, for the services.
    #[serde(default)]
    pub(crate) logins: Logins,
    pub(crate) rabbitmq: String,
    /// Includes user and password; unknown for some external brokers.
    pub(crate) rabbitmq_management: Option<String>,
    pub(crate) order_service_ops: String,
    pub(crate) relay_ops: String,
    pub(crate) customer_service_ops: String,
    pub(crate) customer_consumer_ops: String,
    /// None without the desk.
    #[serde(default)]
    pub(crate) desk_ops: Option<String>,
    #[serde(default)]
    pub(crate) console: String,
    #[serde(default)]
    pub(crate) console_ops: String,
}

/// The servers' addresses.
pub(crate) struct ServerAddresses {
    pub(crate) order_database: String,
    pub(crate) customer_database: String,
    pub(crate) logins: Logins,
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
            customer_database: servers.customer_database,
            logins: servers.logins,
            rabbitmq: servers.rabbitmq,
            rabbitmq_management: servers.rabbitmq_management,
            order_service_ops: on(ports.ops[0]),
            relay_ops: on(ports.ops[1]),
            customer_service_ops: on(ports.ops[2]),
            customer_consumer_ops: on(ports.ops[3]),
            desk_ops: ports.desk_ops.map(on),
            console: on(ports.console),
            console_ops: on(ports.console_ops),
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
    /// The port to show: its API's, or the operations port.
    pub(crate) port: u16,
}

/// The four services, the collector of dead letters with the desk, and the console, which reads the
/// file `inboxes`. Each logs in as its role; one that is not the owner does not migrate.
pub(crate) fn commands(
    ports: &ServicePorts,
    at: &Addresses,
    inboxes: &Path,
) -> Vec<(Name, Command)> {
    let database = |login: &String, owner: &String| {
        let url = ("DATABASE_URL", login.clone());
        let migrate = (login != owner).then(|| ("MIGRATE_ON_START", "false".to_owned()));
        [url].into_iter().chain(migrate).collect::<Vec<_>>()
    };
    let broker = ("RABBITMQ_URL", at.rabbitmq.clone());
    let listen = |port: u16| ("LISTEN_ADDR", format!("127.0.0.1:{port}"));
    let command = |package: &str, arguments: &str, api: Option<u16>, ops: u16, settings: Vec<_>| {
        let ops_addr = ("OPS_ADDR", format!("127.0.0.1:{ops}"));
        let settings = settings.into_iter().chain([ops_addr]);
        Command {
            package: package.to_owned(),
            arguments: arguments.split(' ').map(ToOwned::to_owned).collect(),
            environment: settings.map(|(name, value)| (name.to_owned(), value)).collect(),
            ops: format!("http://127.0.0.1:{ops}"),
            port: api.unwrap_or(ops),
        }
    };

    let mut api = database(&at.logins.customer_api, &at.customer_database);
    api.extend([listen(ports.customer_api), ("SEED_CUSTOMERS", "true".to_owned())]);
    let mut consumer = database(&at.logins.customer_consumer, &at.customer_database);
    consumer.push(broker.clone());
    let mut orders = database(&at.logins.order_service, &at.order_database);
    orders.extend([listen(ports.order_api), ("CUSTOMER_SERVICE_URL", at.customer_service.clone())]);
    let desk = vec![
        ("DEAD_LETTERS_DATABASE_URL", at.logins.dead_letters_collector.clone()),
        ("DEAD_LETTERS_QUEUE", DEAD_LETTER_QUEUE.to_owned()),
        broker.clone(),
    ];
    let relay = vec![("DATABASE_URL", at.logins.outbox_relay.clone()), broker.clone()];
    let mut console = console_databases(ports, at);
    console.extend([
        broker,
        ("CONSOLE_ADDR", format!("127.0.0.1:{}", ports.console)),
        ("OUTBOX_INBOXES", inboxes.display().to_string()),
    ]);
    let console =
        command("outbox-relay", "console", Some(ports.console), ports.console_ops, console);
    let [order_ops, relay_ops, api_ops, consumer_ops] = ports.ops;
    let collector = ports.desk_ops.map(|ops| {
        let collect = command("outbox-relay", "dead-letters collect --follow", None, ops, desk);
        (Name::DeadLetters, collect)
    });
    let services = [
        (
            Name::CustomerService,
            command("customer-service", "api", Some(ports.customer_api), api_ops, api),
        ),
        (
            Name::CustomerConsumer,
            command("customer-service", "consumer", None, consumer_ops, consumer),
        ),
        (
            Name::OrderService,
            command("order-service", "serve", Some(ports.order_api), order_ops, orders),
        ),
        (Name::OutboxRelay, command("outbox-relay", "run", None, relay_ops, relay)),
    ];
    services.into_iter().chain(collector).chain([(Name::Console, console)]).collect()
}

/// The databases of the console. As an owner its commands take no role: an external database need
/// not have those for people.
fn console_databases(ports: &ServicePorts, at: &Addresses) -> Vec<(&'static str, String)> {
    let outbox = ("DATABASE_URL", at.logins.outbox_console.clone());
    let dead_letters = || ("DEAD_LETTERS_DATABASE_URL", at.logins.dead_letters_console.clone());
    let desk = ports.desk_ops.map(|_| dead_letters());
    let is_owner = at.logins.outbox_console == at.order_database;
    let without_roles = is_owner.then(|| ("CONSOLE_WITHOUT_ROLES", "true".to_owned()));
    [outbox].into_iter().chain(desk).chain(without_roles).collect()
}

/// The dead-letter queue of the customer consumer.
const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

/// The path of `package`'s program in a folder of built programs.
pub(crate) fn program(bin_dir: &Path, package: &str) -> std::path::PathBuf {
    bin_dir.join(package)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    const OWNER: &str = "postgres://owner@h/db";

    fn commands_with(logins: Logins) -> anyhow::Result<Vec<(Name, Command)>> {
        commands_on(&ServicePorts::new(None, true)?, logins)
    }

    fn commands_on(ports: &ServicePorts, logins: Logins) -> anyhow::Result<Vec<(Name, Command)>> {
        let servers = ServerAddresses {
            order_database: OWNER.to_owned(),
            customer_database: OWNER.to_owned(),
            logins,
            rabbitmq: "amqp://h".to_owned(),
            rabbitmq_management: None,
        };
        Ok(commands(ports, &Addresses::new(ports, servers), Path::new("/stack/inboxes.toml")))
    }

    /// The roles' logins of the stack's own databases.
    fn roles() -> Logins {
        Logins {
            order_service: "order_service".to_owned(),
            outbox_relay: "outbox_relay".to_owned(),
            customer_api: "customer_api".to_owned(),
            customer_consumer: "customer_consumer".to_owned(),
            dead_letters_collector: "dead_letters_collector".to_owned(),
            outbox_console: "outbox_console".to_owned(),
            dead_letters_console: "dead_letters_console".to_owned(),
        }
    }

    fn console(commands: &[(Name, Command)]) -> anyhow::Result<&Command> {
        let console = commands.iter().find(|(name, _)| *name == Name::Console);
        Ok(&console.context("a command")?.1)
    }

    fn setting<'a>(command: &'a Command, wanted: &str) -> Option<&'a str> {
        let mut settings = command.environment.iter();
        settings.find_map(|(name, value)| (name == wanted).then_some(value.as_str()))
    }

    #[test]
    fn each_service_logs_in_as_its_own_role_and_migrates_nothing() -> anyhow::Result<()> {
        let commands = commands_with(roles())?;
        for (service, role) in [
            (Name::OrderService, "order_service"),
            (Name::OutboxRelay, "outbox_relay"),
            (Name::CustomerService, "customer_api"),
            (Name::CustomerConsumer, "customer_consumer"),
        ] {
            let (_, command) =
                commands.iter().find(|(name, _)| *name == service).context("a command")?;
            assert_eq!(setting(command, "DATABASE_URL"), Some(role));
            let migrates = setting(command, "MIGRATE_ON_START");
            assert_eq!(migrates, (service != Name::OutboxRelay).then_some("false"));
        }
        Ok(())
    }

    #[test]
    fn the_collector_runs_with_the_desk_only_and_as_its_own_role() -> anyhow::Result<()> {
        let logins = Logins {
            dead_letters_collector: "dead_letters_collector".to_owned(),
            ..Logins::of_owners(OWNER, OWNER)
        };
        let commands = commands_with(logins)?;
        let collector = commands.iter().find(|(name, _)| *name == Name::DeadLetters);
        let (_, collector) = collector.context("a command")?;
        let database = setting(collector, "DEAD_LETTERS_DATABASE_URL");
        assert_eq!(database, Some("dead_letters_collector"));
        assert_eq!(collector.arguments, ["dead-letters", "collect", "--follow"]);
        assert_eq!(ServicePorts::new(Some(4000), true)?.desk_ops, Some(4006));
        assert_eq!(ServicePorts::new(Some(4000), false)?.desk_ops, None);
        Ok(())
    }

    #[test]
    fn the_console_logs_in_as_its_roles_and_takes_one_of_a_person_with_each_command()
    -> anyhow::Result<()> {
        let commands = commands_with(roles())?;
        let console = console(&commands)?;
        assert_eq!(console.arguments, ["console"]);
        for (name, value) in [
            ("DATABASE_URL", "outbox_console"),
            ("DEAD_LETTERS_DATABASE_URL", "dead_letters_console"),
            ("RABBITMQ_URL", "amqp://h"),
            ("OUTBOX_INBOXES", "/stack/inboxes.toml"),
            ("CONSOLE_ADDR", "127.0.0.1:9010"),
            ("OPS_ADDR", "127.0.0.1:9011"),
        ] {
            assert_eq!(setting(console, name), Some(value));
        }
        assert_eq!(setting(console, "CONSOLE_WITHOUT_ROLES"), None);
        assert_eq!((console.port, console.ops.as_str()), (9010, "http://127.0.0.1:9011"));
        Ok(())
    }

    #[test]
    fn the_console_of_a_database_that_is_not_the_stacks_own_takes_no_roles() -> anyhow::Result<()> {
        let commands = commands_with(Logins::of_owners(OWNER, OWNER))?;
        assert_eq!(setting(console(&commands)?, "CONSOLE_WITHOUT_ROLES"), Some("true"));
        Ok(())
    }

    #[test]
    fn the_console_has_the_same_ports_with_the_desk_and_without() -> anyhow::Result<()> {
        for desk in [true, false] {
            let ports = ServicePorts::new(Some(4000), desk)?;
            let commands = commands_on(&ports, roles())?;
            let console = console(&commands)?;
            assert_eq!((console.port, console.ops.as_str()), (4007, "http://127.0.0.1:4008"));
            assert_eq!(setting(console, "DEAD_LETTERS_DATABASE_URL").is_some(), desk);
        }
        assert!(ServicePorts::new(Some(65528), true).is_err(), "there is no port 65536");
        Ok(())
    }

    #[test]
    fn whoever_owns_its_database_migrates_it_as_it_is_set() -> anyhow::Result<()> {
        for (_, command) in commands_with(Logins::of_owners(OWNER, OWNER))? {
            let desk = setting(&command, "DEAD_LETTERS_DATABASE_URL");
            assert_eq!(setting(&command, "DATABASE_URL").or(desk), Some(OWNER));
            assert_eq!(setting(&command, "MIGRATE_ON_START"), None);
        }
        Ok(())
    }
}
