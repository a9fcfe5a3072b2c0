//! Events held back by a failing one: only its aggregate waits, and then continues in order.

use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, connect, eventually};
use stack::Service;
use uuid::Uuid;

/// Failed events are retried soon.
const SOON: [&str; 4] = ["--relay-backoff-min", "20ms", "--relay-backoff-max", "20ms"];

/// Adds events of one type to an aggregate, numbered from `first` to `last`.
async fn add(
    outbox: &Outbox,
    aggregate: &str,
    event_type: &str,
    (first, last): (i32, i32),
) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  SELECT 'order', $1, $2, '{}', jsonb_build_object('number', number)
                  FROM generate_series($3::integer, $4) AS number ORDER BY number";
    outbox.sql.execute(insert, &[&aggregate, &event_type, &first, &last]).await?;
    Ok(())
}

/// A queue that confirms at once, and its deliveries.
async fn fast_queue(outbox: &Outbox, key: &str) -> anyhow::Result<Deliveries> {
    outbox.queue("unused", "unused").await?;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    outbox.channel.queue_declare("fast".into(), durable, FieldTable::default()).await?;
    outbox.bind("fast", key).await?;
    Ok(Deliveries::collect(&outbox.vhost.amqp_url, "fast"))
}

/// Waits for this many deliveries, as long as there is progress.
async fn got(deliveries: &Deliveries, count: usize) -> anyhow::Result<()> {
    loop {
        let before = deliveries.count();
        if before >= count {
            return Ok(());
        }
        let more = format!("more than {before} of {count} are delivered");
        eventually(&more, async || Ok(deliveries.count() > before)).await?;
    }
}

#[tokio::test]
async fn an_event_that_fails_holds_back_the_20_000_behind_it_and_nothing_else() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    let deliveries = fast_queue(&outbox, "order.heard").await?;
    add(&outbox, "hot", "order.unheard", (0, 0)).await?;
    add(&outbox, "hot", "order.heard", (1, 20_000)).await?;
    for other in 0..300 {
        add(&outbox, &format!("other-{other}"), "order.heard", (1, 3)).await?;
    }
    let mut relay = outbox.relay(&SOON)?;
    eventually("all others are published, and the first one was tried again", async || {
        relay.relay.tick().await;
        let tried = outbox.count("SELECT max(attempts)::bigint FROM outbox", &[]).await?;
        Ok(outbox.pending().await? == 20_001 && tried >= 3)
    })
    .await?;
    got(&deliveries, 900).await?;
    let first = deliveries.first_deliveries();
    assert!(!first.contains_key("hot"), "those behind it wait");
    assert!(first.values().all(|numbers| *numbers == [1, 2, 3]), "{first:?}");

    outbox.bind("fast", "order.unheard").await?;
    // They are sent one after the other: far more than a relay keeps of one aggregate, but not all,
    // which would take a debug build minutes.
    relay.work_until(got(&deliveries, 900 + 2000)).await?;
    let first = deliveries.first_deliveries();
    let hot = &first["hot"];
    assert_eq!(deliveries.count(), 900 + hot.len(), "each once");
    assert!(hot.iter().copied().eq((0..).take(hot.len())), "in order, without a gap: {hot:?}");
    Ok(())
}

