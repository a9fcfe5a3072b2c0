//! Puts the faults of a plan in, one after the other, while the load goes on.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::calm;
use crate::history::{History, now};
use crate::inject;
use crate::load::Troubles;
use crate::plan::{Fault, Plan};
use crate::samples::LastWait;
use crate::thread;
use crate::topology::{Topology, node_place};

/// After so many faults there is a time without any.
const BETWEEN_CALMS: usize = 20;
/// How long the consequences of a fault are looked for after its end.
const CONSEQUENCES: Duration = Duration::from_millis(1_500);
const LOOK: Duration = Duration::from_millis(250);

/// The servers and programs that faults happen to, and what shows that work was interrupted.
#[derive(Debug, Clone)]
pub(crate) struct Nemesis {
    pub(crate) topology: Arc<Topology>,
    pub(crate) history: Arc<History>,
    pub(crate) troubles: Arc<Troubles>,
    pub(crate) last_wait: LastWait,
}

impl Nemesis {
    /// Puts all faults in.
    pub(crate) async fn run(&self, plan: &Plan) -> anyhow::Result<()> {
        let watched = AtomicBool::new(true);
        let faults = async {
            self.put_in_all(plan).await?;
            watched.store(false, Ordering::Relaxed);
            anyhow::Ok(())
        };
        tokio::try_join!(faults, restart_ended(&self.topology, &watched)).map(drop)
    }

    async fn put_in_all(&self, plan: &Plan) -> anyhow::Result<()> {
        // A node of the broker takes long to start. Faults elsewhere happen meanwhile.
        let mut at_broker: Option<JoinHandle<anyhow::Result<()>>> = None;
        for fault in &plan.faults {
            sleep(Duration::from_millis(fault.gap)).await;
            if node_place(&fault.target).is_ok() {
                ended(&mut at_broker).await?;
                let (nemesis, fault) = (self.clone(), fault.clone());
                at_broker = Some(thread::spawn(|| async move { nemesis.put_in(&fault).await }));
            } else {
                self.put_in(fault).await?;
            }
            if fault.number % BETWEEN_CALMS == 0 {
                ended(&mut at_broker).await?;
                calm::keep(&self.topology, &self.history).await?;
            }
        }
        ended(&mut at_broker).await?;
        calm::keep(&self.topology, &self.history).await
    }

    async fn put_in(&self, fault: &Fault) -> anyhow::Result<()> {
        let (began, before) = (now(), self.evidence(fault).await);
        let is_known = inject::put_in(fault, &self.topology).await?;
        let end = Instant::now() + CONSEQUENCES;
        let mut interrupted = is_known || self.evidence(fault).await.differs(&before, began);
        while !interrupted && Instant::now() < end {
            sleep(LOOK).await;
            interrupted = self.evidence(fault).await.differs(&before, began);
        }
        let Evidence { warnings, troubles, .. } = self.evidence(fault).await;
        self.history.record(
            "faults",
            &json!({
                "number": fault.number, "kind": fault.kind, "target": fault.target, "began": began, "ended": now(),
                "interrupted": interrupted, "known": is_known,
                "warnings": warnings.saturating_sub(before.warnings), "troubles": troubles - before.troubles,
            }),
        );
        let effect = if interrupted { "interrupted work" } else { "no effect" };
        writeln!(std::io::stderr(), "fault {fault}: {effect}")?;
        Ok(())
    }

    /// The present signs that a program or client is hindered. A fault of one program or its network
    /// is judged by that program alone: what others complain of may be a fault at the broker.
    async fn evidence(&self, fault: &Fault) -> Evidence {
        let program = fault.target.split(" to ").next().unwrap_or_default();
        if let Ok(program) = self.topology.program(program) {
            return Evidence { warnings: program.warnings().await, troubles: 0, last_wait: 0 };
        }
        let mut warnings = 0;
        for program in &self.topology.programs {
            warnings += program.warnings().await;
        }
        let last_wait = self.last_wait.load(Ordering::Relaxed);
        Evidence { warnings, troubles: self.troubles.count(), last_wait }
    }
}

/// The traces that hindered programs and clients leave.
#[derive(Debug)]
struct Evidence {
    /// In the programs' logs. That of a program that was started again is empty.
    warnings: usize,
    troubles: usize,
    last_wait: u64,
}

impl Evidence {
    /// Whether there is more than before a fault, which began at `began`.
    fn differs(&self, before: &Self, began: u64) -> bool {
        self.warnings > before.warnings || self.troubles > before.troubles || self.last_wait > began
    }
}

/// Waits until the fault at the broker is over, if there is one.
async fn ended(fault: &mut Option<JoinHandle<anyhow::Result<()>>>) -> anyhow::Result<()> {
    match fault.take() {
        Some(fault) => fault.await?,
        None => Ok(()),
    }
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
