//! One connection of a fake broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, exchange};
use amq_protocol::types::FieldTable;
use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep};

use super::{BrokerBehaviour, Came, ODD, Seen, lock};

/// The heartbeat interval.
const SIGN_OF_LIFE: Duration = Duration::from_millis(200);

/// See the [module](self).
pub(super) struct Session {
    stream: TcpStream,
    received: Vec<u8>,
    manner: Arc<Mutex<BrokerBehaviour>>,
    seen: Arc<Mutex<Seen>>,
    connection: usize,
    channels: HashMap<u16, Channel>,
    /// The confirms withheld while publishers are blocked.
    owed: Option<Vec<AMQPFrame>>,
}

/// A channel, and the message being received on it.
#[derive(Default)]
struct Channel {
    messages: u64,
    routing_key: String,
    /// Missing bytes of the body.
    missing: u64,
    /// Frames that arrive before the publisher's `channel.close-ok` are ignored.
    is_closing: bool,
}

impl Session {
    pub(super) fn new(
        stream: TcpStream,
        manner: Arc<Mutex<BrokerBehaviour>>,
        seen: Arc<Mutex<Seen>>,
        connection: usize,
    ) -> Self {
        let (received, channels) = (Vec::new(), HashMap::new());
        Self { stream, received, manner, seen, connection, channels, owed: None }
    }

    pub(super) async fn serve(mut self) -> anyhow::Result<()> {
        if self.manner() == BrokerBehaviour::Mute {
            return std::future::pending().await;
        }
        self.shake_hands().await?;
        let mut signs = interval(SIGN_OF_LIFE);
        loop {
            tokio::select! {
                biased;
                _ = signs.tick() => self.show_life().await?,
                frame = self.hear() => self.answer(frame?).await?,
            }
        }
    }

    async fn show_life(&mut self) -> anyhow::Result<()> {
        self.send(&AMQPFrame::Heartbeat).await?;
        if self.manner() == BrokerBehaviour::BlocksUntilTold {
            return Ok(());
        }
        if let Some(owed) = self.owed.take() {
            let unblocked = connection::AMQPMethod::Unblocked(connection::Unblocked {});
            self.say(0, AMQPClass::Connection(unblocked)).await?;
            for ack in owed {
                self.send(&ack).await?;
            }
        }
        Ok(())
    }

