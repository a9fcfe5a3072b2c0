//! Commands of `customer-service`.

use crate::command::{Ended, run};
use crate::consumer_fixture::ConsumerFixture;

/// Runs the program with `arguments`, only the variables in `settings`, and no terminal.
///
/// # Errors
/// When it can't be started or does not end in time.
pub async fn customer_service(
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> anyhow::Result<Ended> {
    run("customer-service", arguments, settings).await
}

impl ConsumerFixture {
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
