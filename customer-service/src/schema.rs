//! The customer database's schema.

use refinery::Runner;
use service_kit::health::Dependency;
use service_kit::postgres::{DatabaseUrl, MigrateArgs, MigrateError, migrate_until_done};
use tokio_util::sync::CancellationToken;

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
