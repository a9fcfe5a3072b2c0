//! The broker and the exchange.

use std::time::Duration;

use anyhow::anyhow;
use lapin::options::ExchangeDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ErrorKind, ExchangeKind};
use service_kit::broker::{BrokerUrl, connect, reason};
use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::config::RelayArgs;
use crate::topology::Topology;

/// How long the broker may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn check(url: &BrokerUrl, relay: &RelayArgs) -> Vec<Check> {
    let connection = match connect(url, "outbox command check").await {
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
    timeout(LIMIT, connection.close(200, "OK".into())).await.ok();
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
                format!("rabbitmqadmin declare exchange name={name} type=topic durable=true"),
            ),
        ),
        (Err(error), _) => Check::failed(CHECK, &error),
    }
}

async fn is_there(connection: &Connection, name: ShortString) -> anyhow::Result<bool> {
    let failed = |error: lapin::Error| anyhow!(reason(&error));
    let channel = connection.create_channel().await.map_err(failed)?;
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let looked =
        channel.exchange_declare(name, ExchangeKind::Topic, passive, FieldTable::default()).await;
    match looked {
        Ok(()) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return false;
    };
    matches!(refusal.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}
