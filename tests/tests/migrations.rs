//! Migrations while several versions and replicas of a service are about.

use anyhow::ensure;
use pipeline_tests::pipeline::{PATIENCE, connect};
use stack::Service;

async fn migrate(program: &str, url: &str) -> anyhow::Result<Service> {
    Service::spawn(stack::binary(program).await?, ["migrate"], [("DATABASE_URL", url)]).await
}

#[tokio::test]
async fn replicas_that_migrate_at_once_take_turns_and_all_succeed() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    for program in ["order-service", "customer-service"] {
        let database = servers.database("replicas").await?;
        let mut replicas = Vec::new();
        for _ in 0..6 {
            replicas.push(migrate(program, &database.url).await?);
        }
        let mut applied = 0;
        for replica in &replicas {
            let status = replica.wait_exit(PATIENCE).await?;
            ensure!(status.success(), "{program}: {}", replica.last_lines());
            applied += replica.log().matches("applied a migration").count();
        }
        let history = "SELECT count(*) FROM refinery_schema_history";
        let migrations: i64 = connect(&database.url).await?.query_one(history, &[]).await?.get(0);
        assert_eq!(i64::try_from(applied)?, migrations, "{program}: each migration by one replica");
    }
    Ok(())
}

#[tokio::test]
async fn an_old_program_accepts_a_newer_schema_with_a_warning() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    for program in ["order-service", "customer-service"] {
        let database = servers.database("newer").await?;
        ensure!(migrate(program, &database.url).await?.wait_exit(PATIENCE).await?.success());
        let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                     VALUES (99, 'of_a_later_release', '2026-01-01T00:00:00Z', '1')";
        connect(&database.url).await?.execute(newer, &[]).await?;

        let old = migrate(program, &database.url).await?;
        ensure!(old.wait_exit(PATIENCE).await?.success(), "{program}: {}", old.last_lines());
        let log = old.log();
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains("newer than")).collect();
        assert_eq!(warnings.len(), 1, "{program}: {log}");
        assert!(warnings[0].contains("of_a_later_release"), "{}", warnings[0]);
    }
    Ok(())
}
