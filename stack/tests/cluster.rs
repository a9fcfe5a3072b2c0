//! A cluster of three nodes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use stack::{Management, RabbitCluster};

const QUEUE: &str = "/api/queues/%2f/orders";

/// Waits until the node at this index describes the queue `as_expected`, and returns the
/// description.
async fn queue(
    cluster: &RabbitCluster,
    place: usize,
    as_expected: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let management = Management::new(&cluster.nodes[place].access().management_url())?;
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let found = management.get(QUEUE).await.ok().flatten().unwrap_or_default();
        if as_expected(&found) {
            return Ok(found);
        }
        ensure!(Instant::now() < end, "the queue never gets there: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn leader(cluster: &RabbitCluster, queue: &Value) -> Option<usize> {
    cluster.index_of(queue["leader"].as_str()?)
}

fn on_all_nodes(queue: &Value, key: &str) -> bool {
    queue[key].as_array().is_some_and(|nodes| nodes.len() == 3)
}

#[tokio::test]
async fn a_quorum_queue_has_a_member_on_each_node_and_outlives_its_leader() -> anyhow::Result<()> {
    let mut cluster = RabbitCluster::start_temporary().await?;
    let management = Management::new(&cluster.nodes[0].access().management_url())?;
    let quorum = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    management.put(QUEUE, &quorum).await?;
    let found = queue(&cluster, 1, |found| on_all_nodes(found, "members")).await?;

    let killed = leader(&cluster, &found).context("it has a leader")?;
    let killed_name = cluster.nodes[killed].name().to_owned();
    cluster.nodes[killed].kill().await?;
    let another = (killed + 1) % 3;
    queue(&cluster, another, |found| {
        leader(&cluster, found).is_some_and(|leader| leader != killed)
            && found["online"].as_array().is_some_and(|online| online.len() == 2)
    })
    .await?;

    cluster.start().await?;
    assert_eq!(cluster.nodes[killed].name(), killed_name);
    queue(&cluster, killed, |found| on_all_nodes(found, "online")).await?;

    let processes = cluster.nodes.each_ref().map(|node| node.process().cloned());
    drop(cluster);
    assert!(processes.iter().flatten().all(|process| !process.is_alive()));
    assert_eq!(processes.iter().flatten().count(), 3);
    Ok(())
}
