//! Refuses requests that a foreign page made a browser send: under another name of the host (DNS
//! rebinding), or from another origin (cross-site request forgery).

use std::net::{IpAddr, Ipv6Addr};

use poem::http::{HeaderMap, Method, Uri, header};

use super::config::ConsoleConfig;
use super::network::Network;

/// What a trusted proxy was asked for.
const FORWARDED_HOST: &str = "x-forwarded-host";

/// Whom a trusted proxy was asked by.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Refuses requests that no page of the console made.
#[derive(Debug)]
pub(super) struct RequestChecks {
    /// In lower case, without ports.
    hosts: Vec<String>,
    proxies: Vec<Network>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// It names a host that the console does not know.
    UnknownHost(String),
    /// Another site's page made it.
    ForeignOrigin,
}

impl RequestChecks {
    pub(super) fn new(config: &ConsoleConfig) -> Self {
        let own = config.access.console_addr.addresses().iter();
        let own = own.filter(|address| !address.ip().is_unspecified());
        let own = own.map(|address| host_of(address.to_string()));
        let always = ["localhost", "127.0.0.1", "[::1]"].map(ToOwned::to_owned);
        let allowed = config.access.console_allowed_hosts.iter();
        let allowed = allowed.map(|host| host_of(host.trim().to_ascii_lowercase()));
        let hosts = always.into_iter().chain(own).chain(allowed);
        Self {
            hosts: hosts.filter(|host| !host.is_empty()).collect(),
            proxies: config.access.trusted_proxies().collect(),
        }
    }

    /// Whether `address` is a trusted proxy's.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// The client's own address, as a trusted proxy names it: the last one of X-Forwarded-For, which
    /// the proxy has added. Of IPv6 the first half, as a client has all addresses of its network.
    pub(super) fn client(&self, headers: &HeaderMap, address: IpAddr) -> IpAddr {
        let last = headers.get_all(FORWARDED_FOR).iter().next_back();
        let last =
            last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        let client: IpAddr = last.filter(|_| self.is_proxy(address)).unwrap_or(address);
        match client.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
            address => address,
        }
    }

    /// Checks a request from `address`.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<(), Suspicion> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text("host").or_else(|| uri.authority().map(poem::http::uri::Authority::as_str));
        let forwarded = text(FORWARDED_HOST).filter(|_| self.is_proxy(address));
        for host in [host, forwarded].into_iter().flatten() {
            let name = host_of(host.to_ascii_lowercase());
            if !self.hosts.contains(&name) {
                return Err(Suspicion::UnknownHost(name));
            }
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        // Browsers send it since 2023, and no script can set it.
        if let Some(site) = text("sec-fetch-site") {
            let is_own = matches!(site, "same-origin" | "none");
            return is_own.then_some(()).ok_or(Suspicion::ForeignOrigin);
        }
        if let Some(origin) = text("origin") {
            let origin = origin.split_once("://").map_or("", |(_, host)| host);
            let origin = origin.to_ascii_lowercase();
            let is_own = [host, forwarded].into_iter().flatten();
            let is_own = is_own.map(str::to_ascii_lowercase).any(|host| host == origin);
            return is_own.then_some(()).ok_or(Suspicion::ForeignOrigin);
        }
        // No browser: it sends credentials because somebody gave it some, or runs on this machine.
        let has_credentials = headers.contains_key(header::AUTHORIZATION);
        if has_credentials || address.is_loopback() || self.is_proxy(address) {
            return Ok(());
        }
        Err(Suspicion::ForeignOrigin)
    }
}

/// The host without its port.
fn host_of(authority: String) -> String {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const PROXY: [u8; 4] = [10, 1, 0, 1];

    fn check(method: &Method, from: IpAddr, headers: &[(&str, &str)]) -> Result<(), Suspicion> {
        let checks = RequestChecks {
            hosts: ["localhost", "127.0.0.1", "outbox.example.com"].map(String::from).into(),
            proxies: vec!["10.1.0.0/16".parse().expect("a network")],
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        checks.check(method, &Uri::from_static("/"), &headers.collect(), from)
    }

    #[test]
    fn an_unknown_host_is_refused_also_behind_a_proxy() {
        let get = |from, headers: &[(&str, &str)]| check(&Method::GET, from, headers);
        assert_eq!(get(LOCAL, &[("host", "localhost:9010")]), Ok(()));
        assert_eq!(get(LOCAL, &[("host", "OUTBOX.example.com")]), Ok(()));
        let evil = Err(Suspicion::UnknownHost("evil.example".to_owned()));
        assert_eq!(get(LOCAL, &[("host", "evil.example:9010")]), evil);
        let forwarded = [("host", "localhost"), (FORWARDED_HOST, "evil.example")];
        assert_eq!(get(PROXY.into(), &forwarded), evil);
        assert_eq!(get(LOCAL, &forwarded), Ok(()), "only a proxy's is looked at");
    }

    #[test]
    fn a_change_is_made_by_a_page_of_the_console_or_by_no_browser() {
        let host = ("host", "localhost:9010");
        let post = |from, header| check(&Method::POST, from, &[host, header]);
        let foreign = Err(Suspicion::ForeignOrigin);
        assert_eq!(post(LOCAL, ("sec-fetch-site", "same-origin")), Ok(()));
        assert_eq!(post(LOCAL, ("sec-fetch-site", "none")), Ok(()));
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(post(LOCAL, ("sec-fetch-site", site)), foreign, "{site}");
        }
        assert_eq!(post(LOCAL, ("origin", "http://localhost:9010")), Ok(()));
        for origin in ["http://localhost:9011", "https://evil.example", "null"] {
            assert_eq!(post(LOCAL, ("origin", origin)), foreign, "{origin}");
        }
        let remote = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(post(LOCAL, ("accept", "*/*")), Ok(()));
        assert_eq!(post(remote, ("accept", "*/*")), foreign);
        assert_eq!(post(remote, ("authorization", "Bearer x")), Ok(()));
    }

    #[test]
    fn a_client_is_whom_its_proxy_names() {
        let checks = RequestChecks {
            hosts: Vec::new(),
            proxies: vec!["10.1.0.0/16".parse().expect("a network")],
        };
        let client = |forwarded: &str, from: IpAddr| {
            let headers = [(FORWARDED_FOR, forwarded)].map(|(name, value)| {
                (name.parse().expect("a name"), value.parse().expect("a value"))
            });
            checks.client(&headers.into_iter().collect(), from).to_string()
        };
        assert_eq!(client("192.0.2.1, 192.0.2.7", PROXY.into()), "192.0.2.7");
        assert_eq!(client("192.0.2.1", LOCAL), "127.0.0.1", "nobody else is believed");
        assert_eq!(client("unknown", PROXY.into()), "10.1.0.1");
        assert_eq!(client("2001:db8:1:2:3:4:5:6", PROXY.into()), "2001:db8:1:2::");
    }
}
