//! Commands of `outbox-relay`.

use serde_json::Value;

use crate::command::{Ended, run};
use crate::outbox::Outbox;

/// Runs the program with `arguments`, only the variables in `settings`, and no terminal.
///
/// # Errors
/// When it can't be started or does not end in time.
pub async fn outbox_relay(arguments: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Ended> {
    run("outbox-relay", arguments, settings).await
}

impl Outbox {
    /// Runs a command on this outbox and its broker, as the role of relays.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let settings = [
            ("DATABASE_URL", self.relay_url.as_str()),
            ("RABBITMQ_URL", self.vhost.amqp_url.as_str()),
            ("OUTBOX_ACTOR", "alice"),
        ];
        outbox_relay(arguments, &settings).await
    }

    /// The audit table as JSON objects, in order.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn audit(&self) -> anyhow::Result<Vec<Value>> {
        let rows =
            self.sql.query("SELECT to_jsonb(a) FROM outbox_audit AS a ORDER BY id", &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
