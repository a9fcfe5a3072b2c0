//! Pauses under load: a million paused events, hundreds of pauses that end, relays that are killed.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::paused_events::{others_are_published, run};
use pipeline_tests::seed::seed;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Events that failed and are due stay due while they are paused: more than a relay reads at a time
/// must not keep it from those that are not paused.
#[tokio::test]
async fn thousands_of_paused_events_that_are_due_hold_back_no_other_one() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("some", "probe.*").await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
             SELECT 'order', n::text, 'order.created', '{}', 1, now() - interval '1 hour'
             FROM generate_series(1, 5000) AS n;
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
             SELECT 'order', n::text, 'order.created', '{}', 0, now() - interval '1 hour'
             FROM generate_series(5001, 10000) AS n",
        )
        .await?;
    let relay = outbox.relay_process(&[]).await?;
    others_are_published(&outbox).await?;
    let due = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
               VALUES ('probe', $1, 'probe.sent', '{}', $2, now() + interval '200 milliseconds') RETURNING id";
    for attempts in [0_i32, 1] {
        for number in 0..5 {
            let aggregate = format!("{attempts} {number}");
            let id: i64 = outbox.sql.query_one(due, &[&aggregate, &attempts]).await?.get(0);
            let begun = Instant::now();
            let pending = "SELECT count(*) FROM outbox WHERE id = $1 AND published_at IS NULL";
            eventually("it is published", async || Ok(outbox.count(pending, &[&id]).await? == 0))
                .await?;
            ensure!(begun.elapsed() < Duration::from_secs(5), "{}", relay.last_lines());
        }
    }
    outbox.bind("some", "#").await?;
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    Ok(())
}

/// Each pause that ends lets the relay scan the table from its beginning, which must not keep it
/// from what comes at the end.
#[tokio::test]
async fn pauses_that_end_one_after_the_other_keep_nobody_from_new_events() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, 200000) AS n;
             INSERT INTO outbox_pauses (event_type, actor) VALUES ('order.created', 'test');
             INSERT INTO outbox_pauses (aggregate_id, actor, until)
             SELECT 'none ' || n, 'test', now() + n * interval '50 milliseconds' FROM generate_series(1, 400) AS n",
        )
        .await?;
    let _relay = outbox.relay_process(&[]).await?;
    for _ in 0..20 {
        others_are_published(&outbox).await?;
    }
    let pending = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    assert_eq!(outbox.count(pending, &[]).await?, 200_000);
    Ok(())
}

/// Rows of the outbox that were read, by scans of its indexes or of all of it.
async fn rows_read(outbox: &Outbox) -> anyhow::Result<i64> {
    let read = "SELECT (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
                FROM pg_stat_user_tables WHERE relname = 'outbox'";
    outbox.count(read, &[]).await
}

/// Waits until sessions have reported what they read: they do so once a second at the most. Returns
/// the rows that were read by then.
async fn reported(outbox: &Outbox) -> anyhow::Result<i64> {
    let mut before = i64::MIN;
    loop {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let read = rows_read(outbox).await?;
        if read < before.saturating_add(5000) {
            return Ok(read);
        }
        before = read;
    }
}

/// The sweep and the metrics of the backlog read the table on a session of their own: here there is
/// no room for it.
#[tokio::test]
async fn a_million_paused_rows_are_read_once_and_never_again() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // Half of them are paused, the others wait behind them.
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', (n % 500000)::text,
                    CASE WHEN n <= 500000 THEN 'order.created' ELSE 'order.shipped' END, '{}'
             FROM generate_series(1, 1000000) AS n;
             ANALYZE outbox;",
        )
        .await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    // This session and the relay's two.
    let database: String =
        outbox.sql.query_one("SELECT current_database()::text", &[]).await?.get(0);
    outbox.sql.batch_execute(&format!("ALTER DATABASE \"{database}\" CONNECTION LIMIT 3")).await?;
    let mut relay = outbox.relay(&[])?;
    let begun = Instant::now();
    relay.until_much_is_done().await?;
    println!("read once after {:?}", begun.elapsed());
    // A minute after it has taken its lanes it looks again, as somebody else may have had some of
    // them in flight.
    let looked_again = begun + Duration::from_secs(63);
    relay.work_until(tokio::time::sleep_until(looked_again.into())).await;
    relay.until_much_is_done().await?;
    let before = relay.work_until(reported(&outbox)).await?;
    let published = relay.work_until(async {
        let (begun, mut published) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(5) {
            others_are_published(&outbox).await?;
            published += 1;
        }
        anyhow::Ok(published)
    });
    let published = published.await?;
    let read = relay.work_until(reported(&outbox)).await? - before;
    println!("{read} rows were read while {published} events were published");
    // Each is read by a few scans, loaded, settled and waited for.
    ensure!(published > 20, "only {published} events were published");
    ensure!(read < 20_000, "{read} rows were read while {published} events were published");
    let others = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    assert_eq!(outbox.count(others, &[]).await?, 1_000_000, "all of them are still there");
    Ok(())
}

#[tokio::test]
async fn pauses_hold_and_the_order_holds_while_relays_are_killed_at_random() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let mut rng = StdRng::seed_from_u64(seed()?);
    let writing = async {
        let sql = connect(&outbox.database.url).await?;
        for number in 1..=250_i32 {
            let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                          SELECT 'order', aggregate::text, CASE WHEN ($1::integer + aggregate) % 4 = 0 THEN 'order.created' ELSE 'order.shipped' END,
                                 '{}', jsonb_build_object('number', $1::integer)
                          FROM generate_series(1, 40) AS aggregate";
            sql.execute(insert, &[&number]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    let killing = async {
        let mut relays = BTreeMap::new();
        for round in 0..14 {
            let slot = round % 2;
            if let Some(relay) = relays.remove(&slot) {
                let relay: stack::Service = relay;
                relay.sigkill()?;
                relay.wait_exit(PATIENCE).await?;
            }
            relays.insert(slot, outbox.relay_process(&[]).await?);
            let pause = match rng.random_range(0..4) {
                0 => &["pause", "--type", "order.created", "--for", "2s"][..],
                1 => &["pause", "--aggregate", "7"],
                2 => &["pause", "--all", "--for", "1s"],
                _ => &["resume", "--all"],
            };
            let ended = outbox.command(pause).await?;
            // 3: a relay that was killed meanwhile.
            ensure!(matches!(ended.code, Some(0 | 3)), "{pause:?}: {ended:?}");
            tokio::time::sleep(Duration::from_millis(rng.random_range(100..900))).await;
        }
        anyhow::Ok(relays)
    };
    let ((), relays) = tokio::try_join!(writing, killing)?;
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    let events = outbox.event_ids().await?;
    eventually("every event is delivered", async || Ok(deliveries.event_ids() == events)).await?;
    for (aggregate, numbers) in deliveries.first_deliveries() {
        ensure!(
            numbers.iter().copied().eq(1..=250),
            "{aggregate}: {numbers:?}\n{}",
            relays.values().map(stack::Service::last_lines).collect::<String>()
        );
    }
    Ok(())
}
