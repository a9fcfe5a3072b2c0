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
mod state;
mod steps;
mod transfer;

use std::process::ExitCode;

use clap::Args;
use service_kit::broker::BrokerArgs;

use super::broker::Broker;
use super::terminal::{self, print_line};
use super::topology::WORK_QUEUE;
use state::{State, WorkQueue};
use steps::{move_back, move_out};

pub(super) use lock::{MOVING_QUEUE, RebuildStatus, rebuild_status};
pub(super) use state::lacks_stream_queues;

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
    pub fn run(self) -> ExitCode {
        terminal::run_command(async {
            let mut broker = Broker::new(self.broker.url(), "customer-service: rebuild-queue");
            let done = rebuild(&mut broker).await;
            broker.close().await;
            done.map(|()| ExitCode::SUCCESS)
        })
    }
}

/// Brings the work queue from whatever state it is found in to the one that it should have.
async fn rebuild(broker: &mut Broker) -> Result<(), String> {
    let (channel, _) = broker.connect().await?;
    let _lock = lock::acquire(broker, channel).await?;
    let found = State::find(broker).await?;
    if found.is_done() {
        return print_line(&format!(
            "{WORK_QUEUE} has the arguments that it should have: there is nothing to do"
        ));
    }
    state::check_preconditions(broker, &found).await?;
    if let WorkQueue::Differs(differs) = &found.work_queue {
        print_line(&format!("{WORK_QUEUE} is made anew: {differs}"))?;
        move_out(broker).await?;
    } else if found.has_moving_queue {
        print_line("going on where an earlier run ended")?;
    }
    move_back(broker, found.has_moving_queue || matches!(found.work_queue, WorkQueue::Differs(_)))
        .await?;
    print_line(&format!("{WORK_QUEUE} has the arguments that it should have: start the consumers"))
}
