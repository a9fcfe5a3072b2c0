//! One connection to RabbitMQ.

use std::time::Duration;

use anyhow::bail;
use lapin::runtime::default_runtime;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio::time::timeout;

use super::address::Address;
use super::url::{BrokerUrl, Lives};

/// How long connecting may take, from the first packet to the broker's `open-ok`.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The same where there is another broker to turn to.
const CONNECT_LIMIT_OF_SEVERAL: Duration = Duration::from_secs(5);

/// Connects to `url` under `name`, which the management UI shows.
///
/// # Errors
/// As [`BrokerUrl::open`].
pub async fn connect(url: &BrokerUrl, name: &str) -> anyhow::Result<Connection> {
    url.open(
        |address, limit| connect_to(address, name, limit),
        |connection| {
            let status = connection.status().clone();
            Box::new(move || status.connected())
        },
    )
    .await
}

impl BrokerUrl {
    /// Opens a connection: of several brokers to the first one that answers, beginning with the one in use, or with the next one when
    /// the connection to that was lost. `open` is told how long it may take, and `lives` gives what tells whether a connection lives.
    ///
    /// # Errors
    /// When no broker can be reached, or all refuse or don't answer within 10 s (5 s each when there are several, unless
    /// `connection_timeout` says otherwise); says why of each, without secrets.
    pub async fn open<C, Opened: Future<Output = anyhow::Result<C>>>(
        &self,
        open: impl Fn(Address, Duration) -> Opened,
        lives: impl Fn(&C) -> Lives,
    ) -> anyhow::Result<C> {
        let alone = self.addresses.len() == 1;
        let default = if alone { CONNECT_LIMIT } else { CONNECT_LIMIT_OF_SEVERAL };
        let mut failures = Vec::new();
        for place in self.order() {
            let address = &self.addresses[place];
            let limit = address.connect_limit().unwrap_or(default);
            let opened = timeout(limit, open(address.clone(), limit)).await;
            match opened.unwrap_or_else(|_| bail!("the broker does not answer within {limit:?}")) {
                Ok(connection) => {
                    self.works(place, lives(&connection));
                    return Ok(connection);
                }
                Err(error) => {
                    self.failed(place);
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

async fn connect_to(address: Address, name: &str, limit: Duration) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let (host, port) = (address.uri.authority.host.clone(), address.uri.authority.port);
    let tls = match &address.tls {
        Some(tls) => Some((tls.client_config()?.into(), tls.server_name(&host))),
        None => None,
    };
    let open = Connection::connector(
        address.uri.clone(),
        default_runtime()?,
        async move |_, runtime| {
            let opened = timeout(limit, async {
                let to = runtime.to_socket_addrs((host.clone(), port));
                let stream = AsyncTcpStream::connect(&runtime, to).await?;
                match &tls {
                    Some((connector, name)) => stream.into_rustls(connector, name).await,
                    None => Ok(stream),
                }
            });
            // The driver's thread ends with this, and not when the system gives up.
            Ok(opened.await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?)
        },
        properties,
    );
    open.await.map_err(|error| anyhow::anyhow!(reason(&error)))
}

/// An error of the driver in words that may be logged.
#[must_use]
pub fn reason(error: &lapin::Error) -> String {
    error.to_string()
}
