//! The schema of a service: migrated at start, or waited for.

use std::time::Duration;

use anyhow::Context as _;
use refinery::Runner;
use tokio_util::sync::CancellationToken;

use super::{MigrateArgs, MigrateError, migrate, migrate_until_done};
use crate::health::Dependency;
use crate::postgres::connect::connect;
use crate::postgres::error::reason;
use crate::postgres::url::DatabaseUrl;

/// How long the check for the tables may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The schema of a service's database.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The migrations, in order.
    pub migrations: fn() -> Runner,
    /// A statement that returns true if the tables exist.
    pub find: &'static str,
    /// The command that migrates, for error messages.
    pub command: &'static str,
}

impl Schema {
    /// Brings the schema up to date, or waits until the `migrate` command has done so; `database`
    /// is down until then. Returns early on `shutdown`.
    ///
    /// # Errors
    /// If an applied migration was changed, or one fails.
    pub async fn prepare(
        &self,
        args: &MigrateArgs,
        url: &DatabaseUrl,
        database: &Dependency,
        shutdown: &CancellationToken,
    ) -> Result<(), MigrateError> {
        let preparing = async {
            if args.migrate_on_start {
                migrate_until_done(url, self.migrations, database).await.map(drop)
            } else {
                self.wait_for_tables(url, database).await;
                Ok(())
            }
        };
        shutdown.run_until_cancelled(preparing).await.unwrap_or(Ok(()))
    }

    async fn wait_for_tables(&self, url: &DatabaseUrl, database: &Dependency) {
        loop {
            match self.exists(url).await {
                Ok(true) => return,
                Ok(false) => {
                    database.down(format!("its tables are missing: run {}", self.command));
                }
                Err(reason) => database.down(reason),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Brings the schema up to date: the `migrate` command.
    ///
    /// # Errors
    /// If the database can't be reached, a migration was changed or fails, or on `shutdown`.
    pub async fn migrate(
        &self,
        url: &DatabaseUrl,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let migrated = shutdown.run_until_cancelled(migrate(url, (self.migrations)())).await;
        migrated.context("stopped before the schema was up to date")??;
        Ok(())
    }

    async fn exists(&self, url: &DatabaseUrl) -> Result<bool, String> {
        let check = async {
            let session =
                connect(url, "schema check").await.map_err(|error| format!("{error:#}"))?;
            let row = session.client.query_typed_one(self.find, &[]).await;
            row.and_then(|row| row.try_get(0)).map_err(|error| reason(&error))
        };
        tokio::time::timeout(CHECK_TIMEOUT, check).await.unwrap_or_else(|_| {
            Err(format!("the database takes longer than {CHECK_TIMEOUT:?} to answer"))
        })
    }
}
