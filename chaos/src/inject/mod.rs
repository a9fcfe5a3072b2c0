//! How each kind of fault is put in, and taken back.

mod broker;
mod database;
mod network;
mod processes;

use std::time::Duration;

use anyhow::Context as _;

use crate::plan::{Fault, Kind};
use crate::topology::Topology;

/// How long a program or a link is looked at before it counts as idle.
const LOOKED_AT: Duration = Duration::from_millis(300);

/// Puts a fault in, waits, and takes it back. Returns true if it is known to have interrupted work.
pub(crate) async fn put_in(fault: &Fault, topology: &Topology) -> anyhow::Result<bool> {
    let lasts = Duration::from_millis(fault.lasts);
    let target = fault.target.as_str();
    match fault.kind {
        Kind::Kill | Kind::Restart | Kind::Suspend => processes::end(fault, lasts, topology).await,
        Kind::FailOver => processes::fail_over(target, lasts, topology).await,
        Kind::ClockJump => processes::clock_jump(fault, lasts, topology).await,
        Kind::PreviousRelease => processes::previous_release(target, lasts, topology).await,
        Kind::FullDisk => database::full_disk(target, lasts, topology).await,
        Kind::Scale => processes::scale(lasts, topology).await,
        Kind::Cut | Kind::Hold | Kind::Deafen | Kind::Slow => {
            network::disturb(fault, lasts, topology).await
        }
        Kind::EndSessions => database::end_sessions(target, topology).await,
        Kind::LockRows => database::lock_rows(lasts, topology).await,
        Kind::Pause => database::pause(target, lasts, topology).await,
        Kind::CloseConnections => broker::close_connections(target, topology).await,
        Kind::MemoryAlarm => broker::memory_alarm(target, lasts, topology).await,
        Kind::DiskAlarm => broker::disk_alarm(target, lasts, topology).await,
        Kind::Drain => broker::drain(target, lasts, topology).await,
        Kind::Isolate => broker::isolate(target, lasts, topology).await,
    }
    .with_context(|| format!("fault {fault}"))
}
