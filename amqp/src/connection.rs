//! The connection, and what its parts share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::broker::{Address, BrokerUrl};
use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, connection};
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::channel::State;
use super::heard::Goodbye;
use super::writer::Writer;
use super::{handshake, keeper, reader};

/// Answers that wait for their turn to be sent. The broker asks for one at a time on each channel.
const ANSWERS: usize = 64;

/// A connection to the broker. It ends when this is dropped, with or without a goodbye.
#[derive(Debug)]
pub struct Connection {
    pub(super) shared: Arc<Shared>,
    address: Address,
    name: String,
    wanted_frame_max: u32,
    /// The [`reader`] and the [`keeper`], which end with this.
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Connects to the first broker of `url` that answers, under `name`, which the management UI shows. Frames are to have `frame_max`
    /// bytes at the most, unless the URL says otherwise or the broker wants less: headers have to fit into one, bodies take several.
    ///
    /// # Errors
    /// Why none does, in words without secrets.
    pub async fn open(url: &BrokerUrl, name: &str, frame_max: u32) -> anyhow::Result<Self> {
        url.open(
            |address| Self::at(address, name, frame_max),
            |connection| {
                let over = connection.shared.over.clone();
                Box::new(move || !over.is_cancelled())
            },
        )
        .await
    }

    /// One more connection to the same broker, on the same terms.
    ///
    /// # Errors
    /// Why there is none, in words without secrets.
    pub async fn another(&self) -> anyhow::Result<Self> {
        Self::at(self.address.clone(), &self.name, self.wanted_frame_max).await
    }

    async fn at(address: Address, name: &str, wanted_frame_max: u32) -> anyhow::Result<Self> {
        let stream = address.stream().await?;
        let agreed = handshake::shake_hands(stream, address.uri(), name, wanted_frame_max).await?;
        let (shared, _tasks) = Self::start(agreed);
        Ok(Self { shared, address, name: name.to_owned(), wanted_frame_max, _tasks })
    }

    fn start(agreed: handshake::Agreed) -> (Arc<Shared>, JoinSet<()>) {
        let handshake::Agreed { stream, received, frame_max, channel_max, heartbeat } = agreed;
        let (reading, writing) = tokio::io::split(stream);
        let (answers, to_answer) = mpsc::channel(ANSWERS);
        let (closing, to_close) = mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let shared = Arc::new(Shared {
            writer: AsyncMutex::new(Writer::new(writing, frame_max, over.clone())),
            channels: Mutex::default(),
            freed: Notify::new(),
            closing,
            blocked: AtomicBool::new(false),
            ended: OnceLock::new(),
            closed: OnceLock::new(),
            over,
            frame_max,
            channel_max,
        });
        let mut tasks = JoinSet::new();
        let reader = reader::Reader {
            shared: Arc::clone(&shared),
            stream: reading,
            received,
            answers,
            room: reader::ROOM,
            arrived: None,
        };
        tasks.spawn(reader.read(heartbeat));
        tasks.spawn(keeper::keep(Arc::clone(&shared), to_answer, to_close, heartbeat));
        (shared, tasks)
    }

    /// Why it is over, if it is.
    pub fn ended(&self) -> Option<&str> {
        self.shared.ended()
    }

    /// Whether the broker has told publishers to wait (<https://www.rabbitmq.com/docs/alarms>). A connection that has ended is not blocked.
    pub fn is_blocked(&self) -> bool {
        self.shared.ended().is_none() && self.shared.blocked.load(Ordering::Relaxed)
    }

    /// The longest frame that both sides agreed on, in bytes.
    pub fn frame_max(&self) -> usize {
        self.shared.frame_max
    }

    /// Says goodbye, and waits until the broker has heard of it.
    pub async fn close(&self) {
        const SUCCESS: u16 = 200;
        let goodbye = connection::AMQPMethod::Close(connection::Close {
            reply_code: SUCCESS,
            reply_text: "OK".into(),
            class_id: 0,
            method_id: 0,
        });
        if self.shared.send(0, AMQPClass::Connection(goodbye)).await.is_ok() {
            self.shared.over.cancelled().await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.end("the connection was given up");
    }
}

/// What the parts of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) writer: AsyncMutex<Writer>,
    /// The channels that are open, or of whose end the broker does not know yet.
    channels: Mutex<HashMap<u16, Arc<State>>>,
    /// The number of a channel is free again.
    freed: Notify,
    /// Channels that nobody uses any more, for the [`keeper`] to close.
    closing: mpsc::UnboundedSender<(u16, Arc<State>)>,
    pub(super) blocked: AtomicBool,
    ended: OnceLock<String>,
    /// What the broker said when it closed the connection.
    pub(super) closed: OnceLock<Goodbye>,
    over: CancellationToken,
    pub(super) frame_max: usize,
    channel_max: u16,
}

impl Shared {
    /// Why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }

    /// The connection is over, for this reason unless there was one before it.
    pub(super) fn end(&self, reason: &str) {
        self.ended.get_or_init(|| reason.to_owned());
        self.over.cancel();
        for state in self.channels().values() {
            state.wake();
        }
    }

    /// Waits until enough of a channel's messages are taken, or the connection is over.
    pub(super) async fn wait_for_room(&self, state: &State) {
        while !state.lock().deliveries.have_room() {
            tokio::select! {
                () = state.room.notified() => (),
                () = self.over.cancelled() => return,
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

    /// What was to be sent was not: the connection is over. Returns why.
    pub(super) fn failed(&self, error: &std::io::Error) -> String {
        self.end(&format!("the connection to the broker was lost: {error}"));
        self.ended().unwrap_or_default().to_owned()
    }

    /// A number for a new channel. Where as many are open as the broker allows, those that are being closed are waited for.
    ///
    /// # Errors
    /// When none of them is.
    pub(super) async fn add_channel(&self, state: &Arc<State>) -> Result<u16, String> {
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
                    return Err(format!(
                        "the broker allows {} channels, and all are open",
                        self.channel_max
                    ));
                }
            }
            tokio::select! {
                () = freed => (),
                () = self.over.cancelled() => {
                    return Err(self.ended().unwrap_or_default().to_owned());
                }
            }
        }
    }

    pub(super) fn channel(&self, id: u16) -> Option<Arc<State>> {
        self.channels().get(&id).cloned()
    }

    /// Has the channel closed, unless it is closed already.
    pub(super) fn close_channel(&self, id: u16, state: &Arc<State>) {
        let mut known = state.lock();
        if known.is_requested {
            known.is_closing = true;
            // Nobody takes it once the connection is over, and its channels with it.
            self.closing.send((id, Arc::clone(state))).ok();
        } else {
            drop(known);
            self.remove_channel(id);
        }
    }

    /// Both sides know that the channel is closed: its number is free.
    pub(super) fn remove_channel(&self, id: u16) {
        self.channels().remove(&id);
        self.freed.notify_waiters();
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<u16, Arc<State>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
