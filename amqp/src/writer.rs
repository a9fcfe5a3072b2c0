//! The bytes on their way to the broker.

use std::io::{Error, ErrorKind};

use crate::broker::BrokerStream;
use amq_protocol::frame::AMQPFrame;
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::message::Message;
use super::wire;

/// So much is gathered before it is sent.
const GATHERED: usize = 64 << 10;

/// What is to be sent, and where to.
#[derive(Debug)]
pub(super) struct Writer {
    stream: WriteHalf<BrokerStream>,
    gathered: Vec<u8>,
    /// Bytes of a frame at the most.
    frame_max: usize,
    /// Someone who was sending gave up half-way: who knows where in a frame.
    broken_off: bool,
    /// Cancelled when the connection is over.
    over: CancellationToken,
}

impl Writer {
    pub(super) const fn new(
        stream: WriteHalf<BrokerStream>,
        frame_max: usize,
        over: CancellationToken,
    ) -> Self {
        Self { stream, gathered: Vec::new(), frame_max, broken_off: false, over }
    }

    /// Sends a frame that is no message.
    pub(super) async fn send(&mut self, frame: &AMQPFrame) -> Result<(), Error> {
        wire::put(&mut self.gathered, frame);
        self.flush().await
    }

    /// Sends the message, or a part of it and gathers the rest: [`flush`](Self::flush) sends that.
    pub(super) async fn publish(
        &mut self,
        channel: u16,
        exchange: &str,
        message: &Message,
    ) -> Result<(), Error> {
        let (routing_key, header) = (message.routing_key.as_str(), &message.content_header);
        wire::put_publish(&mut self.gathered, channel, exchange, routing_key, header);
        for part in message.body.chunks(self.frame_max - wire::AROUND) {
            wire::put_body(&mut self.gathered, channel, part);
            if self.gathered.len() >= GATHERED {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends what was gathered. A broker that reads nothing keeps this waiting, and whoever else wants to send, until the connection is
    /// over.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.broken_off, true) {
            return Err(Error::new(ErrorKind::BrokenPipe, "a message was broken off"));
        }
        let Self { stream, gathered, over, .. } = self;
        tokio::select! {
            biased;
            sent = async { stream.write_all(gathered).await?; stream.flush().await } => sent?,
            () = over.cancelled() => {
                return Err(Error::new(ErrorKind::ConnectionAborted, "the connection is over"));
            }
        }
        self.gathered.clear();
        self.broken_off = false;
        Ok(())
    }
}
