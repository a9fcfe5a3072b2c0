//! Builds the process, and starts and stops its parts in order.

use std::time::Duration;

use service_kit::health::{Health, Need};
use service_kit::http::{self, Up};
use service_kit::postgres::{self, Database, Pool, PoolArgs};
use service_kit::{ops, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{OrdersApi, openapi_service};
use crate::batched_reads;
use crate::config::{Config, MigrateConfig};
use crate::customers::{self, CheckMode, Client, CustomerCheck, CustomerDirectory};
use crate::group_commit;
use crate::idempotency;
use crate::metrics;
use crate::phases;
use crate::schema::SCHEMA;

/// The open ports of the process.
#[derive(Debug)]
pub struct Listeners {
    /// The API's port.
    pub http: TcpListener,
    /// The operations port.
    pub ops: TcpListener,
}

/// Connections for group commit and batched reads: one for the writer, two for the readers, and one
/// to spare while a statement is cancelled.
const BATCH_CONNECTIONS: u16 = 4;

/// The part of the shutdown grace that is kept for what follows the last request.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// Opens the ports and serves until `shutdown`.
///
/// # Errors
/// As [`run`], and if a port is taken.
pub async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listeners = Listeners {
        http: ops::bind(&config.listen_addr, "LISTEN_ADDR").await?,
        ops: ops::bind(&config.ops_addr, "OPS_ADDR").await?,
    };
    // The future of the whole process is too large for the stack.
    Box::pin(run(config, listeners, shutdown)).await
}

/// Serves until `shutdown`. The API answers from the start, with 503 until the database is
/// available.
///
/// # Errors
/// If a setting is unusable, a migration fails or was changed, or a port fails.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    telemetry::install_tls();
    metrics::describe();
    phases::describe();
    let health = Health::default();
    let postgresql = health.dependency("postgresql", Need::Required);
    let connections = |args: &PoolArgs| Pool::new(config.database.url(), args, "order-service");
    let limit = config.pool.database_statement_timeout;
    let (pool, probe) = (connections(&config.pool)?, connections(&config.pool.with_size(1))?);
    let database = Database::new(pool.clone(), limit);
    // Batches serve many requests and must not wait for the connections of single ones.
    let batch_database =
        Database::new(connections(&config.pool.with_size(BATCH_CONNECTIONS))?, limit);
    let settings = &config.customers;
    let client = Client::new(
        settings.customer_service_url.clone(),
        settings.customer_connect_timeout,
        settings.customer_timeout,
    )?;
    let (directory, refreshes) =
        CustomerDirectory::new(client.clone(), settings.customer_cache_ttl);
    let (queue, batch_reader) = group_commit::queue(
        usize::from(config.order_queue_size),
        config.pool.database_pool_wait,
        usize::from(config.pool.database_pool_size),
    );
    let (reader, read_batcher) = batched_reads::order_reader(usize::from(config.order_queue_size));
    let orders = OrdersApi {
        database: database.clone(),
        queue,
        reader,
        customer_check: CustomerCheck::new(settings.customer_check, directory.clone()),
        directory: directory.clone(),
    };

    // Everything else keeps running until the last request is answered.
    let after_requests = CancellationToken::new();
    let api = async {
        let _last = after_requests.clone().drop_guard();
        let app = http::app(openapi_service((orders, Up)));
        let grace = config.process.shutdown_grace.saturating_sub(CLOSING_TIME);
        http::serve(listeners.http, app, &config.http, grace, shutdown.clone()).await
    };
    // On a task of its own, so that it does not wait for the other futures of this one.
    let writing =
        group_commit::write_batches(batch_reader, batch_database.clone(), after_requests.clone());
    let writing = AbortOnDropHandle::new(tokio::spawn(writing));
    let writing = async { Ok(writing.await?) };
    let reading = read_batcher.run(batch_database.clone(), after_requests.clone());
    let reading = AbortOnDropHandle::new(tokio::spawn(reading));
    let reading = async { Ok(reading.await?) };
    let background = async {
        let url = config.database.url();
        SCHEMA.prepare(&config.migrate, url, &postgresql, &shutdown).await?;
        tokio::join!(
            postgres::watch(pool, probe, postgresql.clone(), after_requests.clone()),
            idempotency::prune(database.clone(), after_requests.clone()),
        );
        anyhow::Ok(())
    };
    let refreshing = customers::refresh(refreshes, directory, after_requests.clone());
    let refreshing = AbortOnDropHandle::new(tokio::spawn(refreshing));
    let refreshing = async { Ok(refreshing.await?) };
    let customer_health = async {
        if settings.customer_check != CheckMode::Off {
            let dependency = health.dependency("customer-service", Need::Optional);
            customers::health_check(client, dependency, after_requests.clone()).await;
        }
        anyhow::Ok(())
    };
    // The operations port reports until everything else has ended.
    let all_else = CancellationToken::new();
    let work = async {
        let _last = all_else.clone().drop_guard();
        tokio::try_join!(api, writing, reading, background, refreshing, customer_health)?;
        tokio::join!(database.close(), batch_database.close());
        anyhow::Ok(())
    };
    let operations = ops::serve(listeners.ops, health.clone(), shutdown.clone(), all_else.clone());
    tokio::try_join!(work, operations)?;
    Ok(())
}

/// Brings the schema up to date.
///
/// # Errors
/// If the database can't be reached, or a migration fails or was changed.
pub async fn migrate(config: MigrateConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    SCHEMA.migrate(config.database.url(), shutdown).await
}
