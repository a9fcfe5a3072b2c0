//! Roles of a private PostgreSQL server that are not its superuser.

use anyhow::Context;

use crate::database::{Database, PostgresAccess};

/// Advisory lock held while a role is changed: the role catalogue is shared by the whole server and
/// rejects concurrent updates.
const LOCK: i64 = 7_461_902_233_105_148;

impl PostgresAccess {
    /// Sets the password of an existing role; letters and digits only.
    ///
    /// # Errors
    /// When the server does not answer or there is no such role.
    pub async fn set_password(&self, role: &str, password: &str) -> anyhow::Result<()> {
        // Always the same database: advisory locks are per database.
        let client = self.connect("postgres").await?;
        let change = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCK}); ALTER ROLE \"{role}\" PASSWORD '{password}'; COMMIT"
        );
        client.batch_execute(&change).await.with_context(|| format!("cannot let {role} log in"))
    }

    /// `postgres://…` for a role and one of the server's databases.
    #[must_use]
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Database {
    /// `postgres://…` for an existing role, whose password is set to the superuser's.
    ///
    /// # Errors
    /// When the server does not answer or there is no such role.
    pub async fn url_as(&self, role: &str) -> anyhow::Result<String> {
        let password = &self.access.password;
        self.access.set_password(role, password).await?;
        Ok(self.access.url_as(role, password, &self.name))
    }
}
