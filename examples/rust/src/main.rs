//! Ships what was picked for an order: a service that writes events to the outbox, over HTTP and
//! for the events that it consumes.

mod api;
mod consumer;
mod event;
mod headers;
mod inbox;
mod queues;
mod settings;
mod shipments;

use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let database: PgConnectOptions = settings.database_url.parse().context("DATABASE_URL")?;
    // Connects lazily, so that the process can start while the database is down.
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(database.options([("statement_timeout", "10s")]));

    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        signalled.cancel();
    });

    let listener = TcpListener::bind(&settings.listen_addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener, api::routes(pool.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let ((), served) =
        tokio::join!(consumer::consume_forever(&pool, &settings, &stop), server.into_future(),);
    pool.close().await;
    println!("stopped");
    Ok(served?)
}
