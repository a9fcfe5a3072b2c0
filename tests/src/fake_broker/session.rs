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

use super::{AFFECTED_TYPE, BrokerBehaviour, Observed, ReceivedMessage, lock};

/// The heartbeat interval.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(200);

/// See the [module](self).
pub(super) struct Session {
    stream: TcpStream,
    /// Received bytes that no frame was read from yet.
    buffer: Vec<u8>,
    behaviour: Arc<Mutex<BrokerBehaviour>>,
    observed: Arc<Mutex<Observed>>,
    connection: usize,
    channels: HashMap<u16, Channel>,
    /// The confirms withheld while publishers are blocked; none before the first message.
    withheld_confirms: Option<Vec<AMQPFrame>>,
}

/// A channel, and the message being received on it.
#[derive(Default)]
struct Channel {
    /// The tag of the latest message.
    delivery_tag: u64,
    routing_key: String,
    /// The bytes of the body that have not arrived yet.
    missing_bytes: u64,
    /// Frames that arrive before the publisher's `channel.close-ok` are ignored.
    is_closing: bool,
}

impl Session {
    pub(super) fn new(
        stream: TcpStream,
        behaviour: Arc<Mutex<BrokerBehaviour>>,
        observed: Arc<Mutex<Observed>>,
        connection: usize,
    ) -> Self {
        let (buffer, channels) = (Vec::new(), HashMap::new());
        Self { stream, buffer, behaviour, observed, connection, channels, withheld_confirms: None }
    }

