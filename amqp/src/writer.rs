//! The writing half of a connection.

use std::io::{Error, ErrorKind};

use crate::broker::BrokerStream;
use amq_protocol::frame::AMQPFrame;
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::frame;
use super::message::Message;

/// Bytes that are buffered before they are sent.
const BUFFER_SIZE: usize = 64 << 10;

/// The writing half of a connection, with a buffer.
#[derive(Debug)]
pub(super) struct Writer {
    stream: WriteHalf<BrokerStream>,
    buffer: Vec<u8>,
    /// The longest frame, in bytes.
    frame_max: usize,
    /// A flush was dropped half-way, possibly within a frame: nothing further can be sent.
    is_interrupted: bool,
    /// Cancelled when the connection ends.
    closed: CancellationToken,
}

impl Writer {
    pub(super) const fn new(
        stream: WriteHalf<BrokerStream>,
        frame_max: usize,
        closed: CancellationToken,
    ) -> Self {
        Self { stream, buffer: Vec::new(), frame_max, is_interrupted: false, closed }
    }

    /// Sends a frame that is not part of a message.
    pub(super) async fn send(&mut self, frame: &AMQPFrame) -> Result<(), Error> {
        frame::encode(&mut self.buffer, frame);
        self.flush().await
    }

    /// Buffers the message and sends the buffer whenever it is full; [`flush`](Self::flush) sends
    /// the rest.
    pub(super) async fn publish(
        &mut self,
        channel: u16,
        exchange: &str,
        message: &Message,
    ) -> Result<(), Error> {
        let (routing_key, header) = (message.routing_key.as_str(), &message.content_header);
        frame::encode_publish(&mut self.buffer, channel, exchange, routing_key, header);
        for part in message.body.chunks(self.frame_max - frame::OVERHEAD) {
            frame::encode_body(&mut self.buffer, channel, part);
            if self.buffer.len() >= BUFFER_SIZE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends the buffer. A broker that reads nothing blocks this, and all others that want to send,
    /// until the connection ends.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.is_interrupted, true) {
            return Err(Error::new(ErrorKind::BrokenPipe, "a message was broken off"));
        }
        let Self { stream, buffer, closed, .. } = self;
        tokio::select! {
            biased;
            sent = async { stream.write_all(buffer).await?; stream.flush().await } => sent?,
            () = closed.cancelled() => {
                return Err(Error::new(ErrorKind::ConnectionAborted, "the connection is over"));
            }
        }
        self.buffer.clear();
        self.is_interrupted = false;
        Ok(())
    }
}
