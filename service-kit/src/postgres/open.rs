//! Connects to the first host of `DATABASE_URL` that answers as it must
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS>).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::{Host as Name, LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::reason;
use super::host::Host;
use super::url::DatabaseUrl;
use super::writable::{ReadOnly, find_read_only};
use crate::failover::HostOrder;

/// A connection that still has to be driven.
pub(super) type Opened =
    (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whatever `target_session_attrs` demands.
    AsTheUrlSays,
    /// Writing, whatever the URL says: a server that takes no writes is passed over, and is told why.
    Writing,
}

/// Why one host was passed over.
#[derive(Debug)]
pub(super) enum Failure {
    ReadOnly(ReadOnly),
    Refused(tokio_postgres::Error),
    Unknown(io::Error),
    Silent(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly(read_only) => read_only.fmt(f),
            Self::Refused(error) => f.write_str(&reason(error)),
            // As the driver says it.
            Self::Unknown(error) => write!(f, "error connecting to server: {error}"),
            Self::Silent(limit) => write!(f, "it does not answer within {limit:?}"),
        }
    }
}

/// No host answers as it must. Says why of each, without secrets.
#[derive(Debug)]
pub(super) struct Unreached {
    hosts: usize,
    tried: Vec<(Host, Failure)>,
}

impl Unreached {
    /// What the driver said last.
    pub(super) fn into_error(self) -> Option<tokio_postgres::Error> {
        self.tried.into_iter().rev().find_map(|(_, failure)| match failure {
            Failure::Refused(error) => Some(error),
            Failure::ReadOnly(_) | Failure::Unknown(_) | Failure::Silent(_) => None,
        })
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, failure)) in self.tried.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            if self.hosts > 1 {
                write!(f, "{host}: ")?;
            }
            failure.fmt(f)?;
        }
        Ok(())
    }
}

/// Connects with `config` to the first host of `url` that answers as it must, each within the limit for connecting.
pub(super) async fn open(
    url: &DatabaseUrl,
    config: &Config,
    tls: &MakeRustlsConnect,
    purpose: Purpose,
) -> Result<Opened, Unreached> {
    url.tell_ignored();
    let count = url.hosts.len();
    let mut unreached = Unreached { hosts: count, tried: Vec::new() };
    for index in order(&url.host_order, config, count, purpose) {
        let host = &url.hosts[index];
        match try_host(host, config, tls, purpose, url.connect_limit()).await {
            Ok(opened) => {
                if url.host_order.connected(index) && count > 1 {
                    tracing::info!(%host, "connected to {host}, one of {count} hosts");
                }
                return Ok(opened);
            }
            Err(failure) => {
                url.host_order.failed(index, count);
                unreached.tried.push((host.clone(), failure));
            }
        }
    }
    Err(unreached)
}

/// Where only one host can be the right one, it is tried first once it is known, unless the URL asks for chance; elsewhere the URL's
/// order is the user's wish.
fn order(host_order: &HostOrder, config: &Config, count: usize, purpose: Purpose) -> Vec<usize> {
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        let mut order: Vec<usize> = (0..count).collect();
        shuffle(&mut order);
        return order;
    }
    let demands_writes = config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
    if demands_writes || purpose == Purpose::Writing {
        return host_order.candidates(count).collect();
    }
    (0..count).collect()
}

fn shuffle<T>(items: &mut [T]) {
    use rand::seq::SliceRandom as _;
    items.shuffle(&mut rand::rng());
}

async fn try_host(
    host: &Host,
    config: &Config,
    tls: &MakeRustlsConnect,
    purpose: Purpose,
    limit: Duration,
) -> Result<Opened, Failure> {
    let mut last = Failure::Unknown(io::Error::other("the name has no address"));
    for address in addresses(host, config, limit).await? {
        let mut config = config.clone();
        match &host.name {
            Some(Name::Tcp(name)) => {
                config.host(name);
            }
            Some(Name::Unix(path)) => {
                config.host_path(path);
            }
            None => {}
        }
        if let Some(address) = address {
            config.hostaddr(address);
        }
        config.port(host.port);
        // On the heap: it is large, and part of all that connects.
        last = match timeout(limit, Box::pin(enter(config, tls, purpose))).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Silent(limit),
        };
    }
    Err(last)
}

async fn enter(
    mut config: Config,
    tls: &MakeRustlsConnect,
    purpose: Purpose,
) -> Result<Opened, Failure> {
    if purpose == Purpose::AsTheUrlSays {
        return config.connect(tls.clone()).await.map_err(Failure::Refused);
    }
    // The driver would ask as well, and not know why a server takes no writes.
    config.target_session_attrs(TargetSessionAttrs::Any);
    let (client, mut connection) = config.connect(tls.clone()).await.map_err(Failure::Refused)?;
    let asked = tokio::select! {
        asked = find_read_only(&client) => asked,
        // It ends while the client is there only when the connection is gone, of which the question tells next.
        ended = &mut connection => match ended {
            Err(error) => Err(error),
            Ok(()) => find_read_only(&client).await,
        },
    };
    match asked.map_err(Failure::Refused)? {
        Some(read_only) => Err(Failure::ReadOnly(read_only)),
        None => Ok((client, connection)),
    }
}

/// What the host's name stands for, so that each address has the whole limit.
pub(super) async fn addresses(
    host: &Host,
    config: &Config,
    limit: Duration,
) -> Result<Vec<Option<IpAddr>>, Failure> {
    let (Some(Name::Tcp(name)), None) = (&host.name, host.address) else {
        return Ok(vec![host.address]);
    };
    let found = timeout(limit, tokio::net::lookup_host((name.as_str(), host.port))).await;
    let found = found.map_err(|_| Failure::Silent(limit))?.map_err(Failure::Unknown)?;
    let mut found: Vec<_> = found.map(|address| Some(address.ip())).collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        shuffle(&mut found);
    }
    Ok(found)
}
