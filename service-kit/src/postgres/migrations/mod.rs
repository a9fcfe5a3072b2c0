//! Migrations: embedded, applied in order, safe if several replicas start at once.

use std::time::Duration;

use clap::{ArgAction, Args};
use refinery::error::Kind;
use refinery::{Migration, Report, Runner};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::backoff::Backoff;
use crate::health::Dependency;
use crate::postgres::connect::{Session, connect};
use crate::postgres::error::{error_chain, reason};
use crate::postgres::pool::{Parameter, is_gone};
use crate::postgres::pooler::is_pooled;
use crate::postgres::url::DatabaseUrl;

mod schema;

pub use schema::Schema;

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
    /// An applied migration differs from the one in this program.
    #[error(
        "migration {0} was changed after it had been applied: restore its text and put the change into a new migration"
    )]
    Changed(String),
    /// A migration failed and was rolled back.
    #[error("migration failed: {0}")]
    Failed(String),
    /// A table that a migration changes is in use. The migration was rolled back, and a retry may
    /// succeed.
    #[error("a table that has to be changed is in use: {0}")]
    Locked(String),
    /// The database could not be reached.
    #[error("the database can't be reached: {0}")]
    Unreachable(String),
}

/// The key of the advisory lock that is held while migrating, as refinery takes no lock. The number
/// has no meaning; it must only be the same everywhere.
const LOCK_KEY: i64 = 7_023_644_817_502_191;

/// How long a pooler may take to give the migrating session a second connection, beside the one
/// that holds the lock.
const SECOND_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

const POOL_TOO_SMALL: &str = "the pooler has no second connection for it: set default_pool_size to 2 at least, or name the server itself in DATABASE_URL";

/// Brings the schema up to date. A newer schema is accepted with a warning: an older program must
/// be able to start during a rolling upgrade.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(url: &DatabaseUrl, runner: Runner) -> Result<Report, MigrateError> {
    let mut session = open_session(url).await?;
    let runner = runner.set_abort_missing(false).set_abort_divergent(true);
    let known = runner.get_migrations().iter().map(Migration::version).max();
    let report = if is_up_to_date(&runner, &mut session).await {
        Report::new(Vec::new())
    } else {
        let mut lock = MigrationLock::acquire(url, &session).await?;
        let done = tokio::select! {
            done = runner.run_async(&mut session.client) => done,
            () = lock.lost() => {
                return Err(MigrateError::Unreachable("the session that holds the lock was ended".to_owned()));
            }
        };
        done.map_err(|error| match (error.kind(), driver_error(&error)) {
            (Kind::DivergentVersion(_, applied), _) => MigrateError::Changed(applied.to_string()),
            (_, Some(cause)) if is_gone(cause) => MigrateError::Unreachable(error_chain(&error)),
            (_, Some(cause)) if cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                MigrateError::Locked(error_chain(&error))
            }
            _ => MigrateError::Failed(error_chain(&error)),
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

async fn open_session(url: &DatabaseUrl) -> Result<Session, MigrateError> {
    connect(url, "migrate").await.map_err(|error| MigrateError::Unreachable(format!("{error:#}")))
}

/// Returns true if every migration is applied unchanged. Then there is nothing to do, and the role
/// needs no privilege to create anything.
async fn is_up_to_date(runner: &Runner, session: &mut Session) -> bool {
    let Ok(applied) = runner.get_applied_migrations_async(&mut session.client).await else {
        // There is no history table yet, or it can't be read: the migration reports which.
        return false;
    };
    let is_applied = |migration: &Migration| {
        applied.iter().any(|one| {
            one.version() == migration.version() && one.checksum() == migration.checksum()
        })
    };
    runner.get_migrations().iter().all(is_applied)
}

/// Like [`migrate`], but waits for a database that can't be reached yet.
///
/// # Errors
/// If a migration was changed or fails.
pub(super) async fn migrate_until_done(
    url: &DatabaseUrl,
    runner: impl Fn() -> Runner,
    dependency: &Dependency,
) -> Result<Report, MigrateError> {
    let mut backoff = Backoff::reconnect();
    loop {
        let reason = match migrate(url, runner()).await {
            Ok(report) => return Ok(report),
            Err(MigrateError::Unreachable(reason)) => reason,
            Err(error @ MigrateError::Locked(_)) => error.to_string(),
            Err(error) => return Err(error),
        };
        dependency.down(reason);
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Returns the driver's error.
fn driver_error(error: &refinery::Error) -> Option<&tokio_postgres::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<tokio_postgres::Error>() {
            return Some(error);
        }
        source = cause.source();
    }
    None
}

/// The lock of the one process that migrates: a session lock of the migrating session, which the
/// server holds until the last statement has ended, even if the process dies. Behind a pooler a
/// session lock would pass to the connection's next client, so there it is the lock of a
/// transaction in another session.
enum MigrationLock {
    Direct,
    Pooled(Session),
}

impl MigrationLock {
    /// Waits for the lock without a transaction, whose snapshot would block a `CREATE INDEX
    /// CONCURRENTLY` of the process that holds it.
    async fn acquire(url: &DatabaseUrl, migrating: &Session) -> Result<Self, MigrateError> {
        let unreachable = |error: tokio_postgres::Error| MigrateError::Unreachable(reason(&error));
        let mut lock = Self::Direct;
        if is_pooled(&migrating.client).await.map_err(unreachable)? {
            lock = Self::Pooled(open_session(url).await?);
        }
        let mut backoff = Backoff::reconnect();
        let mut is_logged = false;
        while !lock.try_acquire(migrating).await.map_err(unreachable)? {
            if !is_logged {
                tracing::info!("another process is migrating the database: waiting for it");
                is_logged = true;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        if let Self::Pooled(_) = lock {
            let answer =
                timeout(SECOND_CONNECTION_TIMEOUT, migrating.client.simple_query("")).await;
            answer
                .map_err(|_| MigrateError::Failed(POOL_TOO_SMALL.to_owned()))?
                .map_err(unreachable)?;
        }
        Ok(lock)
    }

    /// Tries to take the lock. Returns true if it was taken.
    async fn try_acquire(&self, migrating: &Session) -> Result<bool, tokio_postgres::Error> {
        let key: [Parameter<'_>; 1] = [(&LOCK_KEY, Type::INT8)];
        let Self::Pooled(session) = self else {
            let sql = "SELECT pg_try_advisory_lock($1)";
            return migrating.client.query_typed_one(sql, &key).await?.try_get(0);
        };
        let client = &session.client;
        // The transaction idles until the migrations are done.
        client.batch_execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        let sql = "SELECT pg_try_advisory_xact_lock($1)";
        let is_acquired: bool = client.query_typed_one(sql, &key).await?.try_get(0)?;
        if !is_acquired {
            client.batch_execute("ROLLBACK").await?;
        }
        Ok(is_acquired)
    }

    /// Completes when the lock is lost while the migrating session is not.
    async fn lost(&mut self) {
        match self {
            Self::Direct => std::future::pending().await,
            Self::Pooled(session) => session.closed().await,
        }
    }
}
