//! The broker: whether it can be reached, and what `exchange` and `limits` find there.

use std::time::Duration;

use amqp::BrokerUrl;
use amqp::Connection;
use anyhow::anyhow;
use tokio::time::timeout;

use super::finding::{Check, Finding};
use super::{exchange, limits};
use crate::broker::FRAME_MAX;
use crate::config::RelayArgs;

/// How long the broker may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn check(url: &BrokerUrl, relay: &RelayArgs) -> Vec<Check> {
    let connection = match open(url).await {
        Ok(connection) => connection,
        Err(error) => {
            let finding = format!("the broker can't be reached: {error:#}");
            let mend = limits::of_connections(url, &finding).unwrap_or_else(|| {
                "see that the broker runs, that RABBITMQ_URL is right, and that its user may use its virtual host: \
                 rabbitmqctl list_permissions -p VHOST"
                    .to_owned()
            });
            return vec![
                Check::wrong("broker", Finding::new(finding, mend)),
                Check::skipped(exchange::CHECK),
                Check::skipped(limits::CHECK),
            ];
        }
    };
    let exchange = in_time(exchange::CHECK, exchange::check(url, &connection, relay)).await;
    // The last one: a broker ends the connection over a channel that is one too many.
    let limits = in_time(limits::CHECK, limits::check(url, &connection, relay)).await;
    // Whether the broker hears of the end changes nothing.
    timeout(LIMIT, connection.close()).await.ok();
    vec![Check::well("broker", "it can be reached".to_owned()), exchange, limits]
}

pub(super) async fn open(url: &BrokerUrl) -> anyhow::Result<Connection> {
    Connection::open(url, "outbox command check", FRAME_MAX).await
}

async fn in_time(name: &'static str, check: impl Future<Output = Check>) -> Check {
    timeout(LIMIT, check).await.unwrap_or_else(|_| {
        Check::failed(name, &anyhow!("the broker does not answer within {LIMIT:?}"))
    })
}
