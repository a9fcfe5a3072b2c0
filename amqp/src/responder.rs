//! The task that answers the broker, closes dropped channels, and sends heartbeats.

use std::sync::Arc;
use std::time::Duration;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, connection};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

use super::channel;
use super::channel_state::ChannelState;
use super::connection::Shared;

/// A month: the period of heartbeats for a connection without any.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A reply that the broker waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// It closed this channel.
    ChannelClosed(u16),
    /// It closed the connection.
    ConnectionClosed,
}

/// Runs until the connection ends; sends a heartbeat every half `heartbeat`.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut replies: mpsc::Receiver<Reply>,
    mut closing: mpsc::UnboundedReceiver<(u16, Arc<ChannelState>)>,
    heartbeat: Option<Duration>,
) {
    let period = heartbeat.map_or(NEVER, |heartbeat| heartbeat / 2);
    let mut beats = interval_at(Instant::now() + period, period);
    loop {
        let sent = tokio::select! {
            reply = replies.recv() => match reply {
                Some(reply) => send(&shared, reply).await,
                None => return,
            },
            Some((id, state)) = closing.recv() => close(&shared, id, &state).await,
            _ = beats.tick() => shared.send_frame(&AMQPFrame::Heartbeat).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn send(shared: &Shared, reply: Reply) -> Result<(), String> {
    match reply {
        Reply::ChannelClosed(id) => {
            shared.send(id, channel::close_ok()).await?;
            // Its number is free only now; or, if this side sent a close too, once that is
            // answered.
            if shared.channel(id).is_some_and(|state| !state.lock().is_close_sent) {
                shared.remove_channel(id);
            }
            Ok(())
        }
        Reply::ConnectionClosed => {
            let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
            shared.send(0, AMQPClass::Connection(close_ok)).await
        }
    }
}

async fn close(shared: &Shared, id: u16, state: &ChannelState) -> Result<(), String> {
    {
        let mut known = state.lock();
        if known.closed.is_some() || std::mem::replace(&mut known.is_close_sent, true) {
            return Ok(());
        }
    }
    shared.send(id, channel::close()).await
}
