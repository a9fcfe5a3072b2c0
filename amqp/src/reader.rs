//! The task that reads frames from the broker and hands them to their channels.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::broker::BrokerStream;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::channel_state::ChannelState;
use super::confirms::Return;
use super::connection::Shared;
use super::content_header::ContentHeader;
use super::frame::{self, Frame};
use super::method::{DeliveryTags, Method, excerpt};
use super::properties::{self, MESSAGE_ID};
use super::responder::Reply;

/// Bytes to read at once while only confirms come, which are short.
pub(super) const ROOM: usize = 4 << 10;

/// Bytes to read at once while messages come.
const ROOM_FOR_MESSAGES: usize = 64 << 10;

/// The longest frame accepted, in bytes. It exceeds `frame_max`, since properties are never
/// divided: the broker passes on what other clients sent, who may have agreed on longer frames.
const LONGEST: usize = 1 << 20;

/// The longest value by which a returned message is recognised, in bytes: it is kept for each
/// message of a window.
const LONGEST_NAME: usize = 1 << 10;

const OF_NO_CHANNEL: &str = "the broker sent a message on no channel";

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: ReadHalf<BrokerStream>,
    /// Bytes that were received and not decoded yet.
    pub(super) received: BytesMut,
    pub(super) replies: mpsc::Sender<Reply>,
    /// How many bytes to make room for before the next read.
    pub(super) room: usize,
    /// The channel on which messages have arrived, and which has not been woken yet.
    pub(super) arrived: Option<Arc<ChannelState>>,
}

impl Reader {
    /// Reads until the connection ends. A broker that is silent for two heartbeats is taken for
    /// dead.
    pub(super) async fn run(mut self, heartbeat: Option<Duration>) {
        let silence_limit = heartbeat.map_or(Duration::MAX, |heartbeat| heartbeat * 2);
        let Err(reason) = self.read_frames(silence_limit).await;
        self.shared.end(&reason);
    }

    async fn read_frames(
        &mut self,
        silence_limit: Duration,
    ) -> Result<std::convert::Infallible, String> {
        loop {
            while let Some(frame) =
                frame::decode(&mut self.received, self.shared.frame_max.max(LONGEST))?
            {
                self.handle(frame)?;
            }
            if let Some(state) = self.arrived.take() {
                state.wake();
                self.room = ROOM_FOR_MESSAGES;
                self.shared.wait_for_room(&state).await;
            }
            self.received.reserve(self.room);
            let read = timeout(silence_limit, self.stream.read_buf(&mut self.received)).await;
            let read =
                read.map_err(|_| format!("the broker gave no sign of life for {silence_limit:?}"))?;
            match read {
                Ok(0) => return Err("the broker ended the connection".to_owned()),
                Ok(_) => {}
                Err(error) => {
                    return Err(format!("the connection to the broker was lost: {error}"));
                }
            }
        }
    }

