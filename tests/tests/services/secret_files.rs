//! Secrets in files instead of variables.

use std::path::PathBuf;

use pipeline_tests::pipeline::{PATIENCE, ready};
use stack::Service;

/// A file that is removed on drop.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str, content: &str) -> anyhow::Result<Self> {
        let file = stack::stack_dir()?.join(format!("{name}-{}", std::process::id()));
        stack::write_private(&file, content)?;
        Ok(Self(file))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // No other test sees what could not be removed.
        std::fs::remove_file(&self.0).ok();
    }
}

#[tokio::test]
async fn the_urls_of_database_and_broker_are_read_from_files() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (database, broker) = (servers.database("empty").await?, servers.vhost("consumer").await?);
    // With the trailing newline that an editor adds.
    let database = Secret::new("database-url", &format!("{}\n", database.url))?;
    let url = Secret::new("rabbitmq-url", &format!("{}\n", broker.amqp_url))?;
    let settings = [
        ("DATABASE_URL_FILE", database.path()),
        ("RABBITMQ_URL_FILE", url.path()),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let program = stack::binary("customer-service").await?;
    // It is ready once it has reached both.
    ready(&Service::spawn(&program, ["consumer"], settings).await?).await?;

    for name in ["DATABASE_URL_FILE", "RABBITMQ_URL_FILE"] {
        let missing = settings
            .map(|(other, value)| (other, if other == name { "/nowhere/secret" } else { value }));
        let refused = Service::spawn(&program, ["consumer"], missing).await?;
        let status = refused.wait_exit(PATIENCE).await?;
        assert_eq!(status.code(), Some(64), "{}", refused.last_lines());
        assert!(refused.log().contains(name), "{}", refused.log());
    }
    Ok(())
}
