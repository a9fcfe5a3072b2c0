//! People who run the relay's commands, each with a login of their own.

use anyhow::ensure;
use stack::Database;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::command::Ended;
use crate::outbox::{Outbox, connect};
use crate::relay_command::outbox_relay;

impl Outbox {
    /// The URL of a login that is granted `role`, one of the group roles in `sql/roles.sql`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn person(&self, role: &str) -> anyhow::Result<String> {
        person(&self.sql, &self.database, role).await
    }

    /// Runs a command as the login in `url`, without an address of the broker.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn command_as(&self, url: &str, arguments: &[&str]) -> anyhow::Result<Ended> {
        outbox_relay(arguments, &[("DATABASE_URL", url), ("OUTBOX_ACTOR", "alice")]).await
    }
}

/// The URL of a login in `database` that is granted the group role `role`. `sql` is a superuser's
/// session.
///
/// # Errors
/// When the database refuses.
pub async fn person(sql: &Client, database: &Database, role: &str) -> anyhow::Result<String> {
    let login = format!("person_of_{role}");
    // Logins belong to the server, and other tests make the same.
    for statement in [
        format!("CREATE ROLE {login} LOGIN"),
        format!(
            "IF NOT pg_has_role('{login}', '{role}', 'MEMBER') THEN GRANT {role} TO {login}; END IF"
        ),
    ] {
        let tolerant = format!(
            "DO $$ BEGIN {statement}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        sql.batch_execute(&tolerant).await?;
    }
    database.url_as(&login).await
}

/// Checks that the login in `url`, an administrator's, can't replace a reason in the table `audit`.
///
/// # Errors
/// When it can, or the server does not answer.
pub async fn can_not_rewrite_reasons(url: &str, audit: &str) -> anyhow::Result<()> {
    let session = connect(url).await?;
    let rewritten = session.batch_execute(&format!("UPDATE {audit} SET reason = 'another'")).await;
    let code = rewritten.as_ref().err().and_then(Error::code);
    ensure!(code == Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{audit}: {rewritten:?}");
    Ok(())
}
