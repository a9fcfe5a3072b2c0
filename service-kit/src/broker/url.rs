//! `RABBITMQ_URL`.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use lapin::uri::AMQPUri;

use crate::config::read_file;

/// Settings that say where the broker is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct BrokerArgs {
    /// The broker: amqp://user:password@host:5672/vhost, or amqps:// for TLS
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
    /// The broker's address, whichever way it was given.
    #[must_use]
    pub fn url(&self) -> &BrokerUrl {
        self.rabbitmq_url
            .as_ref()
            .or(self.rabbitmq_url_file.as_ref())
            .expect("clap requires one of the two")
    }
}

/// A parsed `RABBITMQ_URL` (<https://www.rabbitmq.com/docs/uri-spec>). Its `Debug` shows no password.
#[derive(Clone)]
pub struct BrokerUrl {
    pub(super) uri: AMQPUri,
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerUrl")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("vhost", &self.uri.vhost)
            .finish_non_exhaustive()
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "it must look like amqp://user:password@host:5672/vhost (amqps:// for TLS)";
        // The parser's error text may quote the URL: only the form is told.
        let mut uri: AMQPUri = text.parse().map_err(|_| FORM.to_owned())?;
        if uri.query.heartbeat.is_none() {
            uri.query.heartbeat = Some(15);
        }
        Ok(Self { uri })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_its_password_hidden() {
        let url: BrokerUrl = "amqp://u:hunter2@broker:5673/shop".parse().expect("a good URL");
        assert_eq!(url.uri.vhost, "shop");
        assert!(!format!("{url:?}").contains("hunter2"));
        let error = "http://u:hunter2@broker/".parse::<BrokerUrl>().expect_err("no AMQP URL");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
