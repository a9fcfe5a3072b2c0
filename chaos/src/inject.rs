//! How each kind of fault is put in, and taken back.

use std::time::Duration;

use anyhow::{Context as _, bail};
use pipeline_tests::command::run;
use pipeline_tests::pipeline::connect;
use pipeline_tests::proxy::Faults;
use stack::{Management, ProcessId, Signal};
use tokio::time::{sleep, timeout};

use crate::plan::{Fault, Kind};
use crate::topology::{Topology, node_name};

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
/// How long a server may take to answer a command of the nemesis, which it may be unable to.
const ANSWER: Duration = Duration::from_secs(10);

/// Puts a fault in, waits, and takes it back.
pub(crate) async fn put_in(fault: &Fault, topology: &Topology) -> anyhow::Result<()> {
    let lasts = Duration::from_millis(fault.lasts);
    let target = fault.target.as_str();
    match fault.kind {
        Kind::Kill | Kind::Restart | Kind::Suspend => end(fault, lasts, topology).await,
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
        Kind::EndSessions => end_sessions(target, topology).await,
        Kind::CloseConnections => close_connections(target, topology).await,
        Kind::LockRows => lock_rows(lasts, topology).await,
        Kind::Pause => pause(target, lasts, topology).await,
    }
    .with_context(|| format!("fault {fault}"))
}

/// Whether the target of a signal is at work: only then does the signal interrupt something.
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

async fn end(fault: &Fault, lasts: Duration, topology: &Topology) -> anyhow::Result<()> {
    let target = fault.target.as_str();
    if let Ok(program) = topology.program(target) {
        match fault.kind {
            Kind::Kill => program.kill().await?,
            Kind::Restart => program.stop().await?,
            _ => program.suspend().await?,
        }
        sleep(lasts).await;
        return if fault.kind == Kind::Suspend {
            program.resume().await
        } else {
            program.start().await
        };
    }
    if let Ok(postgres) = topology.postgres(target) {
        let mut server = postgres.server.lock().await;
        match fault.kind {
            Kind::Kill => server.kill().await?,
            Kind::Restart => server.stop_gracefully().await?,
            _ => suspend(server.process().cloned(), lasts).await?,
        }
        if fault.kind != Kind::Suspend {
            sleep(lasts).await;
        }
        return server.start().await;
    }
    let place = (0..3).find(|place| node_name(*place) == target);
    let place = place.with_context(|| format!("nothing is called {target}"))?;
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
    node.start().await
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

async fn end_sessions(target: &str, topology: &Topology) -> anyhow::Result<()> {
    let url = &topology.postgres(target)?.database.url;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let session = timeout(ANSWER, connect(url)).await??;
    session.execute(end, &[]).await?;
    Ok(())
}

async fn close_connections(target: &str, topology: &Topology) -> anyhow::Result<()> {
    let place = (0..3).find(|place| node_name(*place) == target).context("a node")?;
    let management = Management::new(&topology.management_urls[place])?;
    let connections = management.get("/api/connections").await?.unwrap_or_default();
    for connection in connections.as_array().map_or(&[][..], Vec::as_slice) {
        let name = connection["name"].as_str().unwrap_or_default();
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        management.delete(&format!("/api/connections/{escaped}")).await?;
    }
    Ok(())
}

async fn lock_rows(lasts: Duration, topology: &Topology) -> anyhow::Result<()> {
    let mut session = timeout(ANSWER, connect(&topology.orders.database.url)).await??;
    let transaction = session.transaction().await?;
    let lock =
        "SELECT FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED";
    transaction.execute(lock, &[]).await?;
    sleep(lasts).await;
    transaction.rollback().await?;
    Ok(())
}

async fn pause(aggregate_type: &str, lasts: Duration, topology: &Topology) -> anyhow::Result<()> {
    let settings =
        [("DATABASE_URL", topology.orders.database.url.as_str()), ("OUTBOX_ACTOR", "nemesis")];
    let pause = ["pause", "--aggregate-type", aggregate_type, "--reason", "chaos", "--json"];
    let paused = run("outbox-relay", &pause, &settings).await?;
    if paused.code != Some(0) {
        bail!("pause: {paused:?}");
    }
    sleep(lasts).await;
    let resumed =
        run("outbox-relay", &["resume", "--aggregate-type", aggregate_type, "--json"], &settings)
            .await?;
    if resumed.code != Some(0) {
        bail!("resume: {resumed:?}");
    }
    Ok(())
}
