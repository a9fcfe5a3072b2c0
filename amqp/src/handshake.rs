//! How a connection begins: who is there, as whom, and on which terms.

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

use super::heard::Heard;
use super::wire::{self, Frame};

/// Bytes that any frame may have before the two sides agree on more.
const FRAME_MIN: usize = 4096;

/// Bytes of the first frames at the most: a broker may tell much about itself.
const FIRST_FRAMES: usize = 128 << 10;

const LOST: &str = "the connection to the broker was lost while it was being made";

/// What a broker of today can do, which it does for those who say that they understand it.
const CAPABILITIES: [&str; 5] = [
    "publisher_confirms",
    "basic.nack",
    "connection.blocked",
    "authentication_failure_close",
    "consumer_cancel_notify",
];

/// A connection that may be used, and its terms.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) stream: BrokerStream,
    /// What has come and was not looked at.
    pub(super) received: BytesMut,
    pub(super) frame_max: usize,
    pub(super) channel_max: u16,
    /// `None`: neither side wants to see signs of life.
    pub(super) heartbeat: Option<Duration>,
}

/// Logs in to the virtual host of `uri` under `name`, for frames of `wanted` bytes.
///
/// # Errors
/// What the broker has against it.
pub(super) async fn shake_hands(
    stream: BrokerStream,
    uri: &AMQPUri,
    name: &str,
    wanted: u32,
) -> anyhow::Result<Agreed> {
    let mut talk = Talk { stream, received: BytesMut::new() };
    talk.send(&AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1())).await?;
    let Heard::Start { mechanisms } = talk.hear().await? else {
        bail!("the broker does not begin as AMQP 0-9-1 has it");
    };
    talk.say(connection::AMQPMethod::StartOk(log_in(&mechanisms, uri, name)?)).await?;
    let Heard::Tune { channel_max, frame_max, heartbeat } = talk.hear().await? else {
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
    let Heard::OpenOk = talk.hear().await? else {
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

/// The smaller of two limits, of which 0 is none.
fn stricter<N: Ord + Default>(ours: N, theirs: N, none: N) -> N {
    let limits = [ours, theirs].into_iter().filter(|limit| *limit > N::default());
    limits.min().unwrap_or(none)
}

fn log_in(mechanisms: &str, uri: &AMQPUri, name: &str) -> anyhow::Result<connection::StartOk> {
    let mechanism = uri.query.auth_mechanism.unwrap_or_default();
    if !mechanisms.split(' ').any(|offered| offered == mechanism.name()) {
        bail!("the broker does not let users log in by {}, only by {mechanisms}", mechanism.name());
    }
    let credentials = Credentials::from(uri.authority.userinfo.clone());
    Ok(connection::StartOk {
        client_properties: about_us(name),
        mechanism: mechanism.name().into(),
        response: credentials.sasl_auth_string(mechanism),
        locale: "en_US".into(),
    })
}

/// What the broker shows of a connection, and does for it.
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

/// A connection on which the two sides take turns.
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
        wire::put(&mut bytes, frame);
        self.stream.write_all(&bytes).await.context(LOST)?;
        self.stream.flush().await.context(LOST)
    }

    async fn hear(&mut self) -> anyhow::Result<Heard> {
        loop {
            match wire::take(&mut self.received, FIRST_FRAMES).map_err(anyhow::Error::msg)? {
                Some(Frame::Method(0, Heard::Close(goodbye))) => bail!(goodbye.said),
                Some(Frame::Method(0, heard)) => return Ok(heard),
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
