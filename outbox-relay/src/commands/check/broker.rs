//! The broker and the exchange.

use std::time::Duration;

use amq_protocol::types::ShortString;
use anyhow::anyhow;
use service_kit::broker::BrokerUrl;
use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::broker::FRAME_MAX;
use crate::config::RelayArgs;
use crate::topology::{NOT_FOUND, Topology};
use service_kit::amqp::{Channel, Connection, Failure};

/// How long the broker may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn check(url: &BrokerUrl, relay: &RelayArgs) -> Vec<Check> {
    let connection = match Connection::open(url, "outbox command check", FRAME_MAX).await {
        Ok(connection) => connection,
        Err(error) => {
            let mend = "see that the broker runs, that RABBITMQ_URL is right, and that its user may use its virtual host: \
                        rabbitmqctl list_permissions -p VHOST";
            let finding = format!("the broker can't be reached: {error:#}");
            return vec![
                Check::wrong("broker", Finding::new(finding, mend.to_owned())),
                Check::skipped("exchange"),
            ];
        }
    };
    let exchange = timeout(LIMIT, exchange(&connection, relay)).await;
    let exchange = exchange.unwrap_or_else(|_| {
        Check::failed("exchange", &anyhow!("the broker does not answer within {LIMIT:?}"))
    });
    // Whether the broker hears of the end changes nothing.
    timeout(LIMIT, connection.close()).await.ok();
    vec![Check::well("broker", "it can be reached".to_owned()), exchange]
}

async fn exchange(connection: &Connection, relay: &RelayArgs) -> Check {
    const CHECK: &str = "exchange";
    let name = relay.relay_exchange.as_str();
    match (is_there(connection, relay.relay_exchange.short()).await, relay.relay_declare) {
        (Ok(true), false) => Check::well(CHECK, format!("{name} is there")),
        // To declare what is there changes nothing, and says whether it is as the relay would make it.
        (Ok(true), true) => match Topology::new(relay).ensure(connection).await {
            Ok(()) => Check::well(CHECK, format!("{name} is there")),
            Err(error) => Check::wrong(
                CHECK,
                Finding::new(
                    format!("{error:#}"),
                    "set RELAY_DECLARE=false to use it as it is".to_owned(),
                ),
            ),
        },
        (Ok(false), true) => Check::well(
            CHECK,
            format!("{name} is not there yet: the relay declares it when it starts"),
        ),
        (Ok(false), false) => Check::wrong(
            CHECK,
            Finding::new(
                format!("{name} does not exist, and the relay is not to declare it"),
                // The program of RabbitMQ 4 and the one before it each know one way of saying it.
                format!(
                    "rabbitmqadmin declare exchange --name {name} --type topic --durable true   \
                     # rabbitmqadmin before version 2: declare exchange name={name} type=topic durable=true"
                ),
            ),
        ),
        (Err(error), _) => Check::failed(CHECK, &error),
    }
}

async fn is_there(connection: &Connection, name: ShortString) -> anyhow::Result<bool> {
    let channel = Channel::open(connection).await?;
    match channel.declare_exchange(name, "topic", true).await {
        Ok(()) => Ok(true),
        Err(Failure::Refused(refusal)) if refusal.code == NOT_FOUND => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}
