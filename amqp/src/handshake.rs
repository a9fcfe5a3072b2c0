//! The handshake of a connection: protocol header, login, limits, virtual host (AMQP 0-9-1
//! specification, section 2.2.4).

use std::time::Duration;

use crate::broker::BrokerStream;
use amq_protocol::auth::Credentials;
use amq_protocol::frame::{AMQPFrame, ProtocolVersion};
use amq_protocol::protocol::{AMQPClass, connection};
use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use amq_protocol::uri::AMQPUri;
use anyhow::{Context as _, bail};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frame::{self, Frame};
use super::method::{Method, excerpt};

/// The longest frame before both sides have agreed on a limit, in bytes.
const FRAME_MIN: usize = 4096;

/// The longest frame accepted during the handshake: the broker's properties can be long.
const FIRST_FRAMES: usize = 128 << 10;

const LOST: &str = "the connection to the broker was lost while it was being made";

/// Extensions of RabbitMQ, which it uses with clients that name them.
const CAPABILITIES: [&str; 5] = [
    "publisher_confirms",
    "basic.nack",
    "connection.blocked",
    "authentication_failure_close",
    "consumer_cancel_notify",
];

/// A connection after the handshake, with the limits that both sides agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) stream: BrokerStream,
    /// Bytes that were received and not decoded yet.
    pub(super) received: BytesMut,
    pub(super) frame_max: usize,
    pub(super) channel_max: u16,
    /// `None` if both sides do without heartbeats.
    pub(super) heartbeat: Option<Duration>,
}

/// Logs in to the virtual host of `uri` under `name`, asking for frames of `wanted` bytes.
///
/// # Errors
/// The broker's reason to refuse.
pub(super) async fn shake_hands(
    stream: BrokerStream,
    uri: &AMQPUri,
    name: &str,
    wanted: u32,
) -> anyhow::Result<Agreed> {
    let mut talk = Talk { stream, received: BytesMut::new() };
    talk.send(&AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1())).await?;
    let Method::Start { mechanisms } = talk.next_method().await? else {
        bail!("the broker does not begin as AMQP 0-9-1 has it");
    };
    talk.say(connection::AMQPMethod::StartOk(log_in(&mechanisms, uri, name)?)).await?;
    let Method::Tune { channel_max, frame_max, heartbeat } = talk.next_method().await? else {
        bail!("the broker asks for more than a user and a password");
    };
    let ours = &uri.query;
    let channel_max = stricter(ours.channel_max.unwrap_or(0), channel_max, u16::MAX);
    let frame_max = stricter(ours.frame_max.unwrap_or(wanted), frame_max, wanted);
    let heartbeat = ours.heartbeat.unwrap_or(heartbeat);
    let terms = connection::TuneOk { channel_max, frame_max, heartbeat };
    talk.say(connection::AMQPMethod::TuneOk(terms)).await?;
    let virtual_host = ShortString::try_new(uri.vhost.as_str())
        .map_err(|_| anyhow::anyhow!("the virtual host's name is longer than AMQP allows"))?;
    talk.say(connection::AMQPMethod::Open(connection::Open { virtual_host })).await?;
    let Method::OpenOk = talk.next_method().await? else {
        bail!("the broker does not open the virtual host as AMQP 0-9-1 has it");
    };
    Ok(Agreed {
        stream: talk.stream,
        received: talk.received,
        frame_max: usize::try_from(frame_max)?.max(FRAME_MIN),
        channel_max,
        heartbeat: (heartbeat > 0).then(|| Duration::from_secs(heartbeat.into())),
    })
}

/// Returns the smaller of two limits, where 0 means no limit.
fn stricter<N: Ord + Default>(ours: N, theirs: N, none: N) -> N {
    let limits = [ours, theirs].into_iter().filter(|limit| *limit > N::default());
    limits.min().unwrap_or(none)
}

fn log_in(mechanisms: &str, uri: &AMQPUri, name: &str) -> anyhow::Result<connection::StartOk> {
    let mechanism = uri.query.auth_mechanism.unwrap_or_default();
    if !mechanisms.split(' ').any(|offered| offered == mechanism.name()) {
        let (ours, theirs) = (mechanism.name(), excerpt(mechanisms));
        bail!("the broker does not let users log in by {ours}, only by {theirs}");
    }
    let credentials = Credentials::from(uri.authority.userinfo.clone());
    Ok(connection::StartOk {
        client_properties: about_us(name),
        mechanism: mechanism.name().into(),
        response: credentials.sasl_auth_string(mechanism),
        locale: "en_US".into(),
    })
}

/// The client properties: what the management UI shows, and which extensions are understood.
fn about_us(name: &str) -> FieldTable {
    let mut capabilities = FieldTable::default();
    for capability in CAPABILITIES {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    for (property, value) in [
        ("connection_name", name),
        ("product", "outbox pipeline"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
    ] {
        properties.insert(property.into(), AMQPValue::LongString(value.into()));
    }
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}

/// A connection during the handshake, when both sides take turns.
struct Talk {
    stream: BrokerStream,
    received: BytesMut,
}

impl Talk {
    async fn say(&mut self, method: connection::AMQPMethod) -> anyhow::Result<()> {
        self.send(&AMQPFrame::Method(0, AMQPClass::Connection(method))).await
    }

    async fn send(&mut self, frame: &AMQPFrame) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, frame);
        self.stream.write_all(&bytes).await.context(LOST)?;
        self.stream.flush().await.context(LOST)
    }

    async fn next_method(&mut self) -> anyhow::Result<Method> {
        loop {
            match frame::decode(&mut self.received, FIRST_FRAMES).map_err(anyhow::Error::msg)? {
                Some(Frame::Method(0, Method::Close(reason))) => bail!(reason.text),
                Some(Frame::Method(0, method)) => return Ok(method),
                Some(Frame::Heartbeat) => {}
                Some(_) => bail!("the broker speaks of channels before there are any"),
                None => {
                    let read = self.stream.read_buf(&mut self.received).await.context(LOST)?;
                    if read == 0 {
                        bail!("the broker ended the connection while it was being made");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stricter;

    #[test]
    fn no_limit_gives_way_to_any() {
        assert_eq!(stricter(0_u16, 0, 7), 7);
        assert_eq!(stricter(0_u16, 5, 7), 5);
        assert_eq!(stricter(4_u16, 0, 7), 4);
        assert_eq!(stricter(4_u16, 5, 7), 4);
    }
}