#[tokio::test]
async fn many_busy_aggregates_at_once_come_in_order_while_some_of_their_events_fail()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let deliveries = fast_queue(&outbox, "order.heard").await?;
    for aggregate in 0..50 {
        add(&outbox, &aggregate.to_string(), "order.heard", (1, 400)).await?;
    }
    // One within the part of each aggregate's queue that the relay keeps, and one behind it.
    let fail = "UPDATE outbox SET event_type = 'order.unheard'
                WHERE headers -> 'number' IN ('40', '300') AND aggregate_id::integer % 2 = 0";
    outbox.sql.batch_execute(fail).await?;
    let mut relay = outbox.relay(&SOON)?;
    let held = 25 * 361;
    let some_fail = async {
        got(&deliveries, 20_000 - held).await?;
        let count = "SELECT count(*) FROM outbox WHERE attempts > 0 AND published_at IS NULL";
        eventually("one of each fails", async || Ok(outbox.count(count, &[]).await? == 25)).await
    };
    relay.work_until(some_fail).await?;
    assert_eq!(deliveries.count(), 20_000 - held, "those behind them wait");
    outbox.bind("fast", "order.unheard").await?;
    relay.work_until(got(&deliveries, 20_000)).await?;
    assert_eq!(deliveries.count(), 20_000, "each once");
    for (aggregate, numbers) in deliveries.first_deliveries() {
        assert!(numbers.iter().copied().eq(1..=400), "{aggregate}: {numbers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_committed_late_in_a_busy_aggregate_is_published_before_the_backlog_ends()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let deliveries = fast_queue(&outbox, "#").await?;
    let mut late = connect(&outbox.database.url).await?;
    let transaction = late.transaction().await?;
    // A writer that does not serialize per aggregate, for which no order is guaranteed.
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  VALUES ('order', 'hot', 'order.created', '{}', '{\"number\": 0}')";
    transaction.execute(insert, &[]).await?;
    add(&outbox, "hot", "order.created", (1, 1200)).await?;
    let mut relay = outbox.relay(&[])?;
    relay.work_until(got(&deliveries, 300)).await?;
    transaction.commit().await?;
    relay.work_until(got(&deliveries, 1201)).await?;
    let numbers = &deliveries.first_deliveries()["hot"];
    let at = numbers.iter().position(|number| *number == 0);
    assert!(at.is_some_and(|at| at < 1100), "it came at {at:?}");
    let others = numbers.iter().copied().filter(|number| *number > 0);
    assert!(others.eq(1..=1200), "the others keep their order");
    Ok(())
}

/// A working relay with an aggregate whose first event is not due for an hour.
async fn waiting(outbox: &Outbox) -> anyhow::Result<(Service, Deliveries, Uuid)> {
    let deliveries = fast_queue(outbox, "order.heard").await?;
    add(outbox, "7", "order.unheard", (0, 0)).await?;
    add(outbox, "7", "order.heard", (1, 500)).await?;
    let hour = [("RELAY_BACKOFF_MIN", "1h"), ("RELAY_BACKOFF_MAX", "1h")];
    let relay = outbox.relay_process(&hour).await?;
    let waits = "SELECT event_id FROM outbox WHERE attempts = 1 AND next_attempt_at > now()";
    eventually("the first one failed", async || {
        Ok(outbox.sql.query_opt(waits, &[]).await?.is_some())
    })
    .await?;
    let event_id = outbox.sql.query_one(waits, &[]).await?.get(0);
    // Far behind them, so that it has polled all of them.
    add(outbox, "8", "order.heard", (1, 1)).await?;
    got(&deliveries, 1).await?;
    Ok((relay, deliveries, event_id))
}

/// Long before the relay sweeps the whole table.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_aggregate_goes_on_at_once_when_a_person_discards_the_event_that_fails()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (relay, deliveries, event_id) = waiting(&outbox).await?;
    let event_id = event_id.to_string();
    let done = outbox.command(&["discard", &event_id, "--reason", "nobody wants it"]).await?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = Instant::now();
    // The next one is sent at once; all of them may take a debug build some time.
    got(&deliveries, 2).await?;
    assert!(told.elapsed() < AT_ONCE, "{:?}", told.elapsed());
    got(&deliveries, 501).await?;
    assert!(deliveries.first_deliveries()["7"].iter().copied().eq(1..=500), "in order");
    assert!(relay.is_running(), "{}", relay.last_lines());
    Ok(())
}

#[tokio::test]
async fn an_aggregate_goes_on_at_once_when_a_person_retries_the_event_that_failed()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (relay, deliveries, event_id) = waiting(&outbox).await?;
    outbox.bind("fast", "order.unheard").await?;
    let done = outbox.command(&["retry", &event_id.to_string()]).await?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = Instant::now();
    got(&deliveries, 2).await?;
    assert!(told.elapsed() < AT_ONCE, "{:?}", told.elapsed());
    got(&deliveries, 502).await?;
    assert!(deliveries.first_deliveries()["7"].iter().copied().eq(0..=500), "in order");
    assert!(relay.is_running(), "{}", relay.last_lines());
    Ok(())
}

#[tokio::test]
async fn an_aggregate_goes_on_at_once_when_its_event_is_discarded_while_it_is_in_flight()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let deliveries = fast_queue(&outbox, "order.heard").await?;
    add(&outbox, "7", "order.unheard", (0, 0)).await?;
    add(&outbox, "7", "order.heard", (1, 50)).await?;
    let mut holder = connect(&outbox.database.url).await?;
    let hold = holder.transaction().await?;
    // An uncommitted discard: the failure can't be settled.
    let discard =
        "WITH gone AS (DELETE FROM outbox WHERE event_type = 'order.unheard' RETURNING event_id)
                   INSERT INTO outbox_audit (actor, action, reason, event_id)
                   SELECT 'alice', 'discard', 'nobody wants it', event_id FROM gone";
    hold.execute(discard, &[]).await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    let health = relay.health.clone();
    let failed = eventually("noting the failure is put off", async || {
        Ok(health.notes().contains_key("unsettled"))
    });
    relay.work_until(failed).await?;
    hold.commit().await?;
    let told = Instant::now();
    relay.work_until(outbox.all_published()).await?;
    assert!(told.elapsed() < AT_ONCE, "{:?}", told.elapsed());
    got(&deliveries, 50).await?;
    assert!(deliveries.first_deliveries()["7"].iter().copied().eq(1..=50), "in order");
    Ok(())
}
