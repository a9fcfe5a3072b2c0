//! The keeper: owns the shared servers while tests use them.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};

use crate::checkout::set_root;
use crate::cleanup_notes::CleanupTarget;
use crate::postgres::PostgresServer;
use crate::process::ProcessId;
use crate::rabbitmq::RabbitServer;
use crate::shared::{Phase, Rendezvous, Status};
use crate::tempdir;

/// `cargo test` leaves a short gap between two test binaries.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_AFTER_FAILURE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(250);

/// The program `stack-keeper`: `keep CHECKOUT` or `reap FOLDER`, both started by
/// [`shared`](crate::shared()) and the temporary servers.
///
/// # Errors
/// When it is started by hand with other arguments, or its folder can't be used.
pub async fn keeper_main(arguments: &[String]) -> anyhow::Result<()> {
    match arguments {
        [verb, checkout] if verb == "keep" => {
            set_root(Path::new(checkout));
            keep().await
        }
        [verb, folder] if verb == "reap" => tempdir::reap(Path::new(folder)),
        _ => bail!("stack-keeper is started by tests that need servers, not by hand"),
    }
}

async fn keep() -> anyhow::Result<()> {
    let rendezvous = Rendezvous::open()?;
    let only_one = rendezvous.lock_file("keeper.lock")?;
    only_one.lock()?;
    let users = rendezvous.lock_file("users.lock")?;

    let keeper = ProcessId::own();
    rendezvous.write(&Status { keeper: keeper.clone(), phase: Phase::Starting })?;
    let started =
        tokio::try_join!(Box::pin(start_postgres()), Box::pin(RabbitServer::start_temporary()));
    let phase = match &started {
        Ok((postgres, rabbitmq)) => Phase::Ready {
            postgres: postgres.access().clone(),
            rabbitmq: rabbitmq.access().clone(),
        },
        Err(error) => Phase::Failed { error: format!("{error:#}") },
    };
    let linger = if started.is_ok() { LINGER } else { LINGER_AFTER_FAILURE };
    rendezvous.write(&Status { keeper, phase })?;

    let servers = started.as_ref().ok();
    tokio::select! {
        () = until_unused(&users, linger) => {}
        () = run_cleanup(&rendezvous, servers) => {}
        result = until_signalled() => result?,
    }
    // New test processes wait for `users.lock`, which `until_unused` holds, and then start a new
    // keeper.
    drop(started);
    rendezvous.clear();
    Ok(())
}

/// Starts a server that nobody crashes. Its databases live for seconds and are gone with it, so that
/// no file need reach the disk: the checkpoint of each DROP DATABASE would wait for the files of all
/// others.
async fn start_postgres() -> anyhow::Result<PostgresServer> {
    let postgres = PostgresServer::start_temporary().await?;
    let client = postgres.access().connect("postgres").await?;
    client.batch_execute("ALTER SYSTEM SET fsync = off").await?;
    client.batch_execute("SELECT pg_reload_conf()").await?;
    while client.query_one("SHOW fsync", &[]).await?.get::<_, String>(0) == "on" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(postgres)
}

/// Returns with the exclusive lock held, once no shared lock was held for the time of `linger`.
async fn until_unused(users: &File, linger: Duration) {
    let mut unused_since = None;
    loop {
        match users.try_lock() {
            Ok(()) if unused_since.get_or_insert_with(Instant::now).elapsed() >= linger => return,
            Ok(()) => drop(users.unlock()),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => unused_since = None,
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Removes what the notes name. Never returns.
async fn run_cleanup(rendezvous: &Rendezvous, servers: Option<&(PostgresServer, RabbitServer)>) {
    let notes = rendezvous.cleanup_notes();
    loop {
        tokio::time::sleep(TICK).await;
        let Some((postgres, rabbitmq)) = servers else { continue };
        for note in notes.read() {
            let removed = match &note.target {
                CleanupTarget::Database(name) => postgres.access().drop(name).await,
                CleanupTarget::Vhost(name) => rabbitmq.access().delete(name).await,
            };
            // After a failure the note stays for the next tick.
            if removed.is_ok() {
                note.delete();
            }
        }
    }
}

async fn until_signalled() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
