//! The desk for dead letters: messages of a dead-letter queue become rows of a table.
//!
//! | file | what it does |
//! |---|---|
//! | `message` | a message as a row |
//! | `conventions`, `deaths`, `headers` | what consumers' libraries and RabbitMQ write into headers, and how it is read |
//! | `identity`, `json` | what a message is known by when it is delivered again; headers for people |
//! | `subscription` | the connection to RabbitMQ, with the lock that keeps other collectors away |
//! | `depth` | how many messages wait in the queue |
//! | `store`, `queries`, `blame` | the session with the database; one function per statement; whose fault it is when one fails |
//! | `session`, `session/batches`, `session/refusals`, `held` | stores batch after batch; the messages that the database refuses |
//! | `follow` | session after session, with a pause after each interruption |
//! | `returned`, `publisher` | a row as the message that goes back, and how it is published |
//! | `fuzz` | what the fuzzer calls; not compiled otherwise |
//! | `measure`, `metrics`, `prune` | beside it: what waits; the metrics; deleting what was settled long ago |

mod blame;
mod conventions;
mod deaths;
mod depth;
mod follow;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod headers;
mod held;
mod identity;
mod json;
mod measure;
mod message;
mod metrics;
mod prune;
mod publisher;
mod queries;
mod returned;
mod session;
mod store;
mod subscription;

use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use service_kit::health::Health;
use service_kit::ops;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::CollectorConfig;
use follow::{Dependencies, Unopened, open};
use message::Reading;
use metrics::QueueMetrics;
use session::{Interruption, Until};

pub(crate) use publisher::{Broken, CONFIRM_LIMIT, Publisher, Verdict};
pub(crate) use returned::ReturningRow;

/// How long the broker may take to notice that an earlier collector was killed.
const MAX_DETECTION_TIME: Duration = Duration::from_secs(5);

/// What a collector has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Collected {
    /// New rows.
    pub(crate) stored: u64,
    /// Messages that were delivered again and had a row.
    pub(crate) known: u64,
    /// Messages that the database refuses, and why.
    pub(crate) refused: Vec<String>,
    /// So many are refused that the others were left in the queue.
    pub(crate) is_incomplete: bool,
}

/// Collects what is in the queue at the start.
///
/// # Errors
/// When the database or the broker can't be used, or another collector is at work. What was
/// collected until then is in the table.
pub(crate) async fn collect_once(config: &CollectorConfig) -> anyhow::Result<Collected> {
    let reading = Reading::new(&config.collect, config.broker.url().virtual_host());
    let health = Health::default();
    let dependencies = Dependencies::new(&health);
    let deadline = Instant::now() + MAX_DETECTION_TIME;
    let mut session = loop {
        match open(config, &dependencies, &reading, &[]).await {
            Ok(session) => break session,
            Err(Unopened::Interrupted(interruption)) => return Err(explain(interruption)),
            Err(Unopened::Standby(reason)) if Instant::now() > deadline => {
                return Err(anyhow!("{reason}: stop it, or leave the work to it"));
            }
            Err(Unopened::Standby(_)) => sleep(Duration::from_millis(200)).await,
        }
    };
    let ended = session.run(Until::Collected, &CancellationToken::new(), &health).await;
    let collected = std::mem::take(&mut session.collected);
    session.close().await;
    ended.map_err(explain).map(|()| collected)
}

fn explain(interruption: Interruption) -> anyhow::Error {
    match interruption {
        Interruption::Database(reason) => anyhow!("the database can't be used: {reason}"),
        Interruption::Broker(reason) => anyhow!("the broker can't be used: {reason}"),
    }
}

/// Collects until `shutdown`, and serves the operations port.
///
/// # Errors
/// When the operations port fails. A database or a broker that can't be used is waited for.
pub(crate) async fn follow(
    config: CollectorConfig,
    ops_listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    QueueMetrics::of(&config.collect.queue).describe();
    let health = Health::default();
    let dependencies = Dependencies::new(&health);
    // The port answers until the last message is acknowledged.
    let ops_stop = CancellationToken::new();
    let ops = ops::serve(ops_listener, health, shutdown.clone(), ops_stop.clone());
    let work = async {
        tokio::join!(
            Box::pin(follow::run(&config, &dependencies, &shutdown)),
            Box::pin(measure::run(&config, &shutdown)),
            prune::run(&config, &shutdown),
        );
        ops_stop.cancel();
        Ok(())
    };
    tokio::try_join!(work, ops).map(drop)
}
