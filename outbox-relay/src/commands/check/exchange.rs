//! The exchange: there as the relay wants it, and written to. A message that is rolled back tells, which nobody receives.

use amq_protocol::types::ShortString;
use service_kit::amqp::{Channel, Connection, Failure};
use service_kit::broker::BrokerUrl;

use super::finding::{Check, Finding, shell};
use crate::broker::topology::{Access, NOT_FOUND, Topology};
use crate::config::RelayArgs;

pub(super) const CHECK: &str = "exchange";

pub(super) async fn check(url: &BrokerUrl, connection: &Connection, relay: &RelayArgs) -> Check {
    match findings(url, connection, relay).await {
        Ok((findings, note)) => Check::of(CHECK, findings, note),
        Err(failure) => Check::failed(CHECK, &failure.into()),
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
    let is_there = match topology.try_publishing(connection).await? {
        Access::Allowed => true,
        Access::Missing(_) => false,
        Access::Forbidden(said) => {
            findings.push(Finding::new(
                format!("the relay may not write to {name}: {said}"),
                permissions(url, name),
            ));
            is_there(connection, relay.relay_exchange.short()).await?
        }
    };
    // To declare what is there changes nothing, and says whether it is as the relay would make it.
    if is_there && relay.relay_declare {
        if let Err(error) = topology.ensure(connection).await {
            let mend = "set RELAY_DECLARE=false to use it as it is".to_owned();
            findings.push(Finding::new(format!("{error:#}"), mend));
        }
    } else if !is_there && !relay.relay_declare {
        findings.push(Finding::new(
            format!("{name} does not exist, and the relay is not to declare it"),
            // The program of RabbitMQ 4 and the one before it each know one way of saying it.
            format!(
                "rabbitmqadmin declare exchange --name {name} --type topic --durable true   \
                 # rabbitmqadmin before version 2: declare exchange name={name} type=topic durable=true"
            ),
        ));
    }
    let note = if is_there {
        format!("{name} is there, and the relay may write to it")
    } else {
        format!("{name} is not there yet: the relay declares it when it starts")
    };
    Ok((findings, note))
}

/// Whether there is such an exchange. Who may not ask for it is not told that there is none.
async fn is_there(connection: &Connection, name: ShortString) -> Result<bool, Failure> {
    let channel = Channel::open(connection).await?;
    match channel.declare_exchange(name, "topic", true).await {
        Ok(()) => channel.close().await.map(|()| true),
        Err(Failure::Refused(refusal)) => Ok(refusal.code != NOT_FOUND),
        Err(failure) => Err(failure),
    }
}

/// All that a relay needs: to declare its exchange and to write to it.
fn permissions(url: &BrokerUrl, exchange: &str) -> String {
    let (vhost, user) = (shell(url.virtual_host()), shell(url.user()));
    let pattern = shell(&format!("^{}$", literally(exchange)));
    format!(
        "rabbitmqctl list_user_permissions {user}   # what it has, all of which the next command replaces\n\
         rabbitmqctl set_permissions -p {vhost} {user} {pattern} {pattern} '^$'"
    )
}

/// A regular expression that matches `name` alone.
fn literally(name: &str) -> String {
    let escaped = |letter: char| match letter {
        letter if letter.is_alphanumeric() || matches!(letter, '_' | '-') => letter.to_string(),
        other => format!("\\{other}"),
    };
    name.chars().map(escaped).collect()
}
