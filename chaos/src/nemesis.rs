//! Puts the faults of a plan in, one after the other, while the load goes on.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::calm;
use crate::history::{History, now};
use crate::inject;
use crate::load::Troubles;
use crate::plan::{Fault, Plan};
use crate::topology::Topology;

/// After so many faults there is a time without any.
const BETWEEN_CALMS: usize = 20;
/// How long the consequences of a fault are looked for after its end.
const CONSEQUENCES: Duration = Duration::from_millis(1_500);

/// Puts all faults in.
pub(crate) async fn run(
    plan: &Plan,
    topology: &Arc<Topology>,
    history: &Arc<History>,
    troubles: &Troubles,
) -> anyhow::Result<()> {
    let watched = AtomicBool::new(true);
    let faults = async {
        for fault in &plan.faults {
            sleep(Duration::from_millis(fault.gap)).await;
            put_in(fault, topology, history, troubles).await?;
            if fault.number % BETWEEN_CALMS == 0 || fault.number == plan.faults.len() {
                calm::keep(topology, history).await?;
            }
        }
        watched.store(false, Ordering::Relaxed);
        anyhow::Ok(())
    };
    tokio::try_join!(faults, restart_ended(topology, &watched)).map(drop)
}

async fn put_in(
    fault: &Fault,
    topology: &Topology,
    history: &History,
    troubles: &Troubles,
) -> anyhow::Result<()> {
    let (warnings, before, began) = (warnings(topology).await, troubles.count(), now());
    let was_working = inject::is_working(fault, topology).await;
    inject::put_in(fault, topology).await?;
    sleep(CONSEQUENCES).await;
    // A program that was started again has an empty log.
    let warned = self::warnings(topology).await.abs_diff(warnings);
    let troubled = troubles.count() - before;
    let interrupted = warned > 0 || troubled > 0 || was_working;
    history.record(
        "faults",
        &json!({
            "number": fault.number, "kind": fault.kind, "target": fault.target, "began": began, "ended": now(),
            "interrupted": interrupted, "warnings": warned, "troubles": troubled, "was_working": was_working,
        }),
    );
    let effect = if interrupted { "interrupted work" } else { "no effect" };
    writeln!(std::io::stderr(), "fault {fault}: {effect}")?;
    Ok(())
}

async fn warnings(topology: &Topology) -> usize {
    let mut count = 0;
    for program in &topology.programs {
        count += program.warnings().await;
    }
    count
}

/// Starts programs again that ended by themselves, as an orchestrator would.
async fn restart_ended(topology: &Topology, watched: &AtomicBool) -> anyhow::Result<()> {
    while watched.load(Ordering::Relaxed) {
        for program in &topology.programs {
            if let Some(last_lines) = program.start_if_ended().await? {
                writeln!(std::io::stderr(), "{} ended by itself: {last_lines}", program.name)?;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
