//! Migrations with several versions and replicas of a service.

use anyhow::{Context as _, ensure};
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

/// A schema owned by one role and used by others.
#[tokio::test]
async fn a_role_that_may_create_nothing_is_content_with_a_schema_that_is_up_to_date()
-> anyhow::Result<()> {
    let servers = stack::shared().await?;
    for program in ["order-service", "customer-service"] {
        let database = servers.database("modest").await?;
        let owner = connect(&database.url).await?;
        let role = format!("{}_modest", database.name);
        let grant = format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             CREATE ROLE {role} LOGIN PASSWORD 'modest';
             GRANT USAGE ON SCHEMA public TO {role}"
        );
        owner.batch_execute(&grant).await?;
        let (_, address) = database.url.split_once('@').context("an address")?;
        let url = format!("postgres://{role}:modest@{address}");
        let early = migrate(program, &url).await?;
        ensure!(!early.wait_exit(PATIENCE).await?.success(), "{program} made a schema");
        ensure!(early.log().contains("permission denied"), "{}", early.log());

        ensure!(migrate(program, &database.url).await?.wait_exit(PATIENCE).await?.success());
        owner
            .batch_execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
            .await?;
        let late = migrate(program, &url).await?;
        ensure!(late.wait_exit(PATIENCE).await?.success(), "{program}: {}", late.last_lines());
        owner.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    }
    Ok(())
}
