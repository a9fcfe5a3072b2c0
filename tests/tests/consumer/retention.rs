//! The retention of counted events, and the consumer's least privileges.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::{ConsumerFixture, order_created, orders_of, until};
use pipeline_tests::pipeline::{PATIENCE, connect, ready};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// Adds events counted this long ago, more than one pruning statement deletes; some share a
/// timestamp, as those counted together do.
const ADD_COUNTED: &str = "INSERT INTO processed_events (event_id, processed_at)
     SELECT gen_random_uuid(), now() - $1::text::interval - n / 1500 * interval '1 ms'
     FROM generate_series(1, 3500) AS n";

async fn remembered(fixture: &ConsumerFixture) -> anyhow::Result<i64> {
    Ok(fixture.sql.query_one("SELECT count(*) FROM processed_events", &[]).await?.get(0))
}

#[tokio::test]
async fn events_are_forgotten_after_their_time_and_not_before() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.sql.execute(ADD_COUNTED, &[&"2 hours"]).await?;
    fixture.sql.execute(ADD_COUNTED, &[&"1 minute"]).await?;
    fixture.sql.execute(ADD_COUNTED, &[&"3 hours"]).await?;
    let service = fixture.consumer_process(&[("PROCESSED_EVENTS_RETENTION", "10s")]).await?;
    service.wait_for_line("pruned events", PATIENCE).await?;
    assert_eq!(remembered(&fixture).await?, 0, "all of them in one go");

    // Events counted now are deleted after the retention.
    let customer = fixture.customer().await?;
    let begun = Instant::now();
    fixture.publish(&order_created(Uuid::now_v7(), customer)).await?;
    fixture.counted(customer, 1).await?;
    until(async || Ok((remembered(&fixture).await? == 0).then_some(()))).await?;
    ensure!(begun.elapsed() >= Duration::from_secs(10), "too soon: {}", service.last_lines());
    assert_eq!(fixture.count(customer).await?, 1, "its effect stays");
    Ok(())
}

#[tokio::test]
async fn young_events_are_remembered_and_so_is_everything_where_nothing_is_to_be_forgotten()
-> Tested {
    let (kept, pruned) = (ConsumerFixture::start().await?, ConsumerFixture::start().await?);
    kept.sql.execute(ADD_COUNTED, &[&"100 years"]).await?;
    pruned.sql.execute(ADD_COUNTED, &[&"1 hour"]).await?;
    pruned.sql.execute(ADD_COUNTED, &[&"100 years"]).await?;
    let keeping = kept.consumer_process(&[("PROCESSED_EVENTS_RETENTION", "off")]).await?;
    let pruning = pruned.consumer_process(&[("PROCESSED_EVENTS_RETENTION", "10s")]).await?;
    pruning.wait_for_line("pruned events", PATIENCE).await?;
    assert_eq!(remembered(&pruned).await?, 0);
    drop(pruning);

    pruned.sql.execute(ADD_COUNTED, &[&"1 hour"]).await?;
    pruned.sql.execute(ADD_COUNTED, &[&"30 minutes"]).await?;
    let young = "UPDATE processed_events SET processed_at = now() + interval '1 hour'
                 WHERE processed_at > now() - interval '40 minutes'";
    pruned.sql.execute(young, &[]).await?;
    let pruning = pruned.consumer_process(&[("PROCESSED_EVENTS_RETENTION", "10s")]).await?;
    let line = pruning.wait_for_line("pruned events", PATIENCE).await?;
    ensure!(line.contains("3500"), "{line}");
    assert_eq!(remembered(&pruned).await?, 3500, "the young ones stay");
    assert_eq!(remembered(&kept).await?, 3500);
    assert!(keeping.is_running());
    Ok(())
}

#[tokio::test]
async fn one_consumer_prunes_at_a_time_and_a_locked_row_holds_up_no_counting() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.sql.execute(ADD_COUNTED, &[&"1 day"]).await?;
    // Pruning waits for the row's lock.
    let other = connect(&fixture.database.url).await?;
    other
        .batch_execute(
            "BEGIN; SELECT FROM processed_events ORDER BY processed_at LIMIT 1 FOR UPDATE",
        )
        .await?;
    let settings = [("PROCESSED_EVENTS_RETENTION", "10s"), ("DATABASE_STATEMENT_TIMEOUT", "60s")];
    let services =
        [fixture.consumer_process(&settings).await?, fixture.consumer_process(&settings).await?];
    let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'customer-service consumer: pruning' AND wait_event_type = 'Lock'";
    let waiting = async || anyhow::Ok(fixture.sql.query(waiting, &[]).await?.len());
    until(async || Ok((waiting().await? == 1).then_some(()))).await?;
    // A second of attempts by the other one.
    let tries = Instant::now();
    let mut published = 0;
    while tries.elapsed() < Duration::from_secs(3) {
        fixture.publish_all(orders_of(20, customer)).await?;
        published += 20;
        fixture.counted(customer, published).await?;
        ensure!(waiting().await? == 1, "the other one leaves it alone");
    }
    assert!(remembered(&fixture).await? >= 3500, "nothing is forgotten yet");
    other.batch_execute("COMMIT").await?;
    let old = "SELECT FROM processed_events WHERE processed_at < now() - interval '1 hour'";
    until(async || Ok(fixture.sql.query(old, &[]).await?.is_empty().then_some(()))).await?;
    assert!(services.iter().all(stack::Service::is_running));
    Ok(())
}

#[tokio::test]
async fn the_consumers_role_counts_and_forgets_and_may_do_nothing_else() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let roles = include_str!("../../../sql/customer/roles.sql");
    fixture.sql.batch_execute(roles).await?;
    fixture.sql.batch_execute(roles).await?;
    fixture.sql.execute(ADD_COUNTED, &[&"1 day"]).await?;
    let url = fixture.database.url_as("customer_consumer").await?;
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("MIGRATE_ON_START", "false"),
        ("PROCESSED_EVENTS_RETENTION", "1h"),
    ];
    let service = fixture.consumer_process(&settings).await?;
    ready(&service).await?;
    fixture.publish(&order_created(Uuid::now_v7(), customer)).await?;
    fixture.counted(customer, 1).await?;
    drop(service);
    let settings = [settings[0], settings[1], ("PROCESSED_EVENTS_RETENTION", "1s")];
    let service = fixture.consumer_process(&settings).await?;
    service.wait_for_line("pruned events", PATIENCE).await?;

    let session = connect(&url).await?;
    for statement in [
        "SELECT name FROM customers",
        "SELECT address FROM customers",
        "UPDATE customers SET name = 'x'",
        "INSERT INTO customers (id, name, address) VALUES (gen_random_uuid(), 'x', 'x')",
        "DELETE FROM customers",
        "UPDATE processed_events SET processed_at = now()",
        "INSERT INTO processed_events (event_id, processed_at) VALUES (gen_random_uuid(), now())",
        "TRUNCATE processed_events",
        "DROP TABLE processed_events",
        "SELECT FROM refinery_schema_history",
    ] {
        let refused = session.batch_execute(statement).await;
        let error = refused.err().with_context(|| format!("it was allowed: {statement}"))?;
        ensure!(error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
    Ok(())
}
