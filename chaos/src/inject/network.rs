//! Faults of the network between a program and a server.

use std::time::Duration;

use pipeline_tests::proxy::Faults;
use tokio::time::{sleep, timeout};

use super::LOOKED_AT;
use crate::links::Link;
use crate::plan::{Fault, Kind};
use crate::topology::Topology;

/// A network that is slow.
const SLOW: Faults = Faults {
    rate: Some(20_000),
    delay: Duration::from_millis(100),
    hold_after: None,
    is_closed: false,
};
/// The time between two resets of connections that are cut.
const RESETS: Duration = Duration::from_millis(300);

/// Disturbs the links that are in use: a standby's is idle, and a program is connected to one node
/// of a cluster. Returns true if there was one.
pub(super) async fn disturb(
    fault: &Fault,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let all = topology.links(&fault.target)?;
    let before: Vec<u64> = all.iter().map(|link| link.forwarded()).collect();
    sleep(LOOKED_AT).await;
    let in_use = all.iter().zip(before).filter(|(link, before)| link.forwarded() > *before);
    let in_use: Vec<&Link> = in_use.map(|(link, _)| *link).collect();
    let links = if in_use.is_empty() { all } else { in_use.clone() };
    match fault.kind {
        Kind::Cut => timeout(lasts, cut(&links)).await.unwrap_or(()),
        Kind::Deafen => {
            links.iter().for_each(|link| link.set_answers(Faults::HELD));
            sleep(lasts).await;
            // What was answered meanwhile is lost with the connection.
            links.iter().for_each(|link| link.reset());
        }
        kind => {
            let faults = if kind == Kind::Hold { Faults::HELD } else { SLOW };
            links.iter().for_each(|link| link.set(faults));
            sleep(lasts).await;
        }
    }
    links.iter().for_each(|link| link.heal());
    Ok(!in_use.is_empty())
}

async fn cut(links: &[&Link]) {
    loop {
        links.iter().for_each(|link| link.reset());
        sleep(RESETS).await;
    }
}
