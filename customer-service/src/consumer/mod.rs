//! The consumer: counts each `order.created` event once.
//!
//! A session subscribes to the work queue and finishes batch after batch. When the database or the
//! broker fails, the session ends, its messages return to the queue, and the next session begins.
//!
//! | file | what it does |
//! |---|---|
//! | `command`, `config` | the commands `consumer`, `check` and `rebuild-queue`; settings |
//! | `terminal` | output of commands |
//! | `run`, `session` | the loop over sessions; the loop over the batches of a session |
//! | `reconnect` | connects and subscribes, again and again until both succeed |
//! | `broker`, `topology` | the connection to RabbitMQ; exchanges, queues and bindings |
//! | `subscription` | receives messages into the next batch while the current one is processed |
//! | `batch`, `message` | the steps of a batch; parsing a message |
//! | `counter` | counts a batch in one transaction, or splits it where the database refuses that |
//! | `outcomes`, `retry_policy` | which messages are done and which are retried or dead-lettered |
//! | `redirect`, `redirect_connection` | publish to the retry or the dead-letter queue |
//! | `message_copy`, `headers` | the published message: a copy, with the consumer's headers |
//! | `acknowledge` | acknowledges messages; holds those that could not be redirected |
//! | `retry_ttl` | applies a shorter `RABBITMQ_RETRY_TTL_MS` to messages in the retry queue |
//! | `dead_letters`, `metrics`, `spans` | the depth of the dead-letter queue; metrics; traces |
//! | `prune` | deletes the ids of events that were counted long ago |
//! | `check`, `rebuild` | `consumer check`; `consumer rebuild-queue` |
//! | `fuzz` | what the fuzzer calls; not compiled otherwise |

mod acknowledge;
mod batch;
mod broker;
mod check;
mod command;
mod config;
mod counter;
mod dead_letters;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod headers;
mod message;
mod message_copy;
mod metrics;
mod outcomes;
mod prune;
mod rebuild;
mod reconnect;
mod redirect;
mod redirect_connection;
mod retry_policy;
mod retry_ttl;
mod run;
mod session;
mod spans;
mod subscription;
mod terminal;
mod topology;

use service_kit::health::{Health, Need};
use service_kit::ops;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::schema::SCHEMA;
use reconnect::Dependencies;
use run::run_sessions;

pub use check::CheckArgs;
pub use command::ConsumerCommand;
pub use config::{ConsumerConfig, Retention, SubscriptionArgs};
pub use rebuild::RebuildArgs;

/// Opens the operations port and runs the consumer until `shutdown`.
///
/// # Errors
/// Those of [`run`], and when the port can't be opened.
pub async fn start(config: ConsumerConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let ops = ops::bind(&config.ops_addr, "OPS_ADDR").await?;
    Box::pin(run(config, ops, shutdown)).await
}

/// Consumes until `shutdown`, then finishes the current batch. While the database or the broker is
/// down, it reconnects for as long as that takes.
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
    // The operations port stays open until the last message is acknowledged.
    let done = CancellationToken::new();
    let consume = async {
        let _done = done.clone().drop_guard();
        let url = config.database.url();
        SCHEMA.prepare(&config.migrate, url, &dependencies.database, &shutdown).await?;
        tokio::join!(
            run_sessions(&config, &dependencies, &shutdown),
            prune::run(&config, &shutdown),
        );
        anyhow::Ok(())
    };
    tokio::try_join!(consume, ops::serve(ops, health, shutdown.clone(), done.clone()))?;
    Ok(())
}
