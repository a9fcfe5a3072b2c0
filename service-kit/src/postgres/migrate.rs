//! Migrations: embedded, applied in order, safe when several replicas start at once.

use clap::{ArgAction, Args};
use refinery::error::Kind;
use refinery::{Migration, Report, Runner};
use tokio_postgres::types::Type;
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
    let mut session = open(url).await?;
    let runner = runner.set_abort_missing(false).set_abort_divergent(true);
    let known = runner.get_migrations().iter().map(Migration::version).max();
    let report = if is_up_to_date(&runner, &mut session).await {
        Report::new(Vec::new())
    } else {
        let turn = Turn::wait(url).await?;
        let report =
            runner.run_async(&mut session.client).await.map_err(|error| match error.kind() {
                Kind::DivergentVersion(_, applied) => MigrateError::Changed(applied.to_string()),
                _ if is_interrupted(&error) => MigrateError::Unreachable(chain(&error)),
                _ => MigrateError::Failed(chain(&error)),
            })?;
        drop(turn);
        report
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

async fn open(url: &DatabaseUrl) -> Result<Session, MigrateError> {
    connect(url, "migrate").await.map_err(|error| MigrateError::Unreachable(format!("{error:#}")))
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

/// The turn of the one process that migrates. It is a transaction of its own session: behind a pooler, a lock that a session holds would
/// be whoever's who gets the connection next. Earlier releases take the same lock for their session.
struct Turn {
    #[expect(dead_code, reason = "its transaction is open while it lives")]
    session: Session,
}

impl Turn {
    /// Waits without a transaction, whose snapshot a `CREATE INDEX CONCURRENTLY` of the one ahead would wait for.
    async fn wait(url: &DatabaseUrl) -> Result<Self, MigrateError> {
        let session = open(url).await?;
        let mut backoff = Backoff::reconnect();
        let mut said = false;
        while !Self::take(&session)
            .await
            .map_err(|error| MigrateError::Unreachable(reason(&error)))?
        {
            if !said {
                tracing::info!("another process is migrating the database: waiting for it");
                said = true;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        Ok(Self { session })
    }

    /// Begins the transaction, and ends it again when it is not this process's turn.
    async fn take(session: &Session) -> Result<bool, tokio_postgres::Error> {
        let client = &session.client;
        // It idles for as long as the migrations take.
        client.batch_execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        let row = client
            .query_typed_one("SELECT pg_try_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
            .await?;
        let taken: bool = row.try_get(0)?;
        if !taken {
            client.batch_execute("ROLLBACK").await?;
        }
        Ok(taken)
    }
}