    fn handle(&mut self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Heartbeat => Ok(()),
            Frame::Method(0, method) => self.handle_connection_method(&method),
            Frame::Method(id, method) => match self.shared.channel(id) {
                Some(state) => self.handle_channel_method(id, &state, method),
                None => Err(unexpected(&method)),
            },
            Frame::Header(id, content_header) => {
                let state = self.shared.channel(id).ok_or(OF_NO_CHANNEL)?;
                let mut known = state.lock();
                let Some(why) = known.returning.clone() else {
                    let arrived = known.deliveries.push_properties(&content_header)?;
                    drop(known);
                    self.arrived(arrived, state);
                    return Ok(());
                };
                let name = return_name(&content_header, known.return_header)
                    .ok_or("the broker sent properties that can't be read")?;
                if known.confirms.record_return(name, why) {
                    return Ok(());
                }
                Err("the broker returned more messages than were sent".to_owned())
            }
            Frame::Body(id, part) => {
                let state = self.shared.channel(id).ok_or(OF_NO_CHANNEL)?;
                let mut known = state.lock();
                // The body of a returned message is not needed.
                if known.returning.is_none() {
                    let arrived = known.deliveries.push_body(&part)?;
                    drop(known);
                    self.arrived(arrived, state);
                }
                Ok(())
            }
        }
    }

    /// Notes that a message is complete, if it is. Its channel is woken once all that was received
    /// is decoded.
    fn arrived(&mut self, arrived: bool, state: Arc<ChannelState>) {
        if !arrived || self.arrived.as_ref().is_some_and(|told| Arc::ptr_eq(told, &state)) {
            return;
        }
        if let Some(other) = self.arrived.replace(state) {
            other.wake();
        }
    }

    fn handle_connection_method(&self, method: &Method) -> Result<(), String> {
        match method {
            Method::Blocked => self.shared.blocked.store(true, Ordering::Relaxed),
            Method::Unblocked => self.shared.blocked.store(false, Ordering::Relaxed),
            Method::Close(reason) => {
                self.shared.closed.get_or_init(|| reason.clone());
                self.reply(Reply::ConnectionClosed)?;
                return Err(reason.text.clone());
            }
            Method::CloseOk => return Err("the connection was closed".to_owned()),
            other => return Err(unexpected(other)),
        }
        Ok(())
    }

    fn handle_channel_method(
        &self,
        id: u16,
        state: &ChannelState,
        method: Method,
    ) -> Result<(), String> {
        match method {
            Method::Ack(tags) => record_confirms(state, tags, true),
            Method::Nack(tags) => record_confirms(state, tags, false),
            Method::Deliver(info) => {
                let mut known = state.lock();
                known.returning = None;
                known.deliveries.begin(info);
            }
            Method::Cancel => {
                state.lock().deliveries.is_cancelled = true;
                state.wake();
            }
            Method::Return { reply_code, reply_text, routing_key } => {
                state.lock().returning = Some(Return { reply_code, reply_text, routing_key });
            }
            Method::ChannelClose(reason) => {
                state.lock().closed = Some(reason);
                self.reply(Reply::ChannelClosed(id))?;
                state.wake();
            }
            // The channel would be forgotten, and not told when the connection ends.
            Method::ChannelCloseOk if !state.lock().is_close_sent => {
                return Err(unexpected(&Method::ChannelCloseOk));
            }
            Method::ChannelCloseOk => {
                self.shared.remove_channel(id);
                answered(state);
            }
            Method::RequestOk => answered(state),
            Method::QueueDeclareOk(depth) => {
                state.lock().depth = depth;
                answered(state);
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    fn reply(&self, reply: Reply) -> Result<(), String> {
        let taken = self.replies.try_send(reply);
        taken.map_err(|_| "the broker asks for more replies than it takes".to_owned())
    }
}

/// Returns by what a returned message is recognised: the value of `header`, or its `message_id`;
/// `None` if its properties can't be read, or it is longer than that of any message that was sent.
fn return_name(content_header: &[u8], header: Option<&str>) -> Option<String> {
    if let Some(header) = header {
        let properties = ContentHeader::read(content_header)?;
        let name = properties.header_text(header)?;
        return (name.len() <= LONGEST_NAME).then(|| name.to_owned());
    }
    let message_id = properties::text(content_header, MESSAGE_ID)?;
    Some(String::from_utf8_lossy(message_id.unwrap_or_default()).into_owned())
}

fn record_confirms(state: &ChannelState, tags: DeliveryTags, confirmed: bool) {
    let mut known = state.lock();
    known.confirms.record(tags.tag, tags.multiple, confirmed);
    if known.confirms.are_complete() {
        drop(known);
        state.wake();
    }
}

fn answered(state: &ChannelState) {
    state.lock().answered = true;
    state.wake();
}

fn unexpected(method: &Method) -> String {
    format!("the broker sent what nobody expects: {}", excerpt(&format!("{method:?}")))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;
    use amq_protocol::types::{AMQPValue, FieldTable};

    use super::*;

    #[test]
    fn a_returned_message_has_no_longer_name_than_any_that_was_sent() {
        let named = |size: usize| {
            let mut headers = FieldTable::default();
            headers.insert("x".into(), AMQPValue::LongString("n".repeat(size).into()));
            let properties = AMQPProperties::default().with_headers(headers);
            return_name(&frame::content_header(0, &properties), Some("x"))
        };
        assert_eq!(named(LONGEST_NAME), Some("n".repeat(LONGEST_NAME)));
        assert_eq!(named(LONGEST_NAME + 1), None);
    }

    #[test]
    fn of_a_method_that_nobody_expects_no_more_is_quoted_than_a_sentence_has_room_for() {
        let said = unexpected(&Method::Start { mechanisms: "\u{e9}".repeat(100_000) });
        assert!(said.starts_with("the broker sent what nobody expects: Start"), "{said}");
        assert!(said.len() < 400, "{}", said.len());
    }
}
