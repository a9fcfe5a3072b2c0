//! A connection to RabbitMQ, and the state that its tasks share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::broker::{Address, BrokerStream, BrokerUrl};
use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, connection};
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::channel_state::ChannelState;
use super::failure::Failure;
use super::method::CloseReason;
use super::writer::Writer;
use super::{handshake, reader, responder};

/// How many replies may wait to be sent. The broker asks for one at a time on each channel.
const REPLIES: usize = 64;

/// A connection to the broker. It ends when this is dropped.
#[derive(Debug)]
pub struct Connection {
    pub(super) shared: Arc<Shared>,
    address: Address,
    name: String,
    wanted_frame_max: u32,
    /// The [`reader`] and the [`responder`], which end with this.
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Connects to the first broker of `url` that answers, under `name`, which the management UI
    /// shows. Frames have at most `frame_max` bytes, unless the URL says otherwise or the broker
    /// wants less: headers have to fit into one, bodies take several.
    ///
    /// # Errors
    /// Why none of them answers, in words without secrets.
    pub async fn open(url: &BrokerUrl, name: &str, frame_max: u32) -> anyhow::Result<Self> {
        url.open(
            |address| Self::at(address, name, frame_max),
            |connection| {
                let closed_token = connection.shared.closed_token.clone();
                Box::new(move || !closed_token.is_cancelled())
            },
        )
        .await
    }

    /// Opens another connection to the same broker, with the same limits.
    ///
    /// # Errors
    /// Why it failed, in words without secrets.
    pub async fn another(&self) -> anyhow::Result<Self> {
        Self::at(self.address.clone(), &self.name, self.wanted_frame_max).await
    }

    async fn at(address: Address, name: &str, wanted_frame_max: u32) -> anyhow::Result<Self> {
        let stream = address.stream().await?;
        Self::over(stream, address, name, wanted_frame_max).await
    }

    /// Connects over `stream`, which leads to the broker at `address`.
    ///
    /// # Errors
    /// The broker's reason to refuse.
    pub async fn over(
        stream: BrokerStream,
        address: Address,
        name: &str,
        wanted_frame_max: u32,
    ) -> anyhow::Result<Self> {
        let agreed = handshake::shake_hands(stream, address.uri(), name, wanted_frame_max).await?;
        let (shared, _tasks) = Self::start(agreed);
        Ok(Self { shared, address, name: name.to_owned(), wanted_frame_max, _tasks })
    }

    fn start(agreed: handshake::Agreed) -> (Arc<Shared>, JoinSet<()>) {
        let handshake::Agreed { stream, received, frame_max, channel_max, heartbeat } = agreed;
        let (reading, writing) = tokio::io::split(stream);
        let (replies, to_reply) = mpsc::channel(REPLIES);
        let (closing, to_close) = mpsc::unbounded_channel();
        let closed_token = CancellationToken::new();
        let shared = Arc::new(Shared {
            writer: AsyncMutex::new(Writer::new(writing, frame_max, closed_token.clone())),
            channels: Mutex::default(),
            freed: Notify::new(),
            closing,
            blocked: AtomicBool::new(false),
            ended: OnceLock::new(),
            closed: OnceLock::new(),
            closed_token,
            frame_max,
            channel_max,
        });
        let mut tasks = JoinSet::new();
        let reader = reader::Reader {
            shared: Arc::clone(&shared),
            stream: reading,
            received,
            replies,
            room: reader::ROOM,
            arrived: None,
        };
        tasks.spawn(reader.run(heartbeat));
        tasks.spawn(responder::run(Arc::clone(&shared), to_reply, to_close, heartbeat));
        (shared, tasks)
    }

    /// Returns why the connection ended, if it did.
    pub fn ended(&self) -> Option<&str> {
        self.shared.ended()
    }

    /// Returns true if the broker blocks publishers (<https://www.rabbitmq.com/docs/alarms>). A
    /// connection that has ended is not blocked.
    pub fn is_blocked(&self) -> bool {
        self.shared.ended().is_none() && self.shared.blocked.load(Ordering::Relaxed)
    }

    /// Returns the longest frame that both sides agreed on, in bytes.
    pub fn frame_max(&self) -> usize {
        self.shared.frame_max
    }

