//! Whether the exchange is as the relay wants it, and the relay may write to it. The check
//! publishes a message and rolls it back, so that nobody receives it.

use amq_protocol::types::ShortString;
use amqp::BrokerUrl;
use amqp::{Channel, Connection, Failure};

use super::report::{Check, Finding, shell_quote};
use crate::broker::topology::{Access, NOT_FOUND, Topology};
use crate::config::RelayArgs;

pub(super) const CHECK: &str = "exchange";

pub(super) async fn check(url: &BrokerUrl, connection: &Connection, relay: &RelayArgs) -> Check {
    match findings(url, connection, relay).await {
        Ok((findings, note)) => Check::from_findings(CHECK, findings, note),
        Err(failure) => Check::from_error(CHECK, &failure.into()),
    }
}

async fn findings(
    url: &BrokerUrl,
    connection: &Connection,
    relay: &RelayArgs,
) -> Result<(Vec<Finding>, String), Failure> {
    let name = relay.relay_exchange.as_str();
    let topology = Topology::new(relay);
    let mut findings = Vec::new();
    let exists = match topology.try_publishing(connection).await? {
        Access::Allowed => true,
        Access::Missing(_) => false,
        Access::Forbidden(reason) => {
            findings.push(Finding::new(
                format!("the relay may not write to {name}: {reason}"),
                permissions(url, name),
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
            format!("{name} does not exist, and RELAY_DECLARE=false keeps the relay from declaring it"),
            // rabbitmqadmin of RabbitMQ 4 and the one before it each know one of the two forms.
            format!(
                "rabbitmqadmin declare exchange --name {name} --type topic --durable true   \
                 # rabbitmqadmin before version 2: declare exchange name={name} type=topic durable=true"
            ),
        ));
    }
    let note = if exists {
        format!("{name} exists, and the relay may write to it")
    } else {
        format!("{name} does not exist yet: the relay declares it when it starts")
    };
    Ok((findings, note))
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

/// Returns the command that lets the user declare the exchange and write to it.
fn permissions(url: &BrokerUrl, exchange: &str) -> String {
    let (vhost, user) = (shell_quote(url.virtual_host()), shell_quote(url.user()));
    let pattern = shell_quote(&format!("^{}$", escape_regex(exchange)));
    format!(
        "rabbitmqctl list_user_permissions {user}   # what it has, all of which the next command replaces\n\
         rabbitmqctl set_permissions -p {vhost} {user} {pattern} {pattern} '^$'"
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
