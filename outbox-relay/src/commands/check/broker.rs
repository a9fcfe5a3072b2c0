//! Whether the broker can be reached, and what `exchange` and `limits` find there.

use std::time::Duration;

use amqp::BrokerUrl;
use anyhow::anyhow;
use tokio::time::timeout;

use super::report::{Check, Finding};
use super::{exchange, limits};
use crate::config::RelayArgs;

/// How long the broker may take for each check.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn check(url: &BrokerUrl, relay: &RelayArgs) -> Vec<Check> {
    let connection = match limits::open_connection(url).await {
        Ok(connection) => connection,
        Err(error) => {
            let finding = format!("the broker can't be reached: {error:#}");
            let fix = limits::connection_limit_fix(url, &finding).unwrap_or_else(|| {
                "check that the broker runs, that RABBITMQ_URL is right, and that its user may use its virtual host: \
                 rabbitmqctl list_permissions -p VHOST"
                    .to_owned()
            });
            return vec![
                Check::failed("broker", Finding::new(finding, fix)),
                Check::skipped(exchange::CHECK),
                Check::skipped(limits::CHECK),
            ];
        }
    };
    let exchange = with_timeout(exchange::CHECK, exchange::check(url, &connection, relay)).await;
    // Last, as a broker may close the connection over one channel too many.
    let limits = with_timeout(limits::CHECK, limits::check(url, &connection, relay)).await;
    // A failed close does not change the result.
    timeout(TIMEOUT, connection.close()).await.ok();
    vec![Check::passed("broker", "the broker can be reached".to_owned()), exchange, limits]
}

async fn with_timeout(name: &'static str, check: impl Future<Output = Check>) -> Check {
    timeout(TIMEOUT, check).await.unwrap_or_else(|_| {
        Check::from_error(name, &anyhow!("the broker does not answer within {TIMEOUT:?}"))
    })
}
