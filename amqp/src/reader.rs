//! What the broker says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::broker::BrokerStream;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::channel::State;
use super::confirms::Return;
use super::connection::Shared;
use super::heard::{Heard, Saying};
use super::keeper::Answer;
use super::properties::{self, MESSAGE_ID};
use super::wire::{self, Frame};

/// Room for what is read at once, in bytes; confirms are short.
pub(super) const ROOM: usize = 4 << 10;

/// The same as soon as messages come.
const ROOM_FOR_MESSAGES: usize = 64 << 10;

/// Bytes of a frame that comes, at the most. Properties are never divided: a broker hands on what others sent, who may have agreed on
/// longer frames.
const LONGEST: usize = 1 << 20;

const OF_NO_CHANNEL: &str = "the broker sent a message on no channel";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: ReadHalf<BrokerStream>,
    /// What has come and was not looked at.
    pub(super) received: BytesMut,
    pub(super) answers: mpsc::Sender<Answer>,
    /// Room for what is read next.
    pub(super) room: usize,
    /// The channel that messages have come on, whose user is not told yet.
    pub(super) arrived: Option<Arc<State>>,
}

impl Reader {
    /// Reads until the connection is over. A broker that is silent for twice `heartbeat` is taken for dead.
    pub(super) async fn read(mut self, heartbeat: Option<Duration>) {
        let patience = heartbeat.map_or(Duration::MAX, |heartbeat| heartbeat * 2);
        let Err(reason) = self.read_on(patience).await;
        self.shared.end(&reason);
    }

    async fn read_on(&mut self, patience: Duration) -> Result<std::convert::Infallible, String> {
        loop {
            while let Some(frame) =
                wire::take(&mut self.received, self.shared.frame_max.max(LONGEST))?
            {
                self.hear(frame)?;
            }
            if let Some(state) = self.arrived.take() {
                state.wake();
                self.room = ROOM_FOR_MESSAGES;
                self.shared.wait_for_room(&state).await;
            }
            self.received.reserve(self.room);
            let read = timeout(patience, self.stream.read_buf(&mut self.received)).await;
            let read =
                read.map_err(|_| format!("the broker gave no sign of life for {patience:?}"))?;
            match read {
                Ok(0) => return Err("the broker ended the connection".to_owned()),
                Ok(_) => {}
                Err(error) => {
                    return Err(format!("the connection to the broker was lost: {error}"));
                }
            }
        }
    }

    fn hear(&mut self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Heartbeat => Ok(()),
            Frame::Method(0, heard) => self.hear_of_connection(&heard),
            Frame::Method(id, heard) => match self.shared.channel(id) {
                Some(state) => self.hear_of_channel(id, &state, heard),
                None => Err(unexpected(&heard)),
            },
            Frame::Header(id, content_header) => {
                let state = self.shared.channel(id).ok_or(OF_NO_CHANNEL)?;
                let mut known = state.lock();
                let Some(why) = known.returning.clone() else {
                    let arrived = known.deliveries.properties(&content_header)?;
                    drop(known);
                    self.arrived(arrived, state);
                    return Ok(());
                };
                let message_id = properties::text(&content_header, MESSAGE_ID);
                let message_id =
                    message_id.ok_or("the broker sent properties that can't be read")?;
                let message_id =
                    String::from_utf8_lossy(message_id.unwrap_or_default()).into_owned();
                if known.confirms.give_back(message_id, why) {
                    return Ok(());
                }
                Err("the broker returned more messages than were sent".to_owned())
            }
            Frame::Body(id, part) => {
                let state = self.shared.channel(id).ok_or(OF_NO_CHANNEL)?;
                let mut known = state.lock();
                // Of what comes back nothing is needed.
                if known.returning.is_none() {
                    let arrived = known.deliveries.body(&part)?;
                    drop(known);
                    self.arrived(arrived, state);
                }
                Ok(())
            }
        }
    }

    /// A message may have arrived as a whole. Its channel's user is told when all that was read is looked at.
    fn arrived(&mut self, arrived: bool, state: Arc<State>) {
        if !arrived || self.arrived.as_ref().is_some_and(|told| Arc::ptr_eq(told, &state)) {
            return;
        }
        if let Some(other) = self.arrived.replace(state) {
            other.wake();
        }
    }

    fn hear_of_connection(&self, heard: &Heard) -> Result<(), String> {
        match heard {
            Heard::Blocked => self.shared.blocked.store(true, Ordering::Relaxed),
            Heard::Unblocked => self.shared.blocked.store(false, Ordering::Relaxed),
            Heard::Close(goodbye) => {
                self.shared.closed.get_or_init(|| goodbye.clone());
                self.answer(Answer::ConnectionClosed)?;
                return Err(goodbye.said.clone());
            }
            Heard::CloseOk => return Err("the connection was closed".to_owned()),
            other => return Err(unexpected(other)),
        }
        Ok(())
    }

    fn hear_of_channel(&self, id: u16, state: &State, heard: Heard) -> Result<(), String> {
        match heard {
            Heard::Ack(saying) => tell(state, saying, true),
            Heard::Nack(saying) => tell(state, saying, false),
            Heard::Deliver(envelope) => {
                let mut known = state.lock();
                known.returning = None;
                known.deliveries.begin(envelope);
            }
            Heard::Cancel => {
                state.lock().deliveries.is_cancelled = true;
                state.wake();
            }
            Heard::Return { reply_code, reply_text, routing_key } => {
                state.lock().returning = Some(Return { reply_code, reply_text, routing_key });
            }
            Heard::ChannelClose(goodbye) => {
                state.lock().closed = Some(goodbye);
                self.answer(Answer::ChannelClosed(id))?;
                state.wake();
            }
            Heard::ChannelCloseOk => {
                self.shared.remove_channel(id);
                answered(state);
            }
            Heard::Done => answered(state),
            Heard::Queue(depth) => {
                state.lock().depth = depth;
                answered(state);
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn answer(&self, answer: Answer) -> Result<(), String> {
        let taken = self.answers.try_send(answer);
        taken.map_err(|_| "the broker asks for more answers than it takes".to_owned())
    }
}

fn tell(state: &State, saying: Saying, confirmed: bool) {
    let mut known = state.lock();
    known.confirms.tell(saying.tag, saying.multiple, confirmed);
    if known.confirms.are_complete() {
        drop(known);
        state.wake();
    }
}

fn answered(state: &State) {
    state.lock().answered = true;
    state.wake();
}

fn unexpected(heard: &Heard) -> String {
    format!("the broker sent what nobody expects: {heard:?}")
}
