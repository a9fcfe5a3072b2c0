//! `RABBITMQ_URL`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use super::address::Address;
use service_kit::config::read_file;
use service_kit::failover::HostOrder;

/// Settings of the broker's address.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct BrokerArgs {
    /// The broker: amqp://user:password@host:5672/vhost (without a virtual host, the default one),
    /// or amqps:// for TLS with cacertfile, certfile, keyfile, verify (verify_peer, verify_none) and
    /// server_name_indication as RabbitMQ's URIs have them. Of several URLs, separated by commas,
    /// the first one that answers is used, and the next one when it fails
    #[arg(
        long,
        env = "RABBITMQ_URL",
        hide_env_values = true,
        value_name = "URL",
        required_unless_present = "rabbitmq_url_file"
    )]
    rabbitmq_url: Option<BrokerUrl>,

    /// A file that holds `RABBITMQ_URL`
    #[arg(long, env = "RABBITMQ_URL_FILE", value_name = "FILE", value_parser = read_file::<BrokerUrl>, conflicts_with = "rabbitmq_url")]
    rabbitmq_url_file: Option<BrokerUrl>,
}

impl BrokerArgs {
    /// Returns the URL, from the setting or its file.
    #[must_use]
    pub fn url(&self) -> &BrokerUrl {
        self.rabbitmq_url
            .as_ref()
            .or(self.rabbitmq_url_file.as_ref())
            .expect("clap requires one of the two")
    }
}

/// A parsed `RABBITMQ_URL`: one broker, or several of which one is used. `Debug` shows no password.
/// Clones share which one is used.
#[derive(Clone)]
pub struct BrokerUrl {
    pub(super) addresses: Vec<Address>,
    host_order: HostOrder,
    latest: Arc<Mutex<Option<(usize, IsAlive)>>>,
}

/// Returns whether a connection is alive.
pub type IsAlive = Box<dyn Fn() -> bool + Send>;

impl BrokerUrl {
    /// Returns the user name of the first broker's URL.
    #[must_use]
    pub fn user(&self) -> &str {
        self.addresses.first().map_or("", |address| &address.uri.authority.userinfo.username)
    }

    /// Returns the virtual host of the first broker's URL.
    #[must_use]
    pub fn virtual_host(&self) -> &str {
        self.addresses.first().map_or("", |address| &address.uri.vhost)
    }

    /// Returns each broker once, in the order in which to try them: first the one in use, or the
    /// next one if the connection to that was lost, as a broker that accepts connections may still
    /// be unable to work.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.addresses.len();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((broker, _)) = latest.take_if(|(_, lives)| !lives()) {
            self.host_order.failed(broker, count);
        }
        self.host_order.candidates(count)
    }

    /// Records that a connection to `broker` is in use.
    pub(super) fn works(&self, broker: usize, lives: IsAlive) {
        let count = self.addresses.len();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((broker, lives));
        if self.host_order.connected(broker) && count > 1 {
            let broker = &self.addresses[broker];
            tracing::info!(%broker, "connected to {broker}, one of {count} brokers");
        }
    }

    /// Marks the broker in use as unusable, though connections to it may be alive: the next one is
    /// tried first.
    pub fn give_up(&self) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((broker, _)) = latest {
            self.failed(broker);
        }
    }

    /// Records that `broker` can't be used.
    pub(super) fn failed(&self, broker: usize) {
        self.host_order.failed(broker, self.addresses.len());
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerUrl").field("brokers", &self.addresses).finish_non_exhaustive()
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    /// Parses the URLs, and checks the files that they name.
    fn from_str(text: &str) -> Result<Self, String> {
        let urls = split(text);
        let count = urls.len();
        let read = |(index, url): (usize, &&str)| {
            url.parse().map_err(|error| match count {
                1 => error,
                _ => format!("URL {} of {count}: {error}", index + 1),
            })
        };
        let addresses = urls.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { addresses, host_order: HostOrder::default(), latest: Arc::default() })
    }
}

/// Splits a list of URLs. A comma separates only if a URL follows: passwords may have commas.
fn split(text: &str) -> Vec<&str> {
    let begins = |rest: &str| rest.starts_with("amqp://") || rest.starts_with("amqps://");
    let mut urls = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        if begins(text[comma + 1..].trim_start()) {
            urls.push(text[start..comma].trim());
            start = comma + 1;
        }
    }
    urls.push(text[start..].trim());
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Result<Vec<String>, String> {
        let url: BrokerUrl = text.parse()?;
        Ok(url.addresses.iter().map(ToString::to_string).collect())
    }

    fn refusal(text: &str) -> String {
        text.parse::<BrokerUrl>().expect_err(text)
    }

    #[test]
    fn a_url_is_read_and_its_password_hidden() {
        let url: BrokerUrl = "amqp://u:hunter2@broker:5673/shop".parse().expect("a good URL");
        assert_eq!(url.addresses[0].uri.vhost, "shop");
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn several_urls_are_read() {
        for (text, expected) in [
            ("amqp://a", &["a:5672"][..]),
            ("amqp://a,amqps://b/v", &["a:5672", "b:5671"]),
            ("amqp://u:p,q@a:1/v ,\n amqp://u:p@[::1]:2/v\n", &["a:1", "[::1]:2"]),
        ] {
            assert_eq!(hosts(text).expect(text), expected);
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for bad in [
            "",
            "http://u:hunter2@broker/",
            "amqp://u:hunter2@broker:port/",
            "amqp://u:hunter2@a,b/v",
            "amqp://u:hunter2@a:1,b:2/v",
            "amqp://u:hunter2@a/v,",
            "amqp://u:p?hunter2@a/v",
            "amqp://u:hunter2@a/v?verify=perhaps",
            "amqps://u:hunter2@a/v?verify=perhaps",
            "amqp://u:hunter2@a/v?verify=verify_peer",
            "amqp://u:hunter2@a/v?heartbeat=soon",
            "amqps://u:hunter2@a/v?certfile=/nowhere",
        ] {
            let error = refusal(bad);
            assert!(!error.contains("hunter2"), "{bad}: {error}");
        }
        let second = refusal("amqp://u:hunter2@a/v,amqp://u:hunter2@b:port/v");
        assert!(second.starts_with("URL 2 of 2: it must look like"), "{second}");
    }

    #[test]
    fn files_that_are_not_there_are_noticed_at_once() {
        for parameters in [
            "cacertfile=/nowhere",
            "verify=verify_none&cacertfile=/nowhere",
            "verify=verify_none&certfile=/nowhere&keyfile=/nowhere",
        ] {
            let error = refusal(&format!("amqps://u:hunter2@a/v?{parameters}"));
            assert!(error.contains("/nowhere can't be read"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_next_broker_is_tried_after_one_that_failed() {
        let url: BrokerUrl = "amqp://a,amqp://b".parse().expect("good URLs");
        assert_eq!(url.order().collect::<Vec<_>>(), [0, 1]);
        url.clone().failed(0);
        assert_eq!(url.order().collect::<Vec<_>>(), [1, 0]);
        url.works(1, Box::new(|| true));
        assert_eq!(url.order().collect::<Vec<_>>(), [1, 0]);
        url.give_up();
        assert_eq!(url.order().collect::<Vec<_>>(), [0, 1]);
    }
}
