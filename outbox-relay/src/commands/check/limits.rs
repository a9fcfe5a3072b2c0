//! Limits on connections and channels, by user, virtual host and connection: what a relay opens is opened and closed again
//! (<https://www.rabbitmq.com/docs/user-limits>, <https://www.rabbitmq.com/docs/vhosts#limits>).

use amqp::BrokerUrl;
use amqp::{Channel, Connection};

use super::broker::open;
use super::finding::{Check, Finding, shell};
use crate::broker::CONNECTIONS;
use crate::config::RelayArgs;

pub(super) const CHECK: &str = "limits";

/// With fewer channels nothing can be published.
const LEAST: usize = 2;

pub(super) async fn check(url: &BrokerUrl, first: &Connection, relay: &RelayArgs) -> Check {
    let wanted = usize::try_from(CONNECTIONS.min(relay.relay_channels)).unwrap_or(usize::MAX);
    let mut findings = Vec::new();
    let mut more = Vec::new();
    while more.len() + 1 < wanted {
        match open(url).await {
            Ok(connection) => more.push(connection),
            Err(error) => {
                let mend = of_connections(url, &format!("{error:#}"));
                findings.push(Finding::new(
                    format!(
                        "the relay wants {wanted} connections and gets {} beside those that are open: {error:#}; it makes do with one, more slowly",
                        more.len() + 1
                    ),
                    mend.unwrap_or_else(|| "see what the broker says".to_owned()),
                ));
                break;
            }
        }
    }
    let connections: Vec<&Connection> = std::iter::once(first).chain(&more).collect();
    let channels = usize::try_from(relay.relay_channels).unwrap_or(usize::MAX);
    let note = format!("{} connections and {channels} channels can be opened", connections.len());
    findings.extend(of_channels(url, &connections, channels).await);
    for connection in &more {
        connection.close().await;
    }
    Check::of(CHECK, findings, note)
}

/// Opens as many channels as the relay does, in turn over its connections. On each it takes one more now and then: to look for the exchange, and in place of one
/// that it gives up.
async fn of_channels(
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
                let (got, user) = (open.len(), shell(url.user()));
                let makes_do = if got < LEAST {
                    "with fewer than 2 none can work"
                } else {
                    "it makes do with what it gets, more slowly"
                };
                return Some(Finding::new(
                    format!(
                        "the relay wants {wanted} channels (RELAY_CHANNELS={channels}, and one more on each connection) and gets {got} beside those \
                         that are open: {failure}; {makes_do}"
                    ),
                    if failure.to_string().contains("user") {
                        format!(
                            "rabbitmqctl set_user_limits {user} '{{\"max-channels\": -1}}'   # or lower RELAY_CHANNELS"
                        )
                    } else {
                        "raise channel_max in rabbitmq.conf and in RABBITMQ_URL, or lower RELAY_CHANNELS".to_owned()
                    },
                ));
            }
        }
    }
    // They end with their connections.
    None
}

/// What mends that the broker lets nobody else connect; none when it is not for a limit.
pub(super) fn of_connections(url: &BrokerUrl, said: &str) -> Option<String> {
    let (vhost, user) = (shell(url.virtual_host()), shell(url.user()));
    match said {
        said if !said.contains("connection limit") => None,
        said if said.contains("user connection limit") => {
            Some(format!("rabbitmqctl set_user_limits {user} '{{\"max-connections\": -1}}'"))
        }
        said if said.contains("access to vhost") => {
            Some(format!("rabbitmqctl set_vhost_limits -p {vhost} '{{\"max-connections\": -1}}'"))
        }
        _ => Some("raise the limit, or end connections that nobody needs: rabbitmqctl list_connections user vhost name".to_owned()),
    }
}
