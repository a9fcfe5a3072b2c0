//! One connection to RabbitMQ.

use std::time::Duration;

use anyhow::bail;
use tokio::time::timeout;

use super::address::Address;
use super::url::{BrokerUrl, Lives};

/// How long connecting may take, from the first packet to the broker's `open-ok`.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The same where there is another broker to turn to.
const CONNECT_LIMIT_OF_SEVERAL: Duration = Duration::from_secs(5);

impl BrokerUrl {
    /// Opens a connection: of several brokers to the first one that answers, beginning with the one in use, or with the next one when
    /// the connection to that was lost. `lives` gives what tells whether a connection lives.
    ///
    /// # Errors
    /// When no broker can be reached, or all refuse or don't answer within 10 s (5 s each when there are several, unless
    /// `connection_timeout` says otherwise); says why of each, without secrets.
    pub async fn open<C, Opened: Future<Output = anyhow::Result<C>>>(
        &self,
        open: impl Fn(Address) -> Opened,
        lives: impl Fn(&C) -> Lives,
    ) -> anyhow::Result<C> {
        let alone = self.addresses.len() == 1;
        let default = if alone { CONNECT_LIMIT } else { CONNECT_LIMIT_OF_SEVERAL };
        let mut failures = Vec::new();
        for broker in self.order() {
            let address = &self.addresses[broker];
            let limit = address.connect_limit().unwrap_or(default);
            let opened = timeout(limit, open(address.clone())).await;
            match opened.unwrap_or_else(|_| bail!("the broker does not answer within {limit:?}")) {
                Ok(connection) => {
                    self.works(broker, lives(&connection));
                    return Ok(connection);
                }
                Err(error) => {
                    self.failed(broker);
                    failures.push(if alone {
                        format!("{error:#}")
                    } else {
                        format!("{address}: {error:#}")
                    });
                }
            }
        }
        bail!(failures.join("; "))
    }
}
