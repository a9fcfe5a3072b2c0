//! Late commits: events with ids below those already published.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, connect, eventually};
use pipeline_tests::seed::seed;
use pipeline_tests::writer_transaction::make_aggregates;
use pipeline_tests::writers::Writers;
use stack::Service;
use tokio_postgres::Client;

/// The time within which a late event is published, also on a busy machine; the sweep would find it
/// later.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The relay's log line when its sweep found an event.
const SWEPT: &str = "scanning again from there";

/// An open transaction that has run `statements`.
async fn open(outbox: &Outbox, statements: &str) -> anyhow::Result<Client> {
    let session = connect(&outbox.database.url).await?;
    session.batch_execute(&format!("BEGIN; {statements}")).await?;
    Ok(session)
}

/// A statement that adds `count` events, each of another aggregate.
fn insert(count: u32) -> String {
    format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
         SELECT 'order', gen_random_uuid()::text, 'order.created', '{{}}' FROM generate_series(1, {count});"
    )
}

/// Waits until everything committed is published.
async fn published_at_once(outbox: &Outbox, relay: &Service) -> anyhow::Result<()> {
    let committed = Instant::now();
    outbox.all_published().await.with_context(|| relay.log())?;
    let took = committed.elapsed();
    println!("published after {took:?}");
    ensure!(took < AT_ONCE, "it took {took:?}: {}", relay.log());
    ensure!(!relay.log().contains(SWEPT), "{}", relay.log());
    Ok(())
}

/// Publishes 5,000 events with higher ids than those of all open transactions, and some more, so
/// that the relay's watermark advances.
async fn many_go_ahead(outbox: &Outbox, relay: &Service) -> anyhow::Result<()> {
    outbox.sql.batch_execute(&insert(5000)).await?;
    for _ in 0..10 {
        outbox.all_published().await.with_context(|| relay.log())?;
        outbox.sql.batch_execute(&insert(1)).await?;
    }
    outbox.all_published().await.with_context(|| relay.log())
}

#[tokio::test]
async fn what_is_committed_late_is_published_at_once_however_it_was_written() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.sql.batch_execute(&insert(1)).await?;
    let one = insert(1);
    let snapshot = open(
        &outbox,
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM outbox",
    )
    .await?;
    let mut late = Vec::new();
    for statements in [
        one.clone(),
        format!("SAVEPOINT a; {one} RELEASE a; SAVEPOINT b; {one}"),
        format!("SAVEPOINT a; {one} ROLLBACK TO a; {one}"),
        format!("SAVEPOINT a; SAVEPOINT b; SAVEPOINT c; {one} RELEASE c; {one} RELEASE a; {one}"),
        format!("LOCK TABLE outbox IN ROW EXCLUSIVE MODE; SAVEPOINT a; {one}"),
        format!("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; {one}"),
    ] {
        late.push(open(&outbox, &statements).await?);
    }
    let rolled_back = open(&outbox, &one).await?;
    let several = [open(&outbox, &one).await?, open(&outbox, &one).await?];
    let long = open(&outbox, &insert(4500)).await?;
    many_go_ahead(&outbox, &relay).await?;

    for session in &late {
        session.batch_execute("COMMIT").await?;
        ensure!(outbox.pending().await? <= 3, "nothing else was late");
        published_at_once(&outbox, &relay).await?;
    }
    rolled_back.batch_execute("ROLLBACK").await?;
    // The relay continues behind it.
    many_go_ahead(&outbox, &relay).await?;
    let commits = several.iter().map(|session| session.batch_execute("COMMIT"));
    futures_util::future::try_join_all(commits).await?;
    published_at_once(&outbox, &relay).await?;
    // More than one poll takes.
    long.batch_execute("COMMIT").await?;
    published_at_once(&outbox, &relay).await?;
    snapshot.batch_execute("COMMIT").await?;
    let all = outbox.count("SELECT count(*) FROM outbox", &[]).await?;
    assert_eq!(i64::from(outbox.depth("all").await?), all, "each of them, and once");
    Ok(())
}

/// A trigger that blocks an event of type `order.slow` until the test releases it: its id is drawn
/// and the outbox locked, but its transaction has no id yet.
const SLOW: &str = "
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON outbox FOR EACH ROW
        WHEN (NEW.event_type = 'order.slow') EXECUTE FUNCTION wait();
    SELECT pg_advisory_lock(7)";

