//! Migrations: embedded, applied in order, safe when several replicas start at once.

use clap::{ArgAction, Args};
use refinery::error::Kind;
use refinery::{Migration, Report, Runner};
use tokio_util::sync::CancellationToken;

use super::connect::{Session, chain, connect, reason};
use super::database::is_gone;
use super::url::DatabaseUrl;
use crate::backoff::Backoff;
use crate::health::Dependency;

/// Settings of the migrations.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct MigrateArgs {
    /// Bring the database's schema up to date at start; false: leave it to the migrate command
    #[arg(long, env = "MIGRATE_ON_START", action = ArgAction::Set, default_value_t = true, value_name = "BOOL")]
    pub migrate_on_start: bool,
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A migration that was applied is not the one that this program holds.
    #[error(
        "migration {0} was changed after it had been applied: restore its text and put the change into a new migration"
    )]
    Changed(String),
    /// A migration that failed; nothing of it was kept.
    #[error("migration failed: {0}")]
    Failed(String),
    /// The database could not be reached.
    #[error("the database can't be reached: {0}")]
    Unreachable(String),
}

/// Held while migrating, so that replicas that start at once take turns: refinery itself takes no lock.
/// The number means nothing; it only must be the same everywhere.
const LOCK: i64 = 7_023_644_817_502_191;

/// Brings the schema up to date. A newer schema is accepted with a warning: an old program must be able to come back
/// during a rolling upgrade.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(url: &DatabaseUrl, runner: Runner) -> Result<Report, MigrateError> {
    let mut session = connect(url, "migrate")
        .await
        .map_err(|error| MigrateError::Unreachable(format!("{error:#}")))?;
    let runner = runner.set_abort_missing(false).set_abort_divergent(true);
    let known = runner.get_migrations().iter().map(Migration::version).max();
    let report = if is_up_to_date(&runner, &mut session).await {
        Report::new(Vec::new())
    } else {
        lock(&session).await?;
        runner.run_async(&mut session.client).await.map_err(|error| match error.kind() {
            Kind::DivergentVersion(_, applied) => MigrateError::Changed(applied.to_string()),
            _ if is_interrupted(&error) => MigrateError::Unreachable(chain(&error)),
            _ => MigrateError::Failed(chain(&error)),
        })?
    };
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "applied a migration");
    }
    let applied = runner.get_last_applied_migration_async(&mut session.client).await.ok().flatten();
    if let Some(newest) = applied.filter(|newest| Some(newest.version()) > known) {
        tracing::warn!(schema = %newest, "the database's schema is newer than this program; going on with it");
    }
    Ok(report)
}

/// Whether every migration is applied as it is here. Then nothing is to be done, for which a role may lack the rights: it needs none to
/// create anything.
async fn is_up_to_date(runner: &Runner, session: &mut Session) -> bool {
    let Ok(applied) = runner.get_applied_migrations_async(&mut session.client).await else {
        // There is no history yet, or it may not be read: migrating tells.
        return false;
    };
    let is_applied = |migration: &Migration| {
        applied.iter().any(|one| {
            one.version() == migration.version() && one.checksum() == migration.checksum()
        })
    };
    runner.get_migrations().iter().all(is_applied)
}

/// [`migrate`], waiting for a database that can't be reached yet for as long as it takes. `None` when told to stop.
///
/// # Errors
/// When a migration was changed or fails.
pub async fn migrate_until_done(
    url: &DatabaseUrl,
    runner: impl Fn() -> Runner,
    dependency: &Dependency,
    shutdown: &CancellationToken,
) -> Result<Option<Report>, MigrateError> {
    let mut backoff = Backoff::reconnect();
    loop {
        let reason = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            result = migrate(url, runner()) => match result {
                Ok(report) => return Ok(Some(report)),
                Err(MigrateError::Unreachable(reason)) => reason,
                Err(error) => return Err(error),
            }
        };
        dependency.down(reason);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(backoff.next_delay()) => (),
        }
    }
}

/// Whether the connection was lost in the middle: nothing is wrong with the migration then, and nothing of it was kept.
fn is_interrupted(error: &refinery::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<tokio_postgres::Error>() {
            return is_gone(error);
        }
        source = cause.source();
    }
    false
}

/// Waits for its turn without holding a snapshot open, which a `CREATE INDEX CONCURRENTLY` of the one ahead would wait for.
async fn lock(session: &Session) -> Result<(), MigrateError> {
    let unreachable = |error: tokio_postgres::Error| MigrateError::Unreachable(reason(&error));
    let mut backoff = Backoff::reconnect();
    let mut said = false;
    while !session
        .client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await
        .map_err(unreachable)?
        .get::<_, bool>(0)
    {
        if !said {
            tracing::info!("another process is migrating the database: waiting for it");
            said = true;
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
    Ok(())
}
