//! The broker, with settings that a run needs.

use anyhow::Context as _;
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use stack::RabbitCluster;

/// A node without a majority pauses itself, as in deploy/kubernetes. A message whose dead-lettering
/// a killed node did not confirm is sent again after 5 s instead of three to six minutes: see
/// <https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>.
const SETTINGS: &str = "[{rabbit, [{cluster_partition_handling, pause_minority},
    {dead_letter_worker_publisher_confirm_timeout, 5000}]}]";

/// Starts it.
pub(crate) async fn start() -> anyhow::Result<RabbitCluster> {
    let cluster = RabbitCluster::start_temporary().await?;
    for node in &cluster.nodes {
        // For the next start of the node.
        let folder = node.log().parent().context("the log is in the node's folder")?;
        std::fs::write(folder.join("advanced.config"), format!("{SETTINGS}.\n"))?;
    }
    let set =
        format!("[rpc:call(N, application, set_env, [{SETTINGS}]) || N <- [node() | nodes()]].");
    rabbitmqctl(&cluster.nodes[0], &["eval", &set])?;
    Ok(cluster)
}
