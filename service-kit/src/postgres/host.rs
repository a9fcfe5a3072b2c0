//! The hosts of `DATABASE_URL`.

use std::fmt;
use std::net::IpAddr;

use tokio_postgres::Config;
use tokio_postgres::config::Host as Name;

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// The name for TLS, and for resolution unless there is an address.
    pub(super) name: Option<Name>,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, port } = self;
        match (name, address) {
            (Some(Name::Unix(path)), _) => write!(f, "{}:{port}", path.display()),
            (Some(Name::Tcp(name)), _) if name.contains(':') => write!(f, "[{name}]:{port}"),
            (Some(Name::Tcp(name)), _) => write!(f, "{name}:{port}"),
            (None, Some(address)) => std::net::SocketAddr::new(*address, *port).fmt(f),
            (None, None) => write!(f, ":{port}"),
        }
    }
}

/// Returns the part of the URL before the query, without the hosts. Splits it as the driver does.
pub(super) fn without_hosts(base: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let (login, rest) = rest.split_once('@').map_or(("", rest), |(login, rest)| (login, rest));
    let name = rest.find('/').map_or("", |index| &rest[index..]);
    let at = if login.is_empty() { "" } else { "@" };
    Some(format!("{scheme}://{login}{at}{name}"))
}

/// Returns each host with its port; the driver has them in separate lists.
pub(super) fn hosts(config: &Config) -> Result<Vec<Host>, String> {
    let names: Vec<Name> = config.get_hosts().iter().flat_map(split).collect();
    let (addresses, ports) = (config.get_hostaddrs(), config.get_ports());
    let count = names.len().max(addresses.len());
    let unnamed = names.iter().any(|name| matches!(name, Name::Tcp(name) if name.is_empty()));
    if count == 0 || unnamed {
        return Err("it names no host".to_owned());
    }
    let fits = |list: usize| list <= 1 || list == count;
    let both = names.is_empty() || addresses.is_empty() || names.len() == addresses.len();
    if !both || !fits(ports.len()) {
        return Err("host, hostaddr and port must be lists of the same length".to_owned());
    }
    let host = |index| Host {
        name: names.get(index).cloned(),
        address: addresses.get(index).copied(),
        port: ports.get(index).or(ports.first()).copied().unwrap_or(5432),
    };
    Ok((0..count).map(host).collect())
}

/// Splits a list in the parameter `host`, which the driver takes for one name.
fn split(name: &Name) -> Vec<Name> {
    match name {
        Name::Tcp(names) => names.split(',').map(|name| Name::Tcp(name.to_owned())).collect(),
        Name::Unix(_) => vec![name.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Vec<String>, String> {
        let config: Config = url.parse().expect("a URL that the driver reads");
        Ok(hosts(&config)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_host_has_its_port() {
        for (url, expected) in [
            ("postgres://u@a/d", &["a:5432"][..]),
            ("postgres://u@a:1,b,c:3/d", &["a:1", "b:5432", "c:3"]),
            ("postgres://u@[::1]:1,127.0.0.1/d", &["[::1]:1", "127.0.0.1:5432"]),
            ("postgres:///d?host=a,b&port=7", &["a:7", "b:7"]),
            ("postgres:///d?host=a&host=b&port=7", &["a:7", "b:7"]),
            ("postgres:///d?hostaddr=::1,127.0.0.1&port=1,2", &["[::1]:1", "127.0.0.1:2"]),
            ("postgres:///d?host=%2Frun", &["/run:5432"]),
        ] {
            assert_eq!(read(url).expect(url), expected, "{url}");
        }
    }

    #[test]
    fn lists_that_do_not_fit_each_other_are_refused() {
        for url in [
            "postgres:///d",
            "postgres://u@a,/d",
            "postgres://u@a,b/d?hostaddr=127.0.0.1",
            "postgres://u@a,b/d?port=1",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
    }

    #[test]
    fn all_but_the_hosts_is_left() {
        for (base, left) in [
            ("postgres://u:p@a:1,b:2/d", "postgres://u:p@/d"),
            ("postgresql://a/d", "postgresql:///d"),
            ("postgres://u:p%40@[::1]", "postgres://u:p%40@"),
            ("postgres://u:p/q@a/d", "postgres://u:p/q@/d"),
        ] {
            assert_eq!(without_hosts(base).as_deref(), Some(left));
        }
    }
}
