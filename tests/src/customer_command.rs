//! `customer-service` as a person types it: arguments in, two streams and an exit status out.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::counting::Counting;
use crate::pipeline::PATIENCE;
use crate::relay_command::Ended;

/// Runs the program with `arguments` and no other variables than `settings`, without a terminal.
///
/// # Errors
/// When it can't be started or does not end in time.
pub async fn customer_service(
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> anyhow::Result<Ended> {
    let mut command = Command::new(stack::binary("customer-service").await?);
    command.args(arguments).env_clear().envs(settings.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output())
        .await
        .with_context(|| format!("{arguments:?} does not end"))??;
    Ok(Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

impl Counting {
    /// Runs a command of the consumer on this database and broker.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let settings = [
            ("DATABASE_URL", self.database.url.as_str()),
            ("RABBITMQ_URL", self.broker.amqp_url.as_str()),
        ];
        customer_service(&[&["consumer"], arguments].concat(), &settings).await
    }
}
