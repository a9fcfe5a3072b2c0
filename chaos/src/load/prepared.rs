//! The second half of a two-phase commit, which outlives crashes of the server between the halves.

use std::time::Duration;

use pipeline_tests::pipeline::connect;
use tokio::time::{Instant, sleep, timeout};

use crate::topology::Topology;

const ANSWER: Duration = Duration::from_secs(10);
/// A transaction that stays prepared holds its locks.
const PATIENCE: Duration = Duration::from_secs(120);
const FIND: &str = "SELECT FROM pg_prepared_xacts WHERE gid = $1";

/// Commits the transaction that was prepared under `name`, if it was. Returns whether it is
/// committed; none if that is unknown.
pub(super) async fn commit(topology: &Topology, name: &str) -> Option<bool> {
    let end = Instant::now() + PATIENCE;
    let mut was_sent = false;
    while Instant::now() < end {
        let tried = timeout(ANSWER, async {
            let session = connect(&topology.orders.url).await?;
            if session.query_opt(FIND, &[&name]).await?.is_none() {
                return anyhow::Ok(was_sent);
            }
            was_sent = true;
            session.batch_execute(&format!("COMMIT PREPARED '{name}'")).await?;
            Ok(true)
        });
        if let Ok(Ok(is_committed)) = tried.await {
            return Some(is_committed);
        }
        sleep(Duration::from_millis(200)).await;
    }
    None
}