    async fn answer(&mut self, frame: AMQPFrame) -> anyhow::Result<()> {
        match frame {
            AMQPFrame::Heartbeat => Ok(()),
            AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(_))) => {
                let closed = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.say(0, AMQPClass::Connection(closed)).await
            }
            AMQPFrame::Method(id, AMQPClass::Channel(method)) => match method {
                channel::AMQPMethod::Open(_) => {
                    ensure!(self.channels.insert(id, Channel::default()).is_none(), "{id} is open");
                    lock(&self.seen).open_channels += 1;
                    let open = channel::AMQPMethod::OpenOk(channel::OpenOk {});
                    self.say(id, AMQPClass::Channel(open)).await
                }
                channel::AMQPMethod::Close(_) => {
                    self.close(id)?;
                    let closed = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                    self.say(id, AMQPClass::Channel(closed)).await
                }
                channel::AMQPMethod::CloseOk(_) => self.close(id),
                other => bail!("{other:?} is none of a publisher's"),
            },
            AMQPFrame::Method(id, AMQPClass::Exchange(exchange::AMQPMethod::Declare(_))) => {
                let declared = exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {});
                self.say(id, AMQPClass::Exchange(declared)).await
            }
            AMQPFrame::Method(id, AMQPClass::Confirm(confirm::AMQPMethod::Select(_))) => {
                let selected = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
                self.say(id, AMQPClass::Confirm(selected)).await
            }
            AMQPFrame::Method(..) | AMQPFrame::Header(..) | AMQPFrame::Body(..) => {
                self.publish(frame).await
            }
            other => bail!("{other:?} is none of a publisher's"),
        }
    }

    async fn publish(&mut self, frame: AMQPFrame) -> anyhow::Result<()> {
        let id = frame.channel_id();
        let channel = self.channels.get_mut(&id).with_context(|| format!("{id} is not open"))?;
        if channel.is_closing {
            return Ok(());
        }
        match frame {
            AMQPFrame::Method(_, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))) => {
                channel.routing_key = publish.routing_key.to_string();
                Ok(())
            }
            AMQPFrame::Header(_, header) => {
                channel.messages += 1;
                channel.missing = header.body_size;
                let message_id = header.properties.message_id().as_ref();
                lock(&self.seen).messages.push(Came {
                    connection: self.connection,
                    message_id: message_id.map(ToString::to_string).unwrap_or_default(),
                    routing_key: channel.routing_key.clone(),
                });
                self.begun().await
            }
            AMQPFrame::Body(_, part) => {
                channel.missing -= part.len() as u64;
                if channel.missing > 0 { Ok(()) } else { self.came(id).await }
            }
            other => bail!("{other:?} is none of a publisher's"),
        }
    }

    async fn shake_hands(&mut self) -> anyhow::Result<()> {
        // The protocol's header.
        self.stream.read_exact(&mut [0; 8]).await?;
        let start = connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: FieldTable::default(),
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        });
        self.say(0, AMQPClass::Connection(start)).await?;
        self.hear().await?;
        let tune = connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 1 };
        self.say(0, AMQPClass::Connection(connection::AMQPMethod::Tune(tune))).await?;
        // `connection.tune-ok` and `connection.open`.
        self.hear().await?;
        self.hear().await?;
        let open = connection::AMQPMethod::OpenOk(connection::OpenOk {});
        self.say(0, AMQPClass::Connection(open)).await
    }

    /// A message begins.
    async fn begun(&mut self) -> anyhow::Result<()> {
        match self.manner() {
            BrokerBehaviour::BlocksAndFallsSilent => {
                self.block().await?;
                std::future::pending().await
            }
            BrokerBehaviour::BlocksUntilTold if self.owed.is_none() => {
                self.owed = Some(Vec::new());
                self.block().await
            }
            BrokerBehaviour::ReadsNothing => loop {
                self.send(&AMQPFrame::Heartbeat).await?;
                sleep(SIGN_OF_LIFE).await;
            },
            _ => Ok(()),
        }
    }

    async fn block(&mut self) -> anyhow::Result<()> {
        let reason = "low on memory".into();
        let blocked = connection::AMQPMethod::Blocked(connection::Blocked { reason });
        self.say(0, AMQPClass::Connection(blocked)).await
    }

    /// A message is complete.
    async fn came(&mut self, id: u16) -> anyhow::Result<()> {
        let channel = self.channels.get_mut(&id).context("it is open")?;
        let is_odd = channel.routing_key == ODD;
        let ack = basic::Ack { delivery_tag: channel.messages, multiple: false };
        let ack = AMQPFrame::Method(id, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
        let reply_text = "REFUSED - a message".into();
        match self.manner() {
            BrokerBehaviour::NeverConfirms => Ok(()),
            BrokerBehaviour::BlocksUntilTold => {
                self.owed.get_or_insert_default().push(ack);
                Ok(())
            }
            BrokerBehaviour::ConfirmsOthers if is_odd => Ok(()),
            BrokerBehaviour::BreaksOff => {
                let confirm = bytes(&ack)?;
                self.stream.write_all(&confirm[..confirm.len() / 2]).await?;
                bail!("broken off")
            }
            BrokerBehaviour::ClosesChannel(reply_code) if is_odd => {
                self.channels.entry(id).and_modify(|channel| channel.is_closing = true);
                let (class_id, method_id) = (60, 40);
                let close = channel::Close { reply_code, reply_text, class_id, method_id };
                self.say(id, AMQPClass::Channel(channel::AMQPMethod::Close(close))).await
            }
            BrokerBehaviour::ClosesConnection(reply_code) if is_odd => {
                let (class_id, method_id) = (60, 40);
                let close = connection::Close { reply_code, reply_text, class_id, method_id };
                let close = connection::AMQPMethod::Close(close);
                self.say(0, AMQPClass::Connection(close)).await?;
                let closed = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                let closed = AMQPFrame::Method(0, AMQPClass::Connection(closed));
                while self.hear().await? != closed {}
                bail!("the connection is closed")
            }
            _ => self.send(&ack).await,
        }
    }

    fn close(&mut self, id: u16) -> anyhow::Result<()> {
        ensure!(self.channels.remove(&id).is_some(), "{id} is not open");
        lock(&self.seen).open_channels -= 1;
        Ok(())
    }

    fn manner(&self) -> BrokerBehaviour {
        *lock(&self.manner)
    }

    async fn say(&mut self, channel: u16, method: AMQPClass) -> anyhow::Result<()> {
        self.send(&AMQPFrame::Method(channel, method)).await
    }

    async fn send(&mut self, frame: &AMQPFrame) -> anyhow::Result<()> {
        let bytes = bytes(frame)?;
        if self.manner() != BrokerBehaviour::Trickles {
            return Ok(self.stream.write_all(&bytes).await?);
        }
        self.stream.set_nodelay(true)?;
        for byte in bytes {
            self.stream.write_all(&[byte]).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The next frame.
    async fn hear(&mut self) -> anyhow::Result<AMQPFrame> {
        /// Type, channel and size before a frame's contents.
        const HEAD: usize = 7;
        loop {
            if let Some(&[_, _, _, a, b, c, d]) = self.received.first_chunk::<HEAD>() {
                let whole = HEAD + usize::try_from(u32::from_be_bytes([a, b, c, d]))? + 1;
                if self.received.len() >= whole {
                    let frame: Vec<u8> = self.received.drain(..whole).collect();
                    let parsed = parse_frame(frame.as_slice());
                    let (_, frame) = parsed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
                    return Ok(frame);
                }
            }
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "it is gone");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.seen).open_channels -= self.channels.len();
    }
}

fn bytes(frame: &AMQPFrame) -> anyhow::Result<Vec<u8>> {
    let written = gen_frame(frame)(Vec::new().into());
    Ok(written.map_err(|error| anyhow::anyhow!("{error:?}"))?.into_inner().0)
}
