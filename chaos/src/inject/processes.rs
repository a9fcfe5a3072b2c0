//! Faults of processes: programs and servers that are killed, stopped, suspended, more or fewer.

use std::time::Duration;

use anyhow::Context as _;
use stack::{ProcessId, Signal};
use tokio::time::sleep;

use super::LOOKED_AT;
use crate::plan::{Fault, Kind};
use crate::program::Program;
use crate::topology::{POOLERS, Topology, node_place};

/// How far a clock jumps, in seconds.
const JUMPS: [i64; 4] = [3_600, -3_600, 10, -10];

/// Ends the target of a fault, or suspends it, and starts it again. Returns true if it was a server,
/// which all use, or a program that was busy.
pub(super) async fn end(
    fault: &Fault,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let target = fault.target.as_str();
    if let Ok(program) = topology.program(target) {
        let was_busy = is_busy(program, topology).await;
        match fault.kind {
            Kind::Kill => program.kill().await?,
            Kind::Restart => program.stop().await?,
            _ => program.suspend().await?,
        }
        sleep(lasts).await;
        if fault.kind == Kind::Suspend {
            program.resume().await?;
        } else {
            program.start().await?;
        }
        return Ok(was_busy);
    }
    if target == POOLERS {
        let mut poolers = topology.poolers.lock().await;
        for pooler in &*poolers {
            if fault.kind == Kind::Kill { pooler.kill().await? } else { pooler.stop().await? }
        }
        sleep(lasts).await;
        for pooler in &mut *poolers {
            pooler.restart().await?;
        }
        return Ok(true);
    }
    if let Some((postgres, role)) = topology.postgres_server(target) {
        let mut servers = postgres.servers.lock().await;
        let server = servers.of(role);
        match fault.kind {
            Kind::Kill => server.kill().await?,
            Kind::Restart => server.stop_gracefully().await?,
            _ => suspend(server.process().cloned(), lasts).await?,
        }
        if fault.kind != Kind::Suspend {
            sleep(lasts).await;
        }
        server.start().await?;
        return Ok(true);
    }
    let place = node_place(target)?;
    let mut cluster = topology.cluster.lock().await;
    let node = &mut cluster.nodes[place];
    match fault.kind {
        Kind::Kill => node.kill().await?,
        Kind::Restart => node.stop_gracefully().await?,
        _ => suspend(node.process().cloned(), lasts).await?,
    }
    if fault.kind != Kind::Suspend {
        sleep(lasts).await;
    }
    node.start().await?;
    Ok(true)
}

/// Returns true if the program does its work at the moment: a signal to an idle one interrupts
/// nothing.
async fn is_busy(program: &Program, topology: &Topology) -> bool {
    let metric = match program.name.split('-').next() {
        Some("relay") => "outbox_relay_published_total",
        Some("consumer") => "consumer_events_total",
        Some("order" | "customer") => "http_requests_total",
        Some("collector") => "dead_letters_collected_total",
        _ => return false,
    };
    let before = program.metric(&topology.http, metric).await;
    sleep(LOOKED_AT).await;
    let after = program.metric(&topology.http, metric).await;
    matches!((before, after), (Some(before), Some(after)) if after > before)
}

/// Fails over to a database's standby, and later builds the former primary anew as the standby.
pub(super) async fn fail_over(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let postgres = topology.postgres(target)?;
    postgres.fail_over().await?;
    sleep(lasts).await;
    postgres.rebuild().await?;
    Ok(true)
}

/// Runs the previous release's program in place of this one's, and this one's again. Returns true.
pub(super) async fn previous_release(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let previous = topology.previous.as_ref().context("there are no programs of it")?;
    let program = topology.program(target)?;
    let file = match program.binary {
        "outbox-relay" => previous.outbox_relay(),
        "order-service" => previous.order_service(),
        _ => previous.customer_service(),
    };
    program.stop().await?;
    program.start_from(file).await?;
    topology.ready(program).await?;
    sleep(lasts).await;
    program.stop().await?;
    program.start().await?;
    Ok(true)
}

/// Suspends a server and all that it has started.
async fn suspend(process: Option<ProcessId>, lasts: Duration) -> anyhow::Result<()> {
    let process = process.context("the server runs")?;
    let mut all = children(process.pid);
    all.push(process);
    for one in &all {
        one.signal(Signal::SIGSTOP)?;
    }
    sleep(lasts).await;
    for one in &all {
        one.signal(Signal::SIGCONT)?;
    }
    Ok(())
}

fn children(pid: u32) -> Vec<ProcessId> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let pids = listed.unwrap_or_default();
    pids.split_whitespace().filter_map(|pid| ProcessId::of(pid.parse().ok()?)).collect()
}

/// Moves the clock of a program by one of [`JUMPS`], and back.
pub(super) async fn clock_jump(
    fault: &Fault,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let program = topology.program(&fault.target)?;
    program.set_clock(JUMPS[fault.number % JUMPS.len()])?;
    sleep(lasts).await;
    program.set_clock(0)?;
    Ok(false)
}

/// Scales the relays from three to five, from five to two, and back. Returns true, as lanes move.
pub(super) async fn scale(lasts: Duration, topology: &Topology) -> anyhow::Result<bool> {
    for spare in &topology.spare_relays {
        spare.start().await?;
    }
    sleep(lasts / 2).await;
    let relays = || topology.programs.iter().filter(|program| program.name.starts_with("relay-"));
    for relay in relays() {
        relay.stop().await?;
    }
    sleep(lasts / 2).await;
    for relay in relays() {
        relay.start().await?;
    }
    for spare in &topology.spare_relays {
        spare.stop().await?;
    }
    Ok(true)
}
