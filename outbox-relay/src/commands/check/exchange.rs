//! Whether the exchanges are as the relay wants them, and the relay may write to them. The check
//! publishes a message and rolls it back, so that nobody receives it.

use amq_protocol::types::ShortString;
use amqp::BrokerUrl;
use amqp::{Channel, Connection, Failure};

use super::report::{Check, Finding, shell_quote};
use crate::broker::topology::{Access, NOT_FOUND, Topology, try_publishing};
use crate::config::{Name, RelayArgs};

pub(super) const CHECK: &str = "exchange";

pub(super) async fn check(url: &BrokerUrl, connection: &Connection, relay: &RelayArgs) -> Check {
    match all(url, connection, relay).await {
        Ok((findings, note)) => Check::from_findings(CHECK, findings, note),
        Err(failure) => Check::from_error(CHECK, &failure.into()),
    }
}

async fn all(
    url: &BrokerUrl,
    connection: &Connection,
    relay: &RelayArgs,
) -> Result<(Vec<Finding>, String), Failure> {
    let (mut findings, mut note) = own(url, connection, relay).await?;
    let further = relay.further_exchanges();
    for exchange in further {
        findings.extend(problem(url, connection, relay, exchange).await?);
    }
    if !further.is_empty() {
        let names: Vec<&str> = further.iter().map(Name::as_str).collect();
        note = format!("{note}; it may also write to {}", names.join(", "));
    }
    Ok((findings, note))
}

/// The relay's own exchange.
async fn own(
    url: &BrokerUrl,
    connection: &Connection,
    relay: &RelayArgs,
) -> Result<(Vec<Finding>, String), Failure> {
    let name = relay.relay_exchange.as_str();
    let topology = Topology::new(relay);
    let mut findings = Vec::new();
    let exists = match try_publishing(connection, &topology.exchange).await? {
        Access::Allowed => true,
        Access::Missing(_) => false,
        Access::Forbidden(reason) => {
            findings.push(Finding::new(
                format!("the relay may not write to {name}: {reason}"),
                permissions(url, relay),
            ));
            exchange_exists(connection, relay.relay_exchange.short()).await?
        }
    };
    // Declaring an exchange that exists changes nothing, and fails if it differs.
    if exists && relay.relay_declare {
        if let Err(error) = topology.ensure(connection).await {
            let fix = "set RELAY_DECLARE=false to use it as it is".to_owned();
            findings.push(Finding::new(format!("{error:#}"), fix));
        }
    } else if !exists && !relay.relay_declare {
        findings.push(Finding::new(
            format!(
                "{name} does not exist, and RELAY_DECLARE=false keeps the relay from declaring it"
            ),
            declaration(name),
        ));
    }
    let note = if exists {
        format!("{name} exists, and the relay may write to it")
    } else {
        format!("{name} does not exist yet: the relay declares it when it starts")
    };
    Ok((findings, note))
}

/// What is wrong with one of `RELAY_EXCHANGES`.
async fn problem(
    url: &BrokerUrl,
    connection: &Connection,
    relay: &RelayArgs,
    exchange: &Name,
) -> Result<Option<Finding>, Failure> {
    let name = exchange.as_str();
    Ok(match try_publishing(connection, &exchange.short()).await? {
        Access::Allowed => None,
        Access::Missing(_) => Some(Finding::new(
            format!(
                "{name} of RELAY_EXCHANGES does not exist, and the relay declares none of those"
            ),
            declaration(name),
        )),
        Access::Forbidden(reason) => Some(Finding::new(
            format!("the relay may not write to {name} of RELAY_EXCHANGES: {reason}"),
            permissions(url, relay),
        )),
    })
}

/// Returns the command that declares a topic exchange.
fn declaration(name: &str) -> String {
    // rabbitmqadmin of RabbitMQ 4 and the one before it each know one of the two forms.
    format!(
        "rabbitmqadmin declare exchange --name {name} --type topic --durable true   \
         # rabbitmqadmin before version 2: declare exchange name={name} type=topic durable=true"
    )
}

/// Returns false if the broker says that the exchange does not exist. It does not say so to a user
/// without permission.
async fn exchange_exists(connection: &Connection, name: ShortString) -> Result<bool, Failure> {
    let channel = Channel::open(connection).await?;
    match channel.declare_exchange(name, "topic", true).await {
        Ok(()) => channel.close().await.map(|()| true),
        Err(Failure::Refused(refusal)) => Ok(refusal.code != NOT_FOUND),
        Err(failure) => Err(failure),
    }
}

/// Returns the command that lets the user declare the relay's exchange, and write to that and to
/// those of `RELAY_EXCHANGES`.
fn permissions(url: &BrokerUrl, relay: &RelayArgs) -> String {
    let (vhost, user) = (shell_quote(url.virtual_host()), shell_quote(url.user()));
    let own = escape_regex(relay.relay_exchange.as_str());
    let further = relay.further_exchanges().iter().map(|name| escape_regex(name.as_str()));
    let all = further.fold(own.clone(), |all, name| format!("{all}|{name}"));
    let all = if all == own { all } else { format!("({all})") };
    let (configure, write) = (shell_quote(&format!("^{own}$")), shell_quote(&format!("^{all}$")));
    format!(
        "rabbitmqctl list_user_permissions {user}   # what it has, all of which the next command replaces\n\
         rabbitmqctl set_permissions -p {vhost} {user} {configure} {write} '^$'"
    )
}

/// Returns a regular expression that matches only `name`.
fn escape_regex(name: &str) -> String {
    let escaped = |letter: char| match letter {
        letter if letter.is_alphanumeric() || matches!(letter, '_' | '-') => letter.to_string(),
        other => format!("\\{other}"),
    };
    name.chars().map(escaped).collect()
}
