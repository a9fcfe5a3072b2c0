//! Faults that the broker itself makes.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use pipeline_tests::rabbitmqctl::{rabbitmq_upgrade, rabbitmqctl};
use stack::{Management, RabbitServer};
use tokio::time::{sleep, timeout};

use crate::topology::{Topology, node_place};

/// The share of the machine's memory that a node may use without an alarm: RabbitMQ's default.
const USUAL_MEMORY: &str = "0.4";
/// The free space on the disk below which a node raises an alarm: RabbitMQ's default.
const USUAL_FREE_DISK: &str = "50MB";
/// How soon a node that is cut off pauses itself.
const PAUSED: Duration = Duration::from_secs(30);
/// How often a node is told at most to go into maintenance: each time, fewer clients are left that
/// may end their connections meanwhile.
const MOST_DRAINS: u32 = 5;

/// Closes the connections of all clients. Returns true if there were any.
pub(super) async fn close_connections(target: &str, topology: &Topology) -> anyhow::Result<bool> {
    let management = Management::new(&topology.management_urls[node_place(target)?])?;
    Ok(management.close_connections().await? > 0)
}

/// A node is short of memory: the whole cluster reads nothing from connections that publish.
/// See <https://www.rabbitmq.com/docs/alarms>.
pub(super) async fn memory_alarm(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let watermark = "set_vm_memory_high_watermark";
    set_for(target, [watermark, "0.0000001"], [watermark, USUAL_MEMORY], lasts, topology).await
}

/// A node is short of disk space, with the same consequence.
pub(super) async fn disk_alarm(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let limit = "set_disk_free_limit";
    set_for(target, [limit, "1000000GB"], [limit, USUAL_FREE_DISK], lasts, topology).await
}

/// A node goes into maintenance, as before an upgrade: it closes its clients' connections, takes no
/// new ones, and gives the leadership of its queues away. Returns true.
/// See <https://www.rabbitmq.com/docs/upgrade#maintenance-mode>.
pub(super) async fn drain(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let cluster = topology.cluster.lock().await;
    let node = &cluster.nodes[node_place(target)?];
    let revive = || tokio::task::block_in_place(|| rabbitmq_upgrade(node, &["revive"]));
    let mut tries = 1;
    while let Err(refusal) = tokio::task::block_in_place(|| rabbitmq_upgrade(node, &["drain"])) {
        // The command asks the process of each connection to end, and fails with whatever reason a
        // process has that ends by itself at that moment. Given again, it closes those that are left.
        writeln!(std::io::stderr(), "drain of {target}, try {tries}: {refusal:#}")?;
        if tries == MOST_DRAINS {
            revive()?;
            return Err(refusal);
        }
        tries += 1;
    }
    sleep(lasts).await;
    revive()?;
    Ok(true)
}

/// Cuts a node off from the two others, both ways: it pauses itself, as it is the smaller part, and
/// comes back once it reaches them again. Returns true.
/// See <https://www.rabbitmq.com/docs/partitions#automatic-handling>.
pub(super) async fn isolate(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let mut cluster = topology.cluster.lock().await;
    let node = &cluster.nodes[node_place(target)?];
    let names = cluster.nodes.iter().map(RabbitServer::name);
    let peers = names.filter(|name| *name != node.name()).map(|name| format!("'{name}'"));
    let peers = peers.collect::<Vec<_>>().join(",");
    // Nodes let no other in whose cookie is not the one that they expect of it.
    let cut = format!(
        "[begin erlang:set_cookie(N, cut_off), erlang:disconnect_node(N) end || N <- [{peers}]]."
    );
    let join = format!("[erlang:set_cookie(N, erlang:get_cookie()) || N <- [{peers}]].");
    let pauses_before = pauses(node);
    tokio::task::block_in_place(|| rabbitmqctl(node, &["eval", &cut]))?;
    sleep(lasts).await;
    let has_paused = async {
        while pauses(node) == pauses_before {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PAUSED, has_paused).await.context("the node that was cut off has not paused itself")?;
    tokio::task::block_in_place(|| rabbitmqctl(node, &["eval", &join]))?;
    // All run already: it waits until they are one cluster again.
    cluster.start().await?;
    Ok(true)
}

/// How often a node has paused itself, as its log says.
fn pauses(node: &RabbitServer) -> usize {
    let log = std::fs::read(node.log()).unwrap_or_default();
    String::from_utf8_lossy(&log).matches("minority/secondary status detected").count()
}

/// Gives a node a setting, waits, and gives it the usual one. Returns false: whether anybody had to
/// wait is not known here.
async fn set_for(
    target: &str,
    fault: [&str; 2],
    usual: [&str; 2],
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let cluster = topology.cluster.lock().await;
    let node = &cluster.nodes[node_place(target)?];
    tokio::task::block_in_place(|| rabbitmqctl(node, &fault))?;
    sleep(lasts).await;
    tokio::task::block_in_place(|| rabbitmqctl(node, &usual))?;
    Ok(false)
}
