//! The consumer as a process: start, stop and crash.

use std::time::Duration;

use pipeline_tests::blocked_consumer::{BlockAt, block_transactions, unblock, until_blocked};
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, order_created, orders_of, until,
};
use pipeline_tests::pipeline::{PATIENCE, ready};
use stack::Service;
use tokio_postgres::Client;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// The number of consumers' database sessions, including those of dead processes that the server
/// has not noticed.
async fn consumer_sessions(sql: &Client) -> anyhow::Result<i64> {
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'customer-service consumer'";
    Ok(sql.query_one(sessions, &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_on_which_25_consumers_die_is_still_there_and_counts_once() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.publish(&order_created(Uuid::now_v7(), customer)).await?;

    block_transactions(&fixture.sql, BlockAt::Count, &[customer]).await?;
    for _ in 0..25 {
        let settings = [("DATABASE_STATEMENT_TIMEOUT", "60s"), ("RABBITMQ_MAX_RETRIES", "0")];
        let service = fixture.consumer_process(&settings).await?;
        until_blocked(&fixture.sql).await?;
        service.sigkill()?;
        service.wait_exit(PATIENCE).await?;
        // Waits until the message is requeued and the database session has ended.
        until(async || Ok((fixture.waiting(QUEUE).await? == 1).then_some(()))).await?;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'customer-service consumer'";
        fixture.sql.query(end, &[]).await?;
        until(async || Ok((consumer_sessions(&fixture.sql).await? == 0).then_some(()))).await?;
    }
    assert_eq!(fixture.waiting(QUEUE).await?, 1);
    unblock(&fixture.sql).await?;
    assert_eq!(fixture.count(customer).await?, 0);

    let consumer = fixture.consumer(&[]).await?;
    fixture.counted(customer, 1).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_killed_in_the_middle_of_their_batches_leave_exact_counts() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customers =
        [fixture.customer().await?, fixture.customer().await?, fixture.customer().await?];
    fixture.consumer(&[]).await?.stop().await?;
    let total = async || {
        let sum = "SELECT sum(orders_count)::bigint FROM customers WHERE id = ANY($1)";
        let sum: i64 = fixture.sql.query_one(sum, &[&&customers[..]]).await?.get(0);
        anyhow::Ok(sum)
    };

    let settings = [
        ("CONSUMER_PREFETCH", "50"),
        ("RABBITMQ_MAX_RETRIES", "0"),
        ("DATABASE_STATEMENT_TIMEOUT", "60s"),
    ];
    let mut held = Vec::new();
    for _ in 0..8 {
        for customer in customers {
            fixture.publish_all(orders_of(100, customer)).await?;
        }
        // Behind them an event that can't be counted yet, so that the consumer is working however
        // late it is killed.
        let last = fixture.customer().await?;
        block_transactions(&fixture.sql, BlockAt::Count, &[last]).await?;
        fixture.publish_all(orders_of(1, last)).await?;
        held.push(last);

        let before = total().await?;
        let service = fixture.consumer_process(&settings).await?;
        until(async || Ok((total().await? > before).then_some(()))).await?;
        service.sigkill()?;
        service.wait_exit(PATIENCE).await?;
        assert_eq!(fixture.count(last).await?, 0, "killed too late to mean anything");
        unblock(&fixture.sql).await?;
        // The counts must be those of the next consumer.
        until(async || Ok((consumer_sessions(&fixture.sql).await? == 0).then_some(()))).await?;
    }
    let consumer = fixture.consumer(&["--rabbitmq-max-retries", "0"]).await?;
    for customer in customers {
        fixture.counted(customer, 800).await?;
    }
    for last in held {
        fixture.counted(last, 1).await?;
    }
    fixture.finished(consumer).await?;
    assert_eq!(total().await?, 2_400);
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_finishes_the_batch_in_flight_and_takes_no_other() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let body = |_| order_created(Uuid::now_v7(), customer).to_string().into_bytes();
    fixture.publish_all((0..30).map(body)).await?;
    block_transactions(&fixture.sql, BlockAt::Count, &[customer]).await?;
    // Ten are in flight, at most ten in the next batch.
    let settings = [("DATABASE_STATEMENT_TIMEOUT", "60s"), ("CONSUMER_PREFETCH", "10")];
    let service = fixture.consumer_process(&settings).await?;
    until_blocked(&fixture.sql).await?;

    service.sigterm()?;
    service.wait_for_line("stopping", PATIENCE).await?;
    assert!(service.is_running());
    unblock(&fixture.sql).await?;
    let status = service.wait_exit(PATIENCE).await?;
    assert_eq!(status.code(), Some(0), "{}", service.last_lines());
    let counted = fixture.count(customer).await?;
    assert!((1..=10).contains(&counted), "{counted}");
    // It has acknowledged exactly what it counted. The broker takes a moment to requeue a
    // consumer's messages.
    until(async || {
        let waiting = i64::from(fixture.waiting(QUEUE).await?);
        assert!(waiting <= 30 - counted, "{waiting} wait, {counted} are counted");
        Ok((waiting == 30 - counted).then_some(()))
    })
    .await
}

#[tokio::test]
async fn told_to_stop_it_ends_at_once_when_it_is_idle_or_waits_for_a_server() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let nowhere = "127.0.0.1:1";
    let no_database = format!("postgres://u:p@{nowhere}/d");
    let no_broker = format!("amqp://u:p@{nowhere}/v");
    for (settings, line) in [
        (vec![], "rabbitmq is reachable"),
        (vec![("DATABASE_URL", no_database.as_str())], "postgresql is not reachable"),
        (vec![("RABBITMQ_URL", no_broker.as_str())], "rabbitmq is not reachable"),
    ] {
        let service = fixture.consumer_process(&settings).await?;
        service.wait_for_line(line, PATIENCE).await?;
        service.sigterm()?;
        let status = service.wait_exit(Duration::from_secs(5)).await?;
        assert_eq!(status.code(), Some(0), "{}", service.last_lines());
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_ends_it_with_64() -> Tested {
    let good = [("DATABASE_URL", "postgres://u:p@h/d"), ("RABBITMQ_URL", "amqp://u:p@h/v")];
    for (name, value) in [
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("DATABASE_URL", ""),
        ("RABBITMQ_URL", "http://u:hunter2@h/v"),
        ("RABBITMQ_MAX_RETRIES", "many"),
        ("RABBITMQ_MAX_RETRIES", "-1"),
        ("RABBITMQ_RETRY_TTL_MS", "10s"),
        ("RABBITMQ_RETRY_TTL_MS", "0"),
        ("CONSUMER_PREFETCH", "0"),
        ("CONSUMER_PREFETCH", "65536"),
        ("PROCESSED_EVENTS_RETENTION", "0s"),
        ("PROCESSED_EVENTS_RETENTION", "soon"),
        ("PROCESSED_EVENTS_RETENTION", "2000y"),
        ("DATABASE_STATEMENT_TIMEOUT", "soon"),
        ("OPS_ADDR", "9003"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "=="),
        ("MIGRATE_ON_START", "perhaps"),
        ("SHUTDOWN_GRACE", "-1s"),
    ] {
        let settings = good.into_iter().filter(|(other, _)| *other != name);
        let settings = settings.chain([(name, value)]);
        let program = stack::binary("customer-service").await?;
        let service = Service::spawn(program, ["consumer"], settings).await?;
        let status = service.wait_exit(PATIENCE).await?;
        let log = service.log();
        assert_eq!(status.code(), Some(64), "{name}={value:?}: {log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(name) && !log.contains("hunter2"), "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_start_at_once_on_an_empty_database_all_become_ready() -> Tested {
    let servers = stack::shared().await?;
    let (database, broker) = (servers.database("empty").await?, servers.vhost("consumer").await?);
    let mut services = Vec::new();
    for role in ["consumer", "api", "consumer", "api", "consumer"] {
        let settings = [
            ("DATABASE_URL", database.url.as_str()),
            ("RABBITMQ_URL", &broker.amqp_url),
            ("OPS_ADDR", "127.0.0.1:0"),
            ("LISTEN_ADDR", "127.0.0.1:0"),
        ];
        let program = stack::binary("customer-service").await?;
        services.push(Service::spawn(program, [role], settings).await?);
    }
    for service in &services {
        ready(service).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_had_landed_ends_it_with_a_clear_sentence() -> Tested
{
    let fixture = ConsumerFixture::start().await?;
    fixture.sql.execute("UPDATE refinery_schema_history SET checksum = '1'", &[]).await?;
    let service = fixture.consumer_process(&[]).await?;
    let status = service.wait_exit(PATIENCE).await?;
    assert_eq!(status.code(), Some(1), "{}", service.last_lines());
    let log = service.log();
    assert!(log.contains("migration V1__customers was changed after it had been applied"), "{log}");
    Ok(())
}

#[tokio::test]
async fn told_not_to_migrate_it_waits_until_the_migrate_command_has_done_so() -> Tested {
    let servers = stack::shared().await?;
    let (database, broker) = (servers.database("empty").await?, servers.vhost("consumer").await?);
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("RABBITMQ_URL", &broker.amqp_url),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("MIGRATE_ON_START", "false"),
    ];
    let program = stack::binary("customer-service").await?;
    let service = Service::spawn(&program, ["consumer"], settings).await?;
    let wanted = "its tables are missing: run customer-service migrate";
    service.wait_for_line(wanted, PATIENCE).await?;
    let migrate = Service::spawn(&program, ["migrate"], [settings[0]]).await?;
    assert_eq!(migrate.wait_exit(PATIENCE).await?.code(), Some(0), "{}", migrate.last_lines());
    ready(&service).await
}
