//! Poison messages, over which the broker closes the channel or the connection: they become stuck,
//! and affect no others.

use std::collections::HashMap;

use anyhow::ensure;
use pipeline_tests::fake_broker::{AFFECTED_TYPE, BrokerBehaviour, FakeBroker};
use pipeline_tests::outbox::{Outbox, aggregate_id, eventually};
use tokio_postgres::Row;

/// Failed events are retried soon.
const SOON: [&str; 4] = ["--relay-backoff-min", "20ms", "--relay-backoff-max", "20ms"];

/// Failed events are not retried within a test, unless the test says so.
const LATE: [&str; 4] = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];

/// Adds this many events, each of a separate aggregate named with the prefix.
async fn add(outbox: &Outbox, prefix: &str, events: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'order', $2 || n, 'order.created', '{}' FROM generate_series(1, $1) AS n";
    outbox.sql.execute(insert, &[&events, &prefix]).await?;
    Ok(())
}

/// `attempts`, whether it is stuck, and `last_error` of the only event that is not published.
async fn refused(outbox: &Outbox) -> anyhow::Result<(i32, bool, String)> {
    let query =
        "SELECT attempts, coalesce(next_attempt_at = 'infinity', false), coalesce(last_error, '')
                 FROM outbox WHERE published_at IS NULL";
    let row: Row = outbox.sql.query_one(query, &[]).await?;
    Ok((row.get(0), row.get(1), row.get(2)))
}

#[tokio::test]
async fn a_message_that_was_refused_before_costs_its_neighbours_no_copy_and_is_stuck_the_third_time()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // RabbitMQ interprets this header and rejects a value that is not a list. Its id makes the
    // event the last one of a window: over the first one the channel would be closed before any
    // other is accepted.
    let refused_one = r#"INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
                         OVERRIDING SYSTEM VALUE
                         VALUES (1000000, 'order', 'refused', 'order.created', '{}', '{"CC": "x"}')"#;
    outbox.sql.execute(refused_one, &[]).await?;
    for round in 1..=3 {
        // A new relay each time, as after a restart.
        let mut relay = outbox.relay(&LATE)?;
        if round > 1 {
            add(&outbox, &format!("{round}-"), 400).await?;
            // Loaded together with its neighbours.
            outbox
                .sql
                .execute(
                    "UPDATE outbox SET next_attempt_at = now() WHERE published_at IS NULL AND attempts > 0",
                    &[],
                )
                .await?;
        }
        relay.until_idle().await?;
        let (attempts, is_stuck, error) = refused(&outbox).await?;
        ensure!((attempts, is_stuck) == (round, round == 3), "{attempts}: {error}");
        let count = format!("(refusal {round} of 3)");
        ensure!(
            error.contains("the broker closed the channel over the message: PRECONDITION_FAILED")
        );
        ensure!(error.ends_with(&count), "{error}");
        ensure!(error.starts_with("given up: ") == is_stuck, "{error}");
    }
    let mut copies = HashMap::<String, usize>::new();
    for message in outbox.take_all("all").await? {
        *copies.entry(aggregate_id(&message)?).or_default() += 1;
    }
    ensure!(copies.len() == 800 && copies.values().all(|copies| *copies == 1), "{copies:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_is_stuck_after_three_refusals_of_what_it_is_and_of_nothing_else()
-> anyhow::Result<()> {
    for (code, is_over_message) in
        [(406, true), (501, true), (502, true), (505, true), (403, false), (404, false)]
    {
        let broker = FakeBroker::start(BrokerBehaviour::ClosesChannel(code))?;
        let mut outbox = Outbox::new().await?;
        outbox.vhost.amqp_url = broker.url();
        outbox.add("affected", AFFECTED_TYPE).await?;
        let mut relay = outbox.relay(&SOON)?;
        let tried = eventually("it was tried several times", async || {
            let (attempts, is_stuck, _) = refused(&outbox).await?;
            Ok(if is_over_message { is_stuck } else { attempts >= 5 })
        });
        relay.work_until(tried).await?;
        let (attempts, is_stuck, error) = refused(&outbox).await?;
        ensure!(is_stuck == is_over_message, "{code}: {error}");
        ensure!(attempts == 3 || !is_over_message, "{code}: {attempts}");
        ensure!(relay.health.statuses()["rabbitmq"].up, "{:?}", relay.health.statuses());
    }
    Ok(())
}

#[tokio::test]
async fn a_message_over_which_the_connection_is_closed_stops_no_other_and_is_stuck_the_third_time()
-> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::ClosesConnection(501))?;
    let mut outbox = Outbox::new().await?;
    outbox.vhost.amqp_url = broker.url();
    add(&outbox, "before-", 100).await?;
    outbox.add("affected", AFFECTED_TYPE).await?;
    add(&outbox, "behind-", 100).await?;
    let mut relay = outbox.relay(&SOON)?;
    let stuck = eventually("all others are published, and it is stuck", async || {
        Ok(outbox.pending().await? == 1 && refused(&outbox).await?.1)
    });
    relay.work_until(stuck).await?;
    let (_, _, error) = refused(&outbox).await?;
    ensure!(
        error.starts_with("given up: the broker closed the connection over the message: REFUSED"),
        "{error}"
    );
    relay.until_idle().await?;
    ensure!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    Ok(())
}
