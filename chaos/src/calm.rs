//! A time without faults: the backlog that they left must shrink soon, and go.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::backlog;
use crate::history::{History, now};
use crate::topology::Topology;

/// After it the wait ends; the checker decides what is too long.
const LONGEST: Duration = Duration::from_secs(90);

/// Waits until what is pending now is published, and records how long that took.
pub(crate) async fn keep(topology: &Topology, history: &History) -> anyhow::Result<()> {
    // All servers answer: each fault is taken back before the next one. What the programs need to
    // notice it counts.
    let (began, start) = (now(), Instant::now());
    let up_to = backlog::latest(topology).await?;
    let before = backlog::pending(topology, up_to).await?;
    let since = |start: Instant| u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (mut shrunk_after, mut drained_after) = (None, None);
    while drained_after.is_none() && start.elapsed() < LONGEST {
        let left = backlog::pending(topology, up_to).await?;
        if left < before || left == 0 {
            shrunk_after = shrunk_after.or_else(|| Some(since(start)));
        }
        if left == 0 {
            drained_after = Some(since(start));
        }
        sleep(Duration::from_millis(100)).await;
    }
    history.record(
        "calms",
        &json!({ "began": began, "pending": before, "shrunk_after": shrunk_after, "drained_after": drained_after }),
    );
    writeln!(
        std::io::stderr(),
        "calm: {before} events pending, published after {drained_after:?} ms"
    )?;
    Ok(())
}
