//! Connects to the first usable host of `DATABASE_URL`
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

use super::error::reason;
use super::host::Host;
use super::url::DatabaseUrl;
use super::writable::{ReadOnly, read_only_reason};
use crate::failover::HostOrder;

/// A connection that is not driven yet.
pub(super) type RawConnection =
    (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

/// Which servers may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Those that `target_session_attrs` allows.
    FromUrl,
    /// Those that accept writes, whatever the URL says. The error gives the reason of a read-only
    /// server.
    Writable,
}

/// Why a host was skipped.
#[derive(Debug)]
pub(super) enum HostFailure {
    ReadOnly(ReadOnly),
    Refused(tokio_postgres::Error),
    Lookup(io::Error),
    TimedOut(Duration),
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly(read_only) => read_only.fmt(f),
            Self::Refused(error) => f.write_str(&reason(error)),
            // The driver's wording.
            Self::Lookup(error) => write!(f, "error connecting to server: {error}"),
            Self::TimedOut(limit) => write!(f, "it does not answer within {limit:?}"),
        }
    }
}

/// No host is usable. Gives the reason of each, without secrets.
#[derive(Debug)]
pub(super) struct ConnectError {
    hosts: usize,
    pub(super) attempts: Vec<(Host, HostFailure)>,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, failure)) in self.attempts.iter().enumerate() {
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

/// Connects with `config` to the first usable host of `url`, with a time limit for each.
pub(super) async fn connect_first(
    url: &DatabaseUrl,
    config: &Config,
    tls: &MakeRustlsConnect,
    target: Target,
) -> Result<RawConnection, ConnectError> {
    url.warn_ignored();
    let count = url.hosts.len();
    let mut error = ConnectError { hosts: count, attempts: Vec::new() };
    for index in host_sequence(&url.host_order, config, count, target) {
        let host = &url.hosts[index];
        match try_host(host, config, tls, target, url.connect_timeout()).await {
            Ok(opened) => {
                if url.host_order.connected(index) && count > 1 {
                    tracing::info!(%host, "connected to {host}, one of {count} hosts");
                }
                return Ok(opened);
            }
            Err(failure) => {
                url.host_order.failed(index, count);
                error.attempts.push((host.clone(), failure));
            }
        }
    }
    Err(error)
}

/// Returns the order in which to try the hosts. If only one of them can be the right one, starts
/// with the last known; `load_balance_hosts=random` shuffles; otherwise it is the URL's order.
fn host_sequence(
    host_order: &HostOrder,
    config: &Config,
    count: usize,
    target: Target,
) -> Vec<usize> {
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        let mut sequence: Vec<usize> = (0..count).collect();
        shuffle(&mut sequence);
        return sequence;
    }
    let demands_writes = config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
    if demands_writes || target == Target::Writable {
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
    target: Target,
    limit: Duration,
) -> Result<RawConnection, HostFailure> {
    let mut last = HostFailure::Lookup(io::Error::other("the name has no address"));
    for address in resolve(host, config, limit).await? {
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
        // Boxed: the future is large, and part of every future that connects.
        last = match timeout(limit, Box::pin(establish(config, tls, target))).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failure)) => failure,
            Err(_) => HostFailure::TimedOut(limit),
        };
    }
    Err(last)
}

async fn establish(
    mut config: Config,
    tls: &MakeRustlsConnect,
    target: Target,
) -> Result<RawConnection, HostFailure> {
    if target == Target::FromUrl {
        return config.connect(tls.clone()).await.map_err(HostFailure::Refused);
    }
    // The driver would check as well, but not say why the server is read-only.
    config.target_session_attrs(TargetSessionAttrs::Any);
    let (client, mut connection) =
        config.connect(tls.clone()).await.map_err(HostFailure::Refused)?;
    let read_only = tokio::select! {
        found = read_only_reason(&client) => found,
        // The connection ends before the client is dropped only if it is lost, which the query then
        // reports.
        ended = &mut connection => match ended {
            Err(error) => Err(error),
            Ok(()) => read_only_reason(&client).await,
        },
    };
    match read_only.map_err(HostFailure::Refused)? {
        Some(read_only) => Err(HostFailure::ReadOnly(read_only)),
        None => Ok((client, connection)),
    }
}

/// Resolves a host's name, so that each address gets the whole time limit.
pub(super) async fn resolve(
    host: &Host,
    config: &Config,
    limit: Duration,
) -> Result<Vec<Option<IpAddr>>, HostFailure> {
    let (Some(Name::Tcp(name)), None) = (&host.name, host.address) else {
        return Ok(vec![host.address]);
    };
    let found = timeout(limit, tokio::net::lookup_host((name.as_str(), host.port))).await;
    let found = found.map_err(|_| HostFailure::TimedOut(limit))?.map_err(HostFailure::Lookup)?;
    let mut found: Vec<_> = found.map(|address| Some(address.ip())).collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        shuffle(&mut found);
    }
    Ok(found)
}
