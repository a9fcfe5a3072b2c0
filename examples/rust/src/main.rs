//! Ships what was picked for an order: a service that writes events to the outbox, over HTTP and
//! for the events that it consumes.

mod api;
mod consumer;
mod headers;
mod inbox;
mod queues;
mod shipments;

use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The value of an environment variable, or a default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database_url = std::env::var("DATABASE_URL").context("DATABASE_URL is missing")?;
    let rabbitmq_url = std::env::var("RABBITMQ_URL").context("RABBITMQ_URL is missing")?;
    let database: PgConnectOptions = database_url.parse().context("DATABASE_URL")?;
    // Connects when it is needed: the process starts while the database is down.
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_secs(10))
        .connect_lazy_with(database.options([("statement_timeout", "10s")]));

    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        signalled.cancel();
    });

    let listener = TcpListener::bind(setting("LISTEN_ADDR", "127.0.0.1:3002")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener, api::routes(pool.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let ((), served) =
        tokio::join!(consumer::consume_forever(&pool, &rabbitmq_url, &stop), server.into_future(),);
    pool.close().await;
    println!("stopped");
    Ok(served?)
}
