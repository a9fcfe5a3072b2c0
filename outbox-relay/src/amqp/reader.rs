//! What the broker says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use service_kit::broker::BrokerStream;
use tokio::io::{AsyncReadExt as _, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::channel::State;
use super::confirms::Return;
use super::connection::Shared;
use super::heard::{Heard, Saying};
use super::keeper::Answer;
use super::wire::{self, Frame};

/// Room for what is read at once, in bytes; confirms are short.
const ROOM: usize = 4 << 10;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: ReadHalf<BrokerStream>,
    /// What has come and was not looked at.
    pub(super) received: BytesMut,
    pub(super) answers: mpsc::Sender<Answer>,
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
            while let Some(frame) = wire::take(&mut self.received, self.shared.frame_max)? {
                self.hear(frame)?;
            }
            self.received.reserve(ROOM);
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

    fn hear(&self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Heartbeat | Frame::Body => Ok(()),
            Frame::Method(0, heard) => self.hear_of_connection(&heard),
            Frame::Method(id, heard) => match self.shared.channel(id) {
                Some(state) => self.hear_of_channel(id, &state, heard),
                None => Err(unexpected(&heard)),
            },
            Frame::Header(id, message_id) => {
                let state = self.shared.channel(id).ok_or("the broker sent a message")?;
                let mut known = state.lock();
                let why = known.returning.take().ok_or("the broker sent a message")?;
                if known.confirms.give_back(message_id, why) {
                    return Ok(());
                }
                Err("the broker returned more messages than were sent".to_owned())
            }
        }
    }

    fn hear_of_connection(&self, heard: &Heard) -> Result<(), String> {
        match heard {
            Heard::Blocked => self.shared.blocked.store(true, Ordering::Relaxed),
            Heard::Unblocked => self.shared.blocked.store(false, Ordering::Relaxed),
            Heard::Close(goodbye) => {
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
            Heard::ChannelOpenOk | Heard::SelectOk | Heard::DeclareOk => answered(state),
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
    format!("the broker sent what a publisher does not expect: {heard:?}")
}