    /// Closes the connection and waits for the broker's `close-ok`.
    pub async fn close(&self) {
        const SUCCESS: u16 = 200;
        let close = connection::AMQPMethod::Close(connection::Close {
            reply_code: SUCCESS,
            reply_text: "OK".into(),
            class_id: 0,
            method_id: 0,
        });
        if self.shared.send(0, AMQPClass::Connection(close)).await.is_ok() {
            self.shared.closed_token.cancelled().await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.end("the connection was given up");
    }
}

/// The state that the tasks of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) writer: AsyncMutex<Writer>,
    /// The channels that are open, or whose close is not finished.
    channels: Mutex<HashMap<u16, Arc<ChannelState>>>,
    /// Notified when a channel's number becomes free.
    freed: Notify,
    /// Channels that nobody uses any more, for the [`responder`] to close.
    closing: mpsc::UnboundedSender<(u16, Arc<ChannelState>)>,
    pub(super) blocked: AtomicBool,
    ended: OnceLock<String>,
    /// Why the broker closed the connection, if it did.
    pub(super) closed: OnceLock<CloseReason>,
    closed_token: CancellationToken,
    pub(super) frame_max: usize,
    channel_max: u16,
}

impl Shared {
    /// Returns why the connection ended, if it did.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }

    /// Ends the connection with `reason`, unless it has ended already.
    pub(super) fn end(&self, reason: &str) {
        self.ended.get_or_init(|| reason.to_owned());
        self.closed_token.cancel();
        for state in self.channels().values() {
            state.wake();
        }
    }

    /// Waits until the channel has room for more messages, or the connection ends.
    pub(super) async fn wait_for_room(&self, state: &ChannelState) {
        while !state.lock().deliveries.have_room() {
            tokio::select! {
                () = state.room.notified() => (),
                () = self.closed_token.cancelled() => return,
            }
        }
    }

    /// Sends a method.
    ///
    /// # Errors
    /// Why the connection is over.
    pub(super) async fn send(&self, channel: u16, method: AMQPClass) -> Result<(), String> {
        self.send_frame(&AMQPFrame::Method(channel, method)).await
    }

    /// Sends a frame that is no message.
    ///
    /// # Errors
    /// Why the connection is over.
    pub(super) async fn send_frame(&self, frame: &AMQPFrame) -> Result<(), String> {
        let sent = self.writer.lock().await.send(frame).await;
        sent.map_err(|error| self.failed(&error))
    }

    /// Ends the connection after a failed write. Returns why it ended.
    pub(super) fn failed(&self, error: &std::io::Error) -> String {
        self.end(&format!("the connection to the broker was lost: {error}"));
        self.ended().unwrap_or_default().to_owned()
    }

    /// Returns a number for a new channel. If as many are open as the broker allows, waits for one
    /// that is being closed.
    ///
    /// # Errors
    /// When none is being closed.
    pub(super) async fn add_channel(&self, state: &Arc<ChannelState>) -> Result<u16, Failure> {
        loop {
            let freed = self.freed.notified();
            {
                let mut channels = self.channels();
                let free = (1..=self.channel_max).find(|id| !channels.contains_key(id));
                if let Some(id) = free {
                    channels.insert(id, Arc::clone(state));
                    return Ok(id);
                }
                if !channels.values().any(|channel| channel.lock().is_ending()) {
                    return Err(Failure::NoFreeChannel(self.channel_max));
                }
            }
            tokio::select! {
                () = freed => (),
                () = self.closed_token.cancelled() => {
                    return Err(Failure::Lost(self.ended().unwrap_or_default().to_owned()));
                }
            }
        }
    }

    pub(super) fn channel(&self, id: u16) -> Option<Arc<ChannelState>> {
        self.channels().get(&id).cloned()
    }

    /// Has the channel closed, unless it is closed already.
    pub(super) fn close_channel(&self, id: u16, state: &Arc<ChannelState>) {
        let mut known = state.lock();
        if known.is_requested {
            known.is_closing = true;
            // Fails only once the connection has ended, and its channels with it.
            self.closing.send((id, Arc::clone(state))).ok();
        } else {
            drop(known);
            self.remove_channel(id);
        }
    }

    /// Frees the number of a channel that both sides have closed.
    pub(super) fn remove_channel(&self, id: u16) {
        self.channels().remove(&id);
        self.freed.notify_waiters();
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<u16, Arc<ChannelState>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
