//! The HTTP API of customers.
//!
//! | file | what it does |
//! |---|---|
//! | `handlers` | the operations |
//! | `request`, `response` | what clients send and receive |
//! | `store` | customers in the database |
//! | `error_responses` | the statuses with which each operation refuses |
//! | `openapi` | the OpenAPI document |

mod config;
mod error_responses;
mod handlers;
mod openapi;
mod request;
mod response;
mod store;

use std::time::Duration;

use service_kit::backoff::Backoff;
use service_kit::health::{Dependency, Health, Need};
use service_kit::http::{self, Up};
use service_kit::ops;
use service_kit::postgres::{Database, Pool, watch};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::schema::SCHEMA;
use handlers::CustomersApi;
use openapi::openapi_service;
use store::Store;

pub use config::ApiConfig;
pub use openapi::openapi_document;

/// The part of the grace time that is reserved for closing connections after the last request.
const CLOSE_RESERVE: Duration = Duration::from_secs(1);

/// Opens both ports and serves the API until `shutdown`.
///
/// # Errors
/// Those of [`run`], and when a port can't be opened.
pub async fn start(config: ApiConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = ops::bind(&config.listen_addr, "LISTEN_ADDR").await?;
    let ops = ops::bind(&config.ops_addr, "OPS_ADDR").await?;
    // On the heap: the future of the whole process is large.
    Box::pin(run(config, listener, ops, shutdown)).await
}

/// Serves the API on `listener` until `shutdown`, then finishes the requests in flight. While the
/// database is down, operations that need it respond 503.
///
/// # Errors
/// When a migration was changed or fails, or when a port fails.
pub async fn run(
    config: ApiConfig,
    listener: TcpListener,
    ops: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let health = Health::default();
    let database = health.dependency("postgresql", Need::Required);
    let pool = Pool::new(config.database.url(), &config.pool, "customer-service api")?;
    let probe =
        Pool::new(config.database.url(), &config.pool.with_size(1), "customer-service api")?;
    let store = Store::new(Database::new(pool.clone(), config.pool.database_statement_timeout));

    let served = CancellationToken::new();
    let serve = async {
        let _served = served.clone().drop_guard();
        let app = http::app(openapi_service((CustomersApi { store: store.clone() }, Up)));
        let grace = config.process.shutdown_grace.saturating_sub(CLOSE_RESERVE);
        http::serve(listener, app, &config.serve, grace, shutdown.clone()).await
    };
    let prepare = async {
        prepare(&config, &store, &database, &shutdown).await?;
        watch(pool.clone(), probe, database.clone(), served.clone()).await;
        Ok(())
    };
    // The operations port stays open until everything else is closed.
    let closed = CancellationToken::new();
    let work = async {
        let _closed = closed.clone().drop_guard();
        tokio::try_join!(serve, prepare)?;
        store.close().await;
        anyhow::Ok(())
    };
    tokio::try_join!(work, ops::serve(ops, health, shutdown.clone(), closed.clone()))?;
    Ok(())
}

/// Migrates the schema and loads the seed data, as the settings say.
async fn prepare(
    config: &ApiConfig,
    store: &Store,
    database: &Dependency,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    SCHEMA.prepare(&config.migrate, config.database.url(), database, shutdown).await?;
    let mut backoff = Backoff::reconnect();
    while config.seed_customers && !shutdown.is_cancelled() {
        match store.seed().await {
            Ok(new) => {
                tracing::info!(new, "loaded the seed data");
                break;
            }
            Err(problem) => {
                tracing::debug!(%problem, "the seed data can't be loaded yet");
            }
        }
        shutdown.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
    }
    Ok(())
}
