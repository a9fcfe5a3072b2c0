//! The consumer: counts each `order.created` event once.
//!
//! | file | step |
//! |---|---|
//! | `work` | the loop: open, finish batch after batch while the next one gathers, begin anew after an interruption |
//! | `broker`, `topology`, `found` | the connection; which exchanges and queues there are to be, or are there |
//! | `intake`, `acknowledge` | take the messages that have arrived; acknowledge those that are done, keep for a while what has nowhere to go |
//! | `batch`, `outcomes` | one batch from parsed to acknowledging; what became of each event |
//! | `event` | read a message |
//! | `apply`, `ledger`, `fault` | apply a batch in one transaction; in parts when the database refuses it, somebody holds a lock, or it takes too long |
//! | `spans` | its part in the traces of the events |
//! | `divert`, `headers`, `copy`, `mover` | move a message to the retry or the dead-letter queue, over a connection of its own |
//! | `hasten` | shorten the wait of what was sent to the retry queue when that was longer |
//! | `dead_letters` | count what waits in the dead-letter queue |
//! | `prune` | forget the events that were counted long ago |
//! | `task`, `terminal` | the commands: consume, `check`, `rebuild` the work queue; what the latter two have in common |

mod acknowledge;
mod batch;
mod broker;
mod check;
mod command;
mod config;
mod counter;
mod dead_letters;
mod headers;
mod message;
mod metrics;
mod outcomes;
mod prune;
mod rebuild;
mod redirect;
mod redirector;
mod republish;
mod retry_policy;
mod retry_ttl;
mod run;
mod spans;
mod subscription;
mod terminal;
mod topology;

use service_kit::health::{Health, Need};
use service_kit::ops;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::schema::SCHEMA;
use prune::prune_periodically;
use run::{Dependencies, run_sessions};

pub use check::CheckArgs;
pub use command::ConsumerCommand;
pub use config::{ConsumerConfig, Retention, SubscriptionArgs};
pub use rebuild::RebuildArgs;

/// Opens the operations port and runs the consumer until `shutdown`.
///
/// # Errors
/// As [`run`], and when the port can't be listened on.
pub async fn start(config: ConsumerConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let ops = ops::bind(&config.ops_addr, "OPS_ADDR").await?;
    Box::pin(run(config, ops, shutdown)).await
}

/// Consumes until `shutdown`, then finishes the batch in flight. Waits for the database and the broker for as long as they take.
///
/// # Errors
/// When a migration was changed or fails, or when the operations port fails.
pub async fn run(
    config: ConsumerConfig,
    ops: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    metrics::describe();
    let health = Health::default();
    let dependencies = Dependencies {
        database: health.dependency("postgresql", Need::Required),
        broker: health.dependency("rabbitmq", Need::Required),
        health: health.clone(),
    };
    // The port tells how things are until the last message is done.
    let done = CancellationToken::new();
    let consume = async {
        let _done = done.clone().drop_guard();
        let url = config.database.url();
        SCHEMA.prepare(&config.migrate, url, &dependencies.database, &shutdown).await?;
        tokio::join!(
            run_sessions(&config, &dependencies, &shutdown),
            prune_periodically(&config, &shutdown),
        );
        anyhow::Ok(())
    };
    tokio::try_join!(consume, ops::serve(ops, health, shutdown.clone(), done.clone()))?;
    Ok(())
}
