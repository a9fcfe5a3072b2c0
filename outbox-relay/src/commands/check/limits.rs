//! Limits on connections and channels, by user, virtual host and connection. The check opens as
//! many as a relay does, and closes them again (<https://www.rabbitmq.com/docs/user-limits>,
//! <https://www.rabbitmq.com/docs/vhosts#limits>).

use amqp::BrokerUrl;
use amqp::{Channel, Connection, Failure};

use super::report::{Check, Finding, shell_quote};
use crate::broker::{CONNECTIONS, FRAME_MAX};
use crate::config::RelayArgs;

pub(super) const CHECK: &str = "limits";

/// A relay can't publish with fewer channels.
const MIN_CHANNELS: usize = 2;

/// Opens a connection as a relay does.
pub(super) async fn open_connection(url: &BrokerUrl) -> anyhow::Result<Connection> {
    Connection::open(url, "outbox command check", FRAME_MAX).await
}

pub(super) async fn check(url: &BrokerUrl, first: &Connection, relay: &RelayArgs) -> Check {
    let wanted = usize::try_from(CONNECTIONS.min(relay.relay_channels)).unwrap_or(usize::MAX);
    let mut findings = Vec::new();
    let mut others = Vec::new();
    while others.len() + 1 < wanted {
        match open_connection(url).await {
            Ok(connection) => others.push(connection),
            Err(error) => {
                let fix = connection_limit_fix(url, &format!("{error:#}"));
                findings.push(Finding::new(
                    format!(
                        "the relay wants {wanted} connections and gets {} beside those that are open: {error:#}; it makes do with one, more slowly",
                        others.len() + 1
                    ),
                    fix.unwrap_or_else(|| "see what the broker says".to_owned()),
                ));
                break;
            }
        }
    }
    let connections: Vec<&Connection> = std::iter::once(first).chain(&others).collect();
    let channels = usize::try_from(relay.relay_channels).unwrap_or(usize::MAX);
    let note = format!("{} connections and {channels} channels can be opened", connections.len());
    findings.extend(check_channels(url, &connections, channels).await);
    for connection in &others {
        connection.close().await;
    }
    Check::from_findings(CHECK, findings, note)
}

/// Opens as many channels as the relay does, in turn over its connections. Each connection needs
/// one more now and then: to look for the exchange, and to replace a channel.
async fn check_channels(
    url: &BrokerUrl,
    connections: &[&Connection],
    channels: usize,
) -> Option<Finding> {
    let wanted = channels + connections.len();
    let mut open = Vec::new();
    for connection in connections.iter().cycle().take(wanted) {
        match Channel::open(connection).await {
            Ok(channel) => open.push(channel),
            Err(failure) => {
                let got = open.len();
                let consequence = if got < MIN_CHANNELS {
                    "a relay can't publish with fewer than 2"
                } else {
                    "it makes do with what it gets, more slowly"
                };
                return Some(Finding::new(
                    format!(
                        "the relay wants {wanted} channels (RELAY_CHANNELS={channels}, and one more on each connection) and gets {got} beside those \
                         that are open: {failure}; {consequence}"
                    ),
                    channel_limit_fix(url, &failure),
                ));
            }
        }
    }
    // The channels end with their connections.
    None
}

/// Returns how to raise the limit for which no channel could be opened. Of the broker's limits, only
/// its text tells which one it was.
fn channel_limit_fix(url: &BrokerUrl, failure: &Failure) -> String {
    match failure {
        Failure::Refused(reason) | Failure::Closed(reason) if reason.text.contains("user") => {
            let user = shell_quote(url.user());
            format!(
                "rabbitmqctl set_user_limits {user} '{{\"max-channels\": -1}}'   # or lower RELAY_CHANNELS"
            )
        }
        _ => "raise channel_max in rabbitmq.conf and in RABBITMQ_URL, or lower RELAY_CHANNELS"
            .to_owned(),
    }
}

/// Returns how to raise the limit for which the broker refused a connection, or `None` if it
/// refused it for another reason.
pub(super) fn connection_limit_fix(url: &BrokerUrl, reason: &str) -> Option<String> {
    let (vhost, user) = (shell_quote(url.virtual_host()), shell_quote(url.user()));
    match reason {
        reason if !reason.contains("connection limit") => None,
        reason if reason.contains("user connection limit") => {
            Some(format!("rabbitmqctl set_user_limits {user} '{{\"max-connections\": -1}}'"))
        }
        reason if reason.contains("access to vhost") => {
            Some(format!("rabbitmqctl set_vhost_limits -p {vhost} '{{\"max-connections\": -1}}'"))
        }
        _ => Some("raise the limit, or close connections that are not needed: rabbitmqctl list_connections user vhost name".to_owned()),
    }
}