    pub(super) async fn serve(mut self) -> anyhow::Result<()> {
        if self.behaviour() == BrokerBehaviour::Silent {
            return std::future::pending().await;
        }
        self.handshake().await?;
        let mut heartbeats = interval(HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                biased;
                _ = heartbeats.tick() => self.heartbeat().await?,
                frame = self.read_frame() => self.handle(frame?).await?,
            }
        }
    }

    async fn heartbeat(&mut self) -> anyhow::Result<()> {
        self.send(&AMQPFrame::Heartbeat).await?;
        if self.behaviour() == BrokerBehaviour::BlocksUntilChanged {
            return Ok(());
        }
        if let Some(confirms) = self.withheld_confirms.take() {
            let unblocked = connection::AMQPMethod::Unblocked(connection::Unblocked {});
            self.send_method(0, AMQPClass::Connection(unblocked)).await?;
            for confirm in confirms {
                self.send(&confirm).await?;
            }
        }
        Ok(())
    }

    async fn handle(&mut self, frame: AMQPFrame) -> anyhow::Result<()> {
        match frame {
            AMQPFrame::Heartbeat => Ok(()),
            AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(_))) => {
                let closed = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.send_method(0, AMQPClass::Connection(closed)).await
            }
            AMQPFrame::Method(id, AMQPClass::Channel(method)) => match method {
                channel::AMQPMethod::Open(_) => {
                    ensure!(self.channels.insert(id, Channel::default()).is_none(), "{id} is open");
                    lock(&self.observed).open_channels += 1;
                    let open = channel::AMQPMethod::OpenOk(channel::OpenOk {});
                    self.send_method(id, AMQPClass::Channel(open)).await
                }
                channel::AMQPMethod::Close(_) => {
                    self.close(id)?;
                    let closed = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                    self.send_method(id, AMQPClass::Channel(closed)).await
                }
                channel::AMQPMethod::CloseOk(_) => self.close(id),
                other => bail!("unexpected frame {other:?}"),
            },
            AMQPFrame::Method(id, AMQPClass::Exchange(exchange::AMQPMethod::Declare(_))) => {
                let declared = exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {});
                self.send_method(id, AMQPClass::Exchange(declared)).await
            }
            AMQPFrame::Method(id, AMQPClass::Confirm(confirm::AMQPMethod::Select(_))) => {
                let selected = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
                self.send_method(id, AMQPClass::Confirm(selected)).await
            }
            AMQPFrame::Method(..) | AMQPFrame::Header(..) | AMQPFrame::Body(..) => {
                self.handle_publish(frame).await
            }
            other => bail!("unexpected frame {other:?}"),
        }
    }

    async fn handle_publish(&mut self, frame: AMQPFrame) -> anyhow::Result<()> {
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
                channel.delivery_tag += 1;
                channel.missing_bytes = header.body_size;
                let message_id = header.properties.message_id().as_ref();
                lock(&self.observed).messages.push(ReceivedMessage {
                    connection: self.connection,
                    message_id: message_id.map(ToString::to_string).unwrap_or_default(),
                    routing_key: channel.routing_key.clone(),
                });
                self.message_started().await
            }
            AMQPFrame::Body(_, part) => {
                channel.missing_bytes -= part.len() as u64;
                if channel.missing_bytes > 0 { Ok(()) } else { self.message_completed(id).await }
            }
            other => bail!("unexpected frame {other:?}"),
        }
    }

    async fn handshake(&mut self) -> anyhow::Result<()> {
        // The protocol's header.
        self.stream.read_exact(&mut [0; 8]).await?;
        let start = connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: FieldTable::default(),
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        });
        self.send_method(0, AMQPClass::Connection(start)).await?;
        self.read_frame().await?;
        let tune = connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 1 };
        self.send_method(0, AMQPClass::Connection(connection::AMQPMethod::Tune(tune))).await?;
        // `connection.tune-ok` and `connection.open`.
        self.read_frame().await?;
        self.read_frame().await?;
        let open = connection::AMQPMethod::OpenOk(connection::OpenOk {});
        self.send_method(0, AMQPClass::Connection(open)).await
    }

    /// Called at the header of a message.
    async fn message_started(&mut self) -> anyhow::Result<()> {
        match self.behaviour() {
            BrokerBehaviour::BlocksAndFallsSilent => {
                self.block().await?;
                std::future::pending().await
            }
            BrokerBehaviour::BlocksUntilChanged if self.withheld_confirms.is_none() => {
                self.withheld_confirms = Some(Vec::new());
                self.block().await
            }
            BrokerBehaviour::ReadsNothing => loop {
                self.send(&AMQPFrame::Heartbeat).await?;
                sleep(HEARTBEAT_INTERVAL).await;
            },
            _ => Ok(()),
        }
    }

    async fn block(&mut self) -> anyhow::Result<()> {
        let reason = "low on memory".into();
        let blocked = connection::AMQPMethod::Blocked(connection::Blocked { reason });
        self.send_method(0, AMQPClass::Connection(blocked)).await
    }

    /// Called once the body of a message is complete.
    async fn message_completed(&mut self, id: u16) -> anyhow::Result<()> {
        let channel = self.channels.get_mut(&id).context("the channel is open")?;
        let is_affected = channel.routing_key == AFFECTED_TYPE;
        let ack = basic::Ack { delivery_tag: channel.delivery_tag, multiple: false };
        let ack = AMQPFrame::Method(id, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
        let reply_text = "REFUSED - a message".into();
        match self.behaviour() {
            BrokerBehaviour::NeverConfirms => Ok(()),
            BrokerBehaviour::BlocksUntilChanged => {
                self.withheld_confirms.get_or_insert_default().push(ack);
                Ok(())
            }
            BrokerBehaviour::ConfirmsOthers if is_affected => Ok(()),
            BrokerBehaviour::DisconnectsDuringConfirm => {
                let confirm = bytes(&ack)?;
                self.stream.write_all(&confirm[..confirm.len() / 2]).await?;
                bail!("disconnected")
            }
            BrokerBehaviour::ClosesChannel(reply_code) if is_affected => {
                self.channels.entry(id).and_modify(|channel| channel.is_closing = true);
                let (class_id, method_id) = (60, 40);
                let close = channel::Close { reply_code, reply_text, class_id, method_id };
                self.send_method(id, AMQPClass::Channel(channel::AMQPMethod::Close(close))).await
            }
            BrokerBehaviour::ClosesConnection(reply_code) if is_affected => {
                let (class_id, method_id) = (60, 40);
                let close = connection::Close { reply_code, reply_text, class_id, method_id };
                let close = connection::AMQPMethod::Close(close);
                self.send_method(0, AMQPClass::Connection(close)).await?;
                let closed = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                let closed = AMQPFrame::Method(0, AMQPClass::Connection(closed));
                while self.read_frame().await? != closed {}
                bail!("the connection is closed")
            }
            _ => self.send(&ack).await,
        }
    }

    fn close(&mut self, id: u16) -> anyhow::Result<()> {
        ensure!(self.channels.remove(&id).is_some(), "{id} is not open");
        lock(&self.observed).open_channels -= 1;
        Ok(())
    }

    fn behaviour(&self) -> BrokerBehaviour {
        *lock(&self.behaviour)
    }

    async fn send_method(&mut self, channel: u16, method: AMQPClass) -> anyhow::Result<()> {
        self.send(&AMQPFrame::Method(channel, method)).await
    }

    async fn send(&mut self, frame: &AMQPFrame) -> anyhow::Result<()> {
        let bytes = bytes(frame)?;
        if self.behaviour() != BrokerBehaviour::Trickles {
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
    async fn read_frame(&mut self) -> anyhow::Result<AMQPFrame> {
        /// The size of type, channel and size before a frame's contents.
        const HEADER: usize = 7;
        loop {
            if let Some(&[_, _, _, a, b, c, d]) = self.buffer.first_chunk::<HEADER>() {
                let whole = HEADER + usize::try_from(u32::from_be_bytes([a, b, c, d]))? + 1;
                if self.buffer.len() >= whole {
                    let frame: Vec<u8> = self.buffer.drain(..whole).collect();
                    let parsed = parse_frame(frame.as_slice());
                    let (_, frame) = parsed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
                    return Ok(frame);
                }
            }
            ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the client has disconnected"
            );
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.observed).open_channels -= self.channels.len();
    }
}

fn bytes(frame: &AMQPFrame) -> anyhow::Result<Vec<u8>> {
    let written = gen_frame(frame)(Vec::new().into());
    Ok(written.map_err(|error| anyhow::anyhow!("{error:?}"))?.into_inner().0)
}
