//! What is sent without being asked for: answers to the broker, goodbyes to channels, and signs of life.

use std::sync::Arc;
use std::time::Duration;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, connection};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

use super::channel::{self, State};
use super::connection::Shared;

/// A month: as good as never, for a connection on which no signs of life are wanted.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the broker waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// It closed this channel.
    ChannelClosed(u16),
    /// It closed the connection.
    ConnectionClosed,
}

/// Answers and closes channels until the connection is over, and shows every half `heartbeat` that this side lives.
pub(super) async fn keep(
    shared: Arc<Shared>,
    mut answers: mpsc::Receiver<Answer>,
    mut closing: mpsc::UnboundedReceiver<(u16, Arc<State>)>,
    heartbeat: Option<Duration>,
) {
    let period = heartbeat.map_or(NEVER, |heartbeat| heartbeat / 2);
    let mut beats = interval_at(Instant::now() + period, period);
    loop {
        let sent = tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => send(&shared, answer).await,
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

async fn send(shared: &Shared, answer: Answer) -> Result<(), String> {
    match answer {
        Answer::ChannelClosed(id) => {
            shared.send(id, channel::close_ok()).await?;
            // Not before, and when this side has asked for the same not until that is answered: its number would be used for another one.
            if shared.channel(id).is_some_and(|state| !state.lock().is_close_sent) {
                shared.remove_channel(id);
            }
            Ok(())
        }
        Answer::ConnectionClosed => {
            let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
            shared.send(0, AMQPClass::Connection(close_ok)).await
        }
    }
}

async fn close(shared: &Shared, id: u16, state: &State) -> Result<(), String> {
    {
        let mut known = state.lock();
        if known.closed.is_some() || std::mem::replace(&mut known.is_close_sent, true) {
            return Ok(());
        }
    }
    shared.send(id, channel::close()).await
}
