//! Consumes events and applies each once. docs/consumers.md explains what is done when, and why.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::inbox::{apply_once, check_writable};
use crate::queues::Queues;
use crate::settings::Settings;

const QUEUE: &str = "shipments";
const KEYS: [&str; 1] = ["stock.picked"];

/// The prefetch: how many unacknowledged messages this process may have at a time.
const PREFETCH: u16 = 20;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// How long the database may take for an event before it counts as down.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(30);

/// Consumes until `stop`, through outages of both servers.
pub async fn consume_forever(pool: &PgPool, settings: &Settings, stop: &CancellationToken) {
    let mut delay = FIRST_DELAY;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let Err(error) = consume(pool, settings, stop).await else { break };
        // The wait grows after each failure, and resets after a while without one: each reconnect
        // returns messages to the queue, which counts that.
        if started.elapsed() > LONGEST_DELAY {
            delay = FIRST_DELAY;
        }
        let jitter = uuid::Uuid::new_v4().as_bytes()[0];
        let wait = delay.mul_f32(0.5 + f32::from(jitter) / 512.0);
        eprintln!("interrupted, trying again in {wait:.1?}: {error:#}");
        // `stop` ends the wait early.
        timeout(wait, stop.cancelled()).await.ok();
        delay = (2 * delay).min(LONGEST_DELAY);
    }
}

/// Consumes until `stop`, or until a server is lost.
async fn consume(
    pool: &PgPool,
    settings: &Settings,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // The database first: while it is down, nothing is consumed.
    database(check_writable(pool)).await?;
    let connection =
        Connection::connect(&settings.rabbitmq_url, ConnectionProperties::default()).await?;
    let ended = handle_deliveries(pool, &connection, settings, stop).await;
    // Requeues the unacknowledged messages, so that none is held here during an outage.
    let closed = connection.close(200, "".into()).await;
    ended.and(closed.context("close the connection"))
}

async fn handle_deliveries(
    pool: &PgPool,
    connection: &Connection,
    settings: &Settings,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    let queues = Queues::declare(channel.clone(), QUEUE, &KEYS, settings).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut deliveries = channel.basic_consume(QUEUE.into(), "".into(), options, arguments).await?;
    println!("consuming from {QUEUE}");
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            delivery = deliveries.next() => delivery.context("the queue was deleted")??,
        };
        handle(pool, &queues, &delivery).await?;
        // After the commit, or after the broker has confirmed the copy in the next queue: a crash
        // before this line makes a duplicate, never a loss.
        delivery.ack(BasicAckOptions::default()).await?;
    }
}

async fn handle(pool: &PgPool, queues: &Queues<'_>, delivery: &Delivery) -> anyhow::Result<()> {
    let applied = timeout(DATABASE_TIMEOUT, apply_once(pool, &delivery.data)).await;
    let Err(failure) = applied.context("the database does not answer")? else { return Ok(()) };
    // If the database is down, the message is not the cause, and no retry is charged.
    database(check_writable(pool)).await?;
    queues.redirect(delivery, &failure.reason(), failure.can_retry()).await
}

async fn database(call: impl Future<Output = sqlx::Result<()>>) -> anyhow::Result<()> {
    timeout(DATABASE_TIMEOUT, call)
        .await
        .context("the database does not answer")?
        .context("the database")
}
