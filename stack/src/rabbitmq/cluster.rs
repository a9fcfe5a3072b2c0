//! A cluster of three nodes. See <https://www.rabbitmq.com/docs/clustering> and
//! <https://www.rabbitmq.com/docs/cluster-formation>.

use anyhow::Context;

use super::epmd::SharedEpmd;
use super::{READY, RabbitServer};
use crate::management::Management;
use crate::readiness::{says_address_in_use, wait_until_ready};
use crate::secret::password;

/// A cluster of three private nodes on this machine, for one test.
///
/// Each node can be killed and restarted like any other. All are killed and removed on drop, and
/// also when the test process is killed.
#[derive(Debug)]
pub struct RabbitCluster {
    /// The nodes, which share one administrator.
    pub nodes: [RabbitServer; 3],
    /// Their port mapper. Dropped after them.
    _epmd: SharedEpmd,
}

impl RabbitCluster {
    /// Starts the three nodes concurrently and waits until they form a cluster. Takes about as long
    /// as three single nodes.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or a node does not start.
    pub async fn start_temporary() -> anyhow::Result<Self> {
        let mut cluster = Self::new_temporary().await?;
        match cluster.start().await {
            // A port was taken between choosing it and listening on it.
            Err(_) if cluster.nodes.iter().any(|node| says_address_in_use(&node.log)) => {
                cluster = Self::new_temporary().await?;
                cluster.start().await?;
            }
            result => result?,
        }
        Ok(cluster)
    }

    async fn new_temporary() -> anyhow::Result<Self> {
        let epmd = SharedEpmd::start_temporary().await?;
        let mut nodes = [
            RabbitServer::new_temporary().await?,
            RabbitServer::new_temporary().await?,
            RabbitServer::new_temporary().await?,
        ];
        let peers: Vec<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
        let (administrator, cookie) = (password(), password());
        for node in &mut nodes {
            node.settings.access.password.clone_from(&administrator);
            node.settings.epmd_port = epmd.port;
            node.peers.clone_from(&peers);
            node.write_cookie(&cookie)?;
        }
        Ok(Self { nodes, _epmd: epmd })
    }

    /// Starts the nodes that are not running, and waits until all three form a cluster.
    ///
    /// # Errors
    /// When one does not start, or they do not find each other.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let [one, two, three] = &mut self.nodes;
        tokio::try_join!(Box::pin(one.start()), Box::pin(two.start()), Box::pin(three.start()))?;

        let first = &self.nodes[0];
        let management = Management::new(&first.access().management_url())?;
        let all_work_together = async || {
            let nodes = management.get("/api/nodes").await.ok().flatten().unwrap_or_default();
            let nodes = nodes.as_array().map_or(&[][..], Vec::as_slice);
            nodes.iter().filter(|node| node["running"] == true).count() == self.nodes.len()
        };
        let running = first.running.as_ref().context("the node was just started")?;
        wait_until_ready("the RabbitMQ cluster", running, &first.log, READY, all_work_together)
            .await
    }

    /// `RABBITMQ_URL` for a virtual host: all nodes, beginning with the one at index `first`.
    #[must_use]
    pub fn amqp_urls(&self, vhost: &str, first: usize) -> String {
        let count = self.nodes.len();
        let places = (first..first + count).map(|place| place % count);
        let urls = places.map(|place| self.nodes[place].access().amqp_url(vhost));
        urls.collect::<Vec<_>>().join(",")
    }

    /// The index of the node with this name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name() == name)
    }
}
