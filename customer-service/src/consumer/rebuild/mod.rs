//! `consumer rebuild-queue`: makes the work queue anew with the arguments that it should have, and loses none of its messages.
//!
//! | file | what it is about |
//! |---|---|
//! | `state` | what there is on the broker, by which a run goes on where another one ended |
//! | `lock` | one run at a time, and no consumer meanwhile |
//! | `stage` | the queue that holds the messages meanwhile, and the steps |
//! | `transfer` | messages from one queue to the other |
//!
//! All that is known of a run that was killed is which queues there are. So each step leaves a state from which the next run goes on, and a queue is
//! unbound only while the other one is bound: an event that is published meanwhile reaches at least one of them, or both, and is counted once. A queue is deleted when
//! nothing has come to it for a while, and its consumer stays until it is gone: what the broker puts there in the last moment it also delivers.

mod lock;
mod stage;
mod state;
mod transfer;

use std::process::ExitCode;

use amqp::BrokerArgs;
use clap::Args;

use super::broker::Broker;
use super::terminal::{self, say};
use super::topology::QUEUE;
use stage::{move_back, move_out};
use state::{State, Work};

pub(super) use lock::{MOVING, Rebuilt, is_rebuilt};
pub(super) use state::is_without_streams;

/// Arguments of `consumer rebuild-queue`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Stop all consumers first. A run that was interrupted is continued by the next one. The exit status is 0 when \
the queue is as it should be, 1 when something has to be done first, which is said."
)]
pub struct RebuildArgs {
    #[command(flatten)]
    broker: BrokerArgs,
}

impl RebuildArgs {
    /// Does it.
    #[must_use]
    pub fn carry_out(self) -> ExitCode {
        terminal::carry_out(async {
            let mut broker = Broker::new(self.broker.url(), "customer-service: rebuild-queue");
            let done = rebuild(&mut broker).await;
            broker.close().await;
            done.map(|()| ExitCode::SUCCESS)
        })
    }
}

/// Brings the work queue from whatever state it is found in to the one that it should have.
async fn rebuild(broker: &mut Broker) -> Result<(), String> {
    let (channel, _) = broker.channel().await?;
    let _lock = lock::take(broker, channel).await?;
    let found = State::find(broker).await?;
    if found.is_done() {
        return say(&format!(
            "{QUEUE} has the arguments that it should have: there is nothing to do"
        ));
    }
    state::check_before(broker, &found).await?;
    if let Work::Differs(differs) = &found.work {
        say(&format!("{QUEUE} is made anew: {differs}"))?;
        move_out(broker).await?;
    } else if found.is_staged {
        say("going on where an earlier run ended")?;
    }
    move_back(broker, found.is_staged || matches!(found.work, Work::Differs(_))).await?;
    say(&format!("{QUEUE} has the arguments that it should have: start the consumers"))
}
