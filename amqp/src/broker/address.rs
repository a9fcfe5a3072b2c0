//! One broker of `RABBITMQ_URL` (<https://www.rabbitmq.com/docs/uri-spec>).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ::url::Host;
use ::url::form_urlencoded::parse;
use amq_protocol::uri::{AMQPScheme, AMQPUri};

use super::tls::TlsSettings;
use service_kit::config::is_parameter_name;

/// The heartbeat in seconds, unless the URL says otherwise. A broker that misses two is gone.
const HEARTBEAT: u16 = 10;

/// Parameters that the URI parser reads itself.
const PARAMETERS: [&str; 5] =
    ["auth_mechanism", "channel_max", "connection_timeout", "frame_max", "heartbeat"];

/// The address of a broker and how to log in. `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct Address {
    pub(super) uri: AMQPUri,
    /// `None`: without TLS.
    pub(super) tls: Option<TlsSettings>,
}

impl Address {
    /// Returns credentials, host, virtual host and limits.
    #[must_use]
    pub const fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// Returns the limit for connecting, if the URL has one.
    pub(super) fn connect_limit(&self) -> Option<Duration> {
        self.uri.query.connection_timeout.filter(|limit| *limit > 0).map(Duration::from_millis)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.uri.authority.host, self.uri.authority.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("vhost", &self.uri.vhost)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads the URL, and the files that it names.
    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "it must look like amqp://user:password@host:5672/vhost (amqps:// for TLS); several are separated by commas";
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut tls = TlsSettings::default();
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = parse(pair.as_bytes()).next().unwrap_or_default();
            if tls.take(&name, &value)? {
                continue;
            }
            if !PARAMETERS.contains(&&*name) {
                let named = if is_parameter_name(&name, query) {
                    format!(" {name}")
                } else {
                    String::new()
                };
                return Err(format!(
                    "it has a parameter{named} that is none of cacertfile, certfile, keyfile, verify, server_name_indication, {}",
                    PARAMETERS.join(", ")
                ));
            }
            rest.push(pair);
        }
        // The parser's error may quote the URL: only the form is named.
        let plain = format!("{base}?{}", rest.join("&"));
        let mut uri: AMQPUri = plain.parse().map_err(|_| FORM.to_owned())?;
        let host = ::url::Url::parse(&plain).map_err(|_| FORM.to_owned())?;
        if let Some(Host::Ipv6(address)) = host.host() {
            // The parser takes it for localhost.
            uri.authority.host = address.to_string();
        }
        if uri.authority.host.contains(',') || base.ends_with(',') {
            return Err(FORM.to_owned());
        }
        // In RabbitMQ's URIs, `/` means a virtual host without a name, which nobody has: clients
        // take it for the default one.
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
        let tls = match uri.scheme {
            AMQPScheme::AMQPS => Some(tls),
            AMQPScheme::AMQP if tls.are_given() => {
                return Err("it has parameters of TLS, which takes amqps://".to_owned());
            }
            AMQPScheme::AMQP => None,
        };
        if let Some(tls) = &tls {
            tls.check().map_err(|error| format!("{error:#}"))?;
        }
        Ok(Self { uri, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_virtual_host_means_the_default_one() {
        for url in [
            "amqp://h",
            "amqp://h/",
            "amqp://u:p@h:5673/?heartbeat=7",
            "amqps://h/",
            "amqp://h/%2f",
        ] {
            let address: Address = url.parse().expect(url);
            assert_eq!(address.uri.vhost, "/", "{url}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_and_no_part_of_a_password_is() {
        let refusal = |url: &str| url.parse::<Address>().expect_err(url);
        let said = refusal("amqp://u:p@h/v?heartbeat=7&cacert=ca.pem");
        assert!(
            said.starts_with("it has a parameter cacert that is none of cacertfile, "),
            "{said}"
        );
        let said = refusal("amqp://u:p?hunter2=1@h/v");
        assert!(said.starts_with("it has a parameter that is none of cacertfile, "), "{said}");
    }

    #[test]
    fn what_the_driver_knows_is_left_to_it_and_the_rest_is_read() {
        let address: Address =
            "amqps://u:p@h/v%2C?verify=verify_none&heartbeat=7&connection_timeout=1500"
                .parse()
                .expect("a good URL");
        assert_eq!(address.uri.vhost, "v,");
        assert_eq!(address.uri.query.heartbeat, Some(7));
        assert_eq!(address.connect_limit(), Some(Duration::from_millis(1500)));
        assert!(address.tls.is_some());
        let plain: Address = "amqp://h".parse().expect("a good URL");
        // What docs/relay.md promises: a broker that is silent for 20 s is gone.
        assert_eq!(plain.uri.query.heartbeat, Some(10));
        assert!(plain.tls.is_none() && plain.connect_limit().is_none());
    }
}
