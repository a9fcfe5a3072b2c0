//! The customer database's schema.

use refinery::Runner;
use service_kit::health::Dependency;
use service_kit::postgres::{self, DatabaseUrl, MigrateArgs, MigrateError, migrate_until_done};
use tokio_util::sync::CancellationToken;

use crate::config::MigrateConfig;

mod embedded {
    refinery::embed_migrations!("../sql/customer/migrations");
}

/// The migrations, in order.
#[must_use]
pub fn migrations() -> Runner {
    embedded::migrations::runner()
}

/// Brings the schema up to date at the start of a role, unless the settings leave that to the `migrate` command. Waits for
/// the database for as long as it takes, or until `shutdown`.
///
/// # Errors
/// When a migration that was applied has been changed since, or when one fails.
pub async fn migrate_at_start(
    args: &MigrateArgs,
    url: &DatabaseUrl,
    database: &Dependency,
    shutdown: &CancellationToken,
) -> Result<(), MigrateError> {
    if args.migrate_on_start {
        migrate_until_done(url, migrations, database, shutdown).await?;
    }
    Ok(())
}

/// Brings the schema up to date and ends.
///
/// # Errors
/// When the database can't be reached, or a migration fails or was changed.
pub async fn migrate(config: &MigrateConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        done = postgres::migrate(config.database.url(), migrations()) => done.map(drop)?,
        () = shutdown.cancelled() => anyhow::bail!("stopped before the schema was up to date"),
    }
    Ok(())
}
