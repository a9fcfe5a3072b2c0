//! How each kind of fault is put in, and taken back.

mod broker;
mod database;
mod processes;

use std::time::Duration;

use anyhow::Context as _;
use pipeline_tests::proxy::Faults;
use tokio::time::{sleep, timeout};

use crate::plan::{Fault, Kind};
use crate::topology::Topology;

/// A link that is slow.
const SLOW: Faults = Faults {
    rate: Some(20_000),
    delay: Duration::from_millis(100),
    hold_after: None,
    is_closed: false,
};
/// The time between two resets of a link that is cut.
const RESETS: Duration = Duration::from_millis(300);
/// How long a program is looked at before it counts as idle.
const LOOKED_AT: Duration = Duration::from_millis(400);

/// Puts a fault in, waits, and takes it back.
pub(crate) async fn put_in(fault: &Fault, topology: &Topology) -> anyhow::Result<()> {
    let lasts = Duration::from_millis(fault.lasts);
    let target = fault.target.as_str();
    match fault.kind {
        Kind::Kill | Kind::Restart | Kind::Suspend => processes::end(fault, lasts, topology).await,
        Kind::FailOver => processes::fail_over(target, lasts, topology).await,
        Kind::ClockJump => processes::clock_jump(fault, lasts, topology).await,
        Kind::Scale => processes::scale(lasts, topology).await,
        Kind::Cut => {
            let link = topology.link(target)?;
            let cutting = async {
                loop {
                    link.reset();
                    sleep(RESETS).await;
                }
            };
            timeout(lasts, cutting).await.unwrap_or(());
            Ok(())
        }
        Kind::Hold | Kind::Deafen | Kind::Slow => {
            let link = topology.link(target)?;
            match fault.kind {
                Kind::Hold => link.set(Faults::HELD),
                Kind::Deafen => link.set_answers(Faults::HELD),
                _ => link.set(SLOW),
            }
            sleep(lasts).await;
            if fault.kind == Kind::Deafen {
                // What was answered meanwhile is lost with the connection.
                link.reset();
            }
            link.heal();
            Ok(())
        }
        Kind::EndSessions => database::end_sessions(target, topology).await,
        Kind::LockRows => database::lock_rows(lasts, topology).await,
        Kind::Pause => database::pause(target, lasts, topology).await,
        Kind::CloseConnections => broker::close_connections(target, topology).await,
        Kind::MemoryAlarm => broker::memory_alarm(target, lasts, topology).await,
        Kind::DiskAlarm => broker::disk_alarm(target, lasts, topology).await,
        Kind::Drain => broker::drain(target, lasts, topology).await,
    }
    .with_context(|| format!("fault {fault}"))
}

/// Returns true if the process that the fault kills, restarts or suspends is busy: a signal to an
/// idle program interrupts nothing. Servers always count as busy.
pub(crate) async fn is_working(fault: &Fault, topology: &Topology) -> bool {
    let (Kind::Kill | Kind::Restart | Kind::Suspend) = fault.kind else { return false };
    let Ok(program) = topology.program(&fault.target) else {
        // A server, which all use.
        return true;
    };
    let metric = match fault.target.split('-').next() {
        Some("relay") => "outbox_relay_published_total",
        Some("consumer") => "consumer_events_total",
        Some("order") => "http_requests_total",
        Some("collector") => "dead_letters_collected_total",
        _ => return false,
    };
    let before = program.metric(&topology.http, metric).await;
    sleep(LOOKED_AT).await;
    let after = program.metric(&topology.http, metric).await;
    matches!((before, after), (Some(before), Some(after)) if after > before)
}