/// Starts to add an event, and waits until it has an id and its transaction has none.
async fn add_slowly(outbox: &Outbox) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    const WAITS: &str =
        "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    let count = |what: &str| format!("SELECT count(*) {WAITS} {what}");
    loop {
        let session = connect(&outbox.database.url).await?;
        let adding = tokio::spawn(async move {
            let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                          VALUES ('order', 'slow', 'order.slow', '{}')";
            session.batch_execute(insert).await.expect("the event is added");
        });
        eventually("the event waits", async || Ok(outbox.count(&count(""), &[]).await? == 1))
            .await?;
        if outbox.count(&count("AND backend_xid IS NULL"), &[]).await? == 1 {
            return Ok(adding);
        }
        // After a checkpoint, which any database of the server may cause, the first use of the
        // sequence is written to the WAL, which assigns a transaction id. The next one is not.
        adding.abort();
        outbox.sql.batch_execute(&format!("SELECT pg_terminate_backend(pid) {WAITS}")).await?;
        eventually("it waits no more", async || Ok(outbox.count(&count(""), &[]).await? == 0))
            .await?;
    }
}

#[tokio::test]
async fn what_was_added_by_a_transaction_without_an_id_is_published_at_once() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute(SLOW).await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.sql.batch_execute(&insert(1)).await?;
    outbox.all_published().await?;
    let adding = add_slowly(&outbox).await?;
    many_go_ahead(&outbox, &relay).await?;
    outbox.sql.query_one("SELECT pg_advisory_unlock(7)", &[]).await?;
    adding.await?;
    published_at_once(&outbox, &relay).await?;
    let lowest = "SELECT count(*) FROM outbox WHERE event_type = 'order.slow' AND id < 10";
    assert_eq!(outbox.count(lowest, &[]).await?, 1, "it was late");
    Ok(())
}

#[tokio::test]
async fn a_transaction_without_an_id_hides_no_event_behind_a_long_line_that_is_held_back()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.sql.batch_execute(SLOW).await?;
    let forever = [("RELAY_BACKOFF_MIN", "1h"), ("RELAY_BACKOFF_MAX", "1h")];
    let relay = outbox.relay_process(&forever).await?;
    outbox.sql.batch_execute(&insert(1)).await?;
    outbox.all_published().await?;
    let _adding = add_slowly(&outbox).await?;
    outbox.add("7", "order.unheard").await?;
    let line = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                SELECT 'order', '7', 'order.created', '{}' FROM generate_series(1, 5000)";
    outbox.sql.batch_execute(line).await?;
    let other = outbox.add("8", "order.created").await?;
    eventually("another aggregate's event is published", async || {
        let published = "SELECT count(*) FROM outbox WHERE id = $1 AND published_at IS NOT NULL";
        Ok(outbox.count(published, &[&other]).await? == 1)
    })
    .await
    .with_context(|| relay.log())?;
    ensure!(!relay.log().contains(SWEPT), "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn writers_who_take_their_time_never_make_an_aggregates_events_overtake_each_other()
-> anyhow::Result<()> {
    let seed = seed()?;
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    make_aggregates(&outbox.sql).await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    let relay = outbox.relay_process(&[]).await?;
    let writers = Writers {
        url: outbox.database.url.clone(),
        seed,
        writers: 24,
        aggregates: 30,
        events_each: 200,
        spread: Duration::from_secs(10),
        longest: Duration::from_millis(100),
    };
    writers.write().await?;
    published_at_once(&outbox, &relay).await?;
    let committed = outbox.event_ids().await?;
    eventually("every event is delivered", async || Ok(deliveries.event_ids() == committed))
        .await?;
    for (aggregate, numbers) in deliveries.first_deliveries() {
        let all: Vec<i64> = (1..=i64::try_from(numbers.len())?).collect();
        assert_eq!(numbers, all, "the first deliveries of aggregate {aggregate}");
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_a_person_has_made_pending_again_is_found_by_the_sweep() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.sql.batch_execute(&insert(1)).await?;
    many_go_ahead(&outbox, &relay).await?;
    let reset = "UPDATE outbox SET published_at = NULL WHERE id IN (1, 2500)";
    assert_eq!(outbox.sql.execute(reset, &[]).await?, 2);
    outbox.all_published().await.with_context(|| relay.log())?;
    assert!(relay.log().contains(SWEPT), "{}", relay.log());
    Ok(())
}
