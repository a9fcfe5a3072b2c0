//! Addresses to listen on.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

/// The `HOST:PORT` of a setting; the host is an IP address or a name. Names are resolved when the
/// setting is read, and one without an address is an invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    text: String,
    /// IPv4 first, as in the defaults. Never empty.
    addresses: Vec<SocketAddr>,
}

impl HostPort {
    /// Returns the addresses in the order in which to try them.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self { text: text.to_owned(), addresses: vec![address] });
        }
        let (host, port) = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
            .filter(|(host, _)| !host.is_empty() && !host.contains([':', '[', ']', '/', '@']))
            .ok_or("it must look like 127.0.0.1:9000, [::1]:9000 or localhost:9000")?;
        let found = (host, port).to_socket_addrs();
        let found = found.map_err(|error| format!("the name {host} can't be resolved: {error}"))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses.dedup();
        if addresses.is_empty() {
            return Err(format!("the name {host} stands for no address"));
        }
        Ok(Self { text: text.to_owned(), addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_they_are_and_names_are_looked_up() {
        for text in ["127.0.0.1:9000", "0.0.0.0:0", "[::1]:9000", "[::]:9000"] {
            let given: HostPort = text.parse().expect(text);
            assert_eq!(given.addresses(), [text.parse::<SocketAddr>().expect(text)]);
            assert_eq!(given.to_string(), text);
        }
        let local: HostPort = "localhost:9000".parse().expect("a name of every machine");
        assert!(local.addresses().iter().all(|address| address.ip().is_loopback()), "{local:?}");
        assert_eq!((local.port(), local.to_string().as_str()), (9000, "localhost:9000"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_sentence() {
        for wrong in [
            "",
            "here",
            "9000",
            ":9000",
            "localhost",
            "localhost:",
            "localhost:http",
            "localhost:65536",
            "::1:9000",
            "http://localhost:9000",
        ] {
            let said = wrong.parse::<HostPort>().expect_err(wrong);
            assert!(said.starts_with("it must look like 127.0.0.1:9000"), "{wrong}: {said}");
        }
        // RFC 6761 reserves the name: it never resolves.
        let said = "nowhere.invalid:9000".parse::<HostPort>().expect_err("a name of nothing");
        assert!(said.starts_with("the name nowhere.invalid can't be resolved: "), "{said}");
    }
}
