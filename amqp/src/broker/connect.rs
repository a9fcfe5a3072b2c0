//! Connecting to the first broker that answers.

use std::time::Duration;

use anyhow::bail;
use tokio::time::timeout;

use super::address::Address;
use super::url::{BrokerUrl, IsAlive};

/// The limit for connecting, from the first packet to the broker's `open-ok`.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The same if there is another broker to try.
const CONNECT_LIMIT_OF_SEVERAL: Duration = Duration::from_secs(5);

impl BrokerUrl {
    /// Opens a connection with `open` to the first broker that answers, beginning with the one in
    /// use, or with the next one if the connection to that was lost. `lives` returns a check of
    /// whether a connection is alive.
    ///
    /// # Errors
    /// When every broker is unreachable, refuses, or does not answer within 10 s (5 s each if there
    /// are several, unless `connection_timeout` says otherwise), with each one's reason, without
    /// secrets.
    pub async fn open<C, Opened: Future<Output = anyhow::Result<C>>>(
        &self,
        open: impl Fn(Address) -> Opened,
        lives: impl Fn(&C) -> IsAlive,
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
