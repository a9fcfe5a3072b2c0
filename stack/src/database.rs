//! Databases of a private PostgreSQL server.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

use crate::cleanup_notes::{CleanupNotes, CleanupTarget};
use crate::secret::unique_name;

/// Where a private PostgreSQL listens, and the password of its superuser `postgres`.
#[derive(Clone, Serialize, Deserialize)]
pub struct PostgresAccess {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The superuser's password.
    pub password: String,
}

impl std::fmt::Debug for PostgresAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresAccess").field("port", &self.port).finish_non_exhaustive()
    }
}

/// A database for one test.
///
/// On the [shared](crate::shared()) server it is dropped, with its connections, soon after this
/// value is; on a temporary server it ends with the server.
#[derive(Debug)]
pub struct Database {
    /// `postgres://…`, as superuser.
    pub url: String,
    /// Its name.
    pub name: String,
    pub(crate) access: PostgresAccess,
    pub(crate) cleanup_notes: Option<CleanupNotes>,
}

impl PostgresAccess {
    /// `postgres://…` for one of the server's databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Creates a database if it does not exist.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn create_if_missing(&self, name: &str) -> anyhow::Result<()> {
        let client = self.connect("postgres").await?;
        let find = "SELECT FROM pg_database WHERE datname = $1";
        if client.query_opt(find, &[&name]).await?.is_none() {
            client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await?;
        }
        Ok(())
    }

    pub(crate) async fn create_unique(&self, hint: &str) -> anyhow::Result<Database> {
        let name = unique_name(hint);
        let client = self.connect("postgres").await?;
        let create = format!("CREATE DATABASE \"{name}\"");
        client.batch_execute(&create).await.with_context(|| format!("cannot create {name}"))?;
        Ok(Database { url: self.url(&name), name, access: self.clone(), cleanup_notes: None })
    }

    pub(crate) async fn drop(&self, name: &str) -> anyhow::Result<()> {
        let client = self.connect("postgres").await?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await?;
        Ok(())
    }

    pub(crate) async fn connect(&self, database: &str) -> anyhow::Result<tokio_postgres::Client> {
        let url = self.url(database);
        let (client, connection) = tokio_postgres::connect(&url, NoTls)
            .await
            .with_context(|| format!("cannot connect to PostgreSQL on port {}", self.port))?;
        // Ends when the client is dropped; an error shows up in the client's next call.
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(notes) = &self.cleanup_notes {
            notes.add(&CleanupTarget::Database(self.name.clone()));
        }
    }
}
