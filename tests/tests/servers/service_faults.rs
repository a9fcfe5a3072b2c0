//! Rare faults of the services: wrong settings, servers that fail in the middle of something.

use std::process::Command;

use pipeline_tests::blocked_consumer::{BlockAt, block_transactions, unblock, until_blocked};
use pipeline_tests::consumer_fixture::{ConsumerFixture, orders_of};
use pipeline_tests::order_api::{OrderApi, order, problem};
use pipeline_tests::pipeline::{PATIENCE, address, connect, ready};
use stack::Service;

#[tokio::test]
async fn a_certificate_file_that_is_not_there_ends_each_start_of_each_process() -> anyhow::Result<()>
{
    let broker = ("RABBITMQ_URL", "amqp://127.0.0.1:1");
    for (service, command) in [
        ("order-service", "serve"),
        ("order-service", "migrate"),
        ("outbox-relay", "run"),
        ("customer-service", "api"),
        ("customer-service", "consumer"),
        ("customer-service", "migrate"),
    ] {
        let url = ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d?sslrootcert=/nowhere");
        let output = Command::new(stack::binary(service).await?)
            .arg(command)
            .env_clear()
            .envs([url, broker])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{service} {command}: {said}");
        assert!(said.contains("DATABASE_URL: ") && said.contains("/nowhere"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_key_and_a_bad_body_are_told_together() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let mut body = order();
    body["order"]["quantity"] = 0.into();
    let request = api.http.post(format!("{}/api/orders", api.url)).json(&body);
    let answer = request.header("Idempotency-Key", "a b").send().await?;
    let told = problem(answer, 422).await?;
    let errors = told["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names =
        |name: &str| errors.iter().any(|error| error.as_str().is_some_and(|e| e.starts_with(name)));
    assert!(names("Idempotency-Key") && names("order.quantity"), "{told}");
    assert_eq!(errors.len(), 2, "{told}");
    Ok(())
}

#[tokio::test]
async fn a_migration_whose_connection_is_cut_is_tried_again() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("orders").await?;
    let mut ahead = connect(&database.url).await?;
    let observer = connect(&database.url).await?;
    // The migration must wait until this table's transaction ends.
    let in_the_way = ahead.transaction().await?;
    in_the_way.batch_execute("CREATE TABLE orders ()").await?;

    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("CUSTOMER_CHECK", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let service =
        Service::spawn(stack::binary("order-service").await?, ["serve"], settings).await?;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'migrate' AND wait_event_type = 'Lock'";
    let deadline = std::time::Instant::now() + PATIENCE;
    while observer.query(cut, &[]).await?.is_empty() {
        anyhow::ensure!(
            std::time::Instant::now() < deadline,
            "no migration: {}",
            service.last_lines()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    in_the_way.rollback().await?;
    ready(&service).await
}

#[tokio::test]
async fn each_role_waits_for_the_tables_that_the_migrate_command_makes() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (database, broker) = (servers.database("customers").await?, servers.vhost("tables").await?);
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("RABBITMQ_URL", broker.amqp_url.as_str()),
        ("MIGRATE_ON_START", "false"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let spawn = async |command| {
        Service::spawn(stack::binary("customer-service").await?, [command], settings).await
    };
    let roles = [spawn("api").await?, spawn("consumer").await?];
    for role in &roles {
        role.wait_for_line("run customer-service migrate", PATIENCE).await?;
        let url = format!("{}/readyz", address(role, "operations port is open").await?);
        let answer = stack::http_client()?.get(url).send().await?;
        assert_eq!(answer.status(), 503, "{}", role.last_lines());
    }
    let migrate = Service::spawn(
        stack::binary("customer-service").await?,
        ["migrate"],
        [("DATABASE_URL", database.url.as_str())],
    )
    .await?;
    assert!(migrate.wait_exit(PATIENCE).await?.success(), "{}", migrate.last_lines());
    for role in &roles {
        ready(role).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_hangs_is_given_back_when_the_consumer_has_to_stop() -> anyhow::Result<()> {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    block_transactions(&fixture.sql, BlockAt::Count, &[customer]).await?;
    let settings = [("DATABASE_STATEMENT_TIMEOUT", "10m"), ("SHUTDOWN_GRACE", "4s")];
    let service = fixture.consumer_process(&settings).await?;
    ready(&service).await?;
    fixture.publish_all(orders_of(1, customer)).await?;
    until_blocked(&fixture.sql).await?;
    service.sigterm()?;
    assert!(service.wait_exit(PATIENCE).await?.success(), "{}", service.last_lines());
    assert!(service.log().contains("its messages return to the queue"), "{}", service.log());
    unblock(&fixture.sql).await?;
    let consumer = fixture.consumer(&[]).await?;
    fixture.counted(customer, 1).await?;
    fixture.finished(consumer).await
}
