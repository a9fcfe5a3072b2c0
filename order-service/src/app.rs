//! The process: what it is built of, and the order in which it starts and stops.

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
use crate::schema::SCHEMA;

/// The ports of the process, opened.
#[derive(Debug)]
pub struct Listeners {
    /// Where the API is.
    pub http: TcpListener,
    /// Where the operations port is.
    pub ops: TcpListener,
}

/// Connections for joined writes and reads: for one writer and two readers, and another one while a statement is cancelled.
const BATCH_CONNECTIONS: u16 = 4;

/// What is left of the grace time for everything after the last request.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// Opens the ports and serves until `shutdown`.
///
/// # Errors
/// As [`run`], and when a port is taken.
pub async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listeners = Listeners {
        http: ops::bind(&config.listen_addr, "LISTEN_ADDR").await?,
        ops: ops::bind(&config.ops_addr, "OPS_ADDR").await?,
    };
    // On the heap: it is the whole process.
    Box::pin(run(config, listeners, shutdown)).await
}

/// Serves until `shutdown`. The API answers from the beginning, with 503 until the database is there.
///
/// # Errors
/// When settings can't be used, a migration fails or was changed, or a port fails.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    telemetry::install_tls();
    metrics::describe();
    let health = Health::default();
    let postgresql = health.dependency("postgresql", Need::Required);
    let connections = |args: &PoolArgs| Pool::new(config.database.url(), args, "order-service");
    let limit = config.pool.database_statement_timeout;
    let (pool, probe) = (connections(&config.pool)?, connections(&config.pool.with_size(1))?);
    let database = Database::new(pool.clone(), limit);
    // What is written and read for many requests at once must not wait for what single requests do.
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

    // Everything but the requests goes on until the last of them is answered.
    let rest = CancellationToken::new();
    let api = async {
        let _last = rest.clone().drop_guard();
        let app = http::app(openapi_service((orders, Up)));
        let grace = config.process.shutdown_grace.saturating_sub(LAST_STEPS);
        http::serve(listeners.http, app, &config.http, grace, shutdown.clone()).await
    };
    // A task of its own, which needs not wait for what else this one has to do.
    let writing = group_commit::write_batches(batch_reader, batch_database.clone(), rest.clone());
    let writing = AbortOnDropHandle::new(tokio::spawn(writing));
    let writing = async { Ok(writing.await?) };
    let reading = read_batcher.run(batch_database.clone(), rest.clone());
    let reading = AbortOnDropHandle::new(tokio::spawn(reading));
    let reading = async { Ok(reading.await?) };
    let background = async {
        let url = config.database.url();
        SCHEMA.prepare(&config.migrate, url, &postgresql, &shutdown).await?;
        tokio::join!(
            postgres::watch(pool, probe, postgresql.clone(), rest.clone()),
            idempotency::prune(database.clone(), rest.clone()),
        );
        anyhow::Ok(())
    };
    let refreshing = customers::refresh(refreshes, directory, rest.clone());
    let refreshing = AbortOnDropHandle::new(tokio::spawn(refreshing));
    let refreshing = async { Ok(refreshing.await?) };
    let customer_health = async {
        if settings.customer_check != CheckMode::Off {
            let dependency = health.dependency("customer-service", Need::Optional);
            customers::health_check(client, dependency, rest.clone()).await;
        }
        anyhow::Ok(())
    };
    // The operations port tells how things are until nothing else is left.
    let last = CancellationToken::new();
    let work = async {
        let _last = last.clone().drop_guard();
        tokio::try_join!(api, writing, reading, background, refreshing, customer_health)?;
        tokio::join!(database.close(), batch_database.close());
        anyhow::Ok(())
    };
    let operations = ops::serve(listeners.ops, health.clone(), shutdown.clone(), last.clone());
    tokio::try_join!(work, operations)?;
    Ok(())
}

/// Brings the schema up to date and ends.
///
/// # Errors
/// When the database can't be reached, or a migration fails or was changed.
pub async fn migrate(config: MigrateConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    SCHEMA.migrate(config.database.url(), shutdown).await
}
