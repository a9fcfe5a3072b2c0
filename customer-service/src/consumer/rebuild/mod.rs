//! `consumer rebuild-queue`: replaces the work queue by one with the right arguments, and loses
//! none of its messages.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | finds out which queues exist, so that a run can resume an interrupted one |
//! | `lock` | allows one run at a time, and no consumer meanwhile |
//! | `steps` | moves all messages to a second queue, replaces the work queue and moves them back |
//! | `transfer` | moves messages from one queue to another |
//!
//! Only the queues remain of a run that was killed. So the next run can resume after each step. A
//! queue is unbound only while the other one is bound: an event that is published meanwhile reaches
//! one of them or both, and is counted once. A queue is deleted when nothing has arrived for a
//! while, and is consumed until it is gone: what arrives at the last moment is delivered too.

mod lock;
mod state;
mod steps;
mod transfer;

use std::process::ExitCode;

use amqp::BrokerArgs;
use clap::Args;

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
    after_help = "Stop all consumers first. A run that was interrupted is resumed by the next one. The exit status is 0 when \
the queue has the right arguments, 1 when something has to be done first, which is printed."
)]
pub struct RebuildArgs {
    #[command(flatten)]
    broker: BrokerArgs,
}

impl RebuildArgs {
    /// Rebuilds the queue and prints each step.
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

/// Rebuilds the work queue from whatever state it is in.
async fn rebuild(broker: &mut Broker) -> Result<(), String> {
    let (channel, _) = broker.connect().await?;
    let _lock = lock::acquire(broker, channel).await?;
    let found = State::find(broker).await?;
    if found.is_done() {
        return print_line(&format!(
            "{WORK_QUEUE} has the right arguments: there is nothing to do"
        ));
    }
    state::check_preconditions(broker, &found).await?;
    if let WorkQueue::Differs(differs) = &found.work_queue {
        print_line(&format!("rebuilding {WORK_QUEUE}: {differs}"))?;
        move_out(broker).await?;
    } else if found.has_moving_queue {
        print_line("resuming an interrupted run")?;
    }
    move_back(broker, found.has_moving_queue || matches!(found.work_queue, WorkQueue::Differs(_)))
        .await?;
    print_line(&format!("{WORK_QUEUE} has the right arguments: start the consumers"))
}
