//! The order database's schema: its migrations, embedded, and who applies them.

use std::time::Duration;

use service_kit::health::Dependency;
use service_kit::postgres::{Database, DatabaseUrl, MigrateArgs, MigrateError, migrate_until_done};
use tokio_util::sync::CancellationToken;

use crate::queries;

mod embedded {
    refinery::embed_migrations!("../sql/order/migrations");
}

/// The migrations, in order.
#[must_use]
pub fn migrations() -> refinery::Runner {
    embedded::migrations::runner()
}

/// Brings the schema up to date, or waits until the `migrate` command has made it; returns early on `shutdown`.
///
/// # Errors
/// When a migration that was applied has been changed since, or when one fails.
pub(crate) async fn prepare(
    args: &MigrateArgs,
    url: &DatabaseUrl,
    database: &Database,
    postgresql: &Dependency,
    shutdown: &CancellationToken,
) -> Result<(), MigrateError> {
    if args.migrate_on_start {
        migrate_until_done(url, migrations, postgresql, shutdown).await?;
        return Ok(());
    }
    loop {
        match database.with(queries::find_schema).await {
            Ok(true) => return Ok(()),
            Ok(false) => postgresql.down("its tables are missing: run order-service migrate"),
            Err(error) => postgresql.down(error.to_string()),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => (),
        }
    }
}
