//! Events that a person has paused: no relay publishes them, they hold back the later ones of their
//! aggregates, and all come in order when they are resumed.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::paused_events::{add, others_are_published, pending_of, run};
use pipeline_tests::seed::seed;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

async fn listened_to() -> anyhow::Result<(Outbox, Deliveries)> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    Ok((outbox, deliveries))
}

async fn delivered(deliveries: &Deliveries, count: usize) -> anyhow::Result<()> {
    eventually(&format!("{count} are delivered"), async || Ok(deliveries.count() >= count)).await
}

#[tokio::test]
async fn a_paused_event_holds_back_the_later_ones_of_its_aggregate_and_all_come_in_order_when_it_is_resumed()
-> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    run(&outbox, &["pause", "--type", "order.created", "--reason", "bad deploy"]).await?;
    for number in 1..=300 {
        let event_type = if number % 10 == 5 { "order.created" } else { "order.shipped" };
        add(&outbox, "mixed", event_type, number).await?;
    }
    add(&outbox, "free", "order.shipped", 1).await?;
    delivered(&deliveries, 5).await?;
    others_are_published(&outbox).await?;
    let first = deliveries.first_deliveries();
    assert_eq!(first["mixed"], [1, 2, 3, 4], "{}", relay.last_lines());
    assert_eq!(first["free"], [1]);
    assert_eq!(pending_of(&outbox, "mixed").await?, 296);

    run(&outbox, &["resume", "--type", "order.created"]).await?;
    outbox.all_published().await?;
    eventually("all are delivered", async || {
        Ok(deliveries.first_deliveries()["mixed"].len() == 300)
    })
    .await?;
    let first = deliveries.first_deliveries();
    assert!(first["mixed"].iter().copied().eq(1..=300), "{:?}", first["mixed"]);
    assert_eq!(deliveries.count(), 302, "each once");
    Ok(())
}

#[tokio::test]
async fn an_aggregate_and_everything_can_be_paused() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let _relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    for arguments in [
        &["--aggregate", "7"][..],
        &["--aggregate-type", "order", "--aggregate", "7"],
        &["--aggregate-type", "order", "--aggregate", "7", "--type", "order.created"],
    ] {
        run(&outbox, &[&["pause"], arguments].concat()).await?;
        let before = deliveries.count();
        add(&outbox, "7", "order.created", 1).await?;
        add(&outbox, "7", "order.shipped", 2).await?;
        add(&outbox, "8", "order.created", 1).await?;
        delivered(&deliveries, before + 1).await?;
        others_are_published(&outbox).await?;
        assert_eq!(pending_of(&outbox, "7").await?, 2, "{arguments:?}");
        run(&outbox, &[&["resume"], arguments].concat()).await?;
        outbox.all_published().await?;
    }
    run(&outbox, &["pause", "--all"]).await?;
    let before = deliveries.count();
    add(&outbox, "9", "order.created", 1).await?;
    // Longer than a relay takes to find it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((pending_of(&outbox, "9").await?, deliveries.count()), (1, before));
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_that_starts_respects_the_pauses_from_its_first_scan() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    for number in 1..=50 {
        add(&outbox, "7", "order.created", number).await?;
    }
    for _ in 0..3 {
        let relay = outbox.relay_process(&[]).await?;
        others_are_published(&outbox).await?;
        assert_eq!(pending_of(&outbox, "7").await?, 50, "{}", relay.last_lines());
        relay.sigkill()?;
        relay.wait_exit(PATIENCE).await?;
    }
    assert!(!deliveries.first_deliveries().contains_key("7"));
    Ok(())
}

#[tokio::test]
async fn a_pause_ends_by_itself() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let _relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    run(&outbox, &["pause", "--aggregate", "7", "--for", "3s"]).await?;
    for number in 1..=10 {
        add(&outbox, "7", "order.created", number).await?;
    }
    others_are_published(&outbox).await?;
    assert_eq!(pending_of(&outbox, "7").await?, 10);
    outbox.all_published().await?;
    let early = "SELECT count(*) FROM outbox, outbox_pauses WHERE outbox.aggregate_id = '7' AND published_at < until";
    assert_eq!(outbox.count(early, &[]).await?, 0);
    delivered(&deliveries, 11).await?;
    assert!(deliveries.first_deliveries()["7"].iter().copied().eq(1..=10));
    let pauses = outbox.command(&["pauses", "--json"]).await?;
    assert_eq!(pauses.out, "", "it is listed no longer");
    Ok(())
}

#[tokio::test]
async fn a_failed_event_that_is_paused_is_not_tried() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    // No queue takes it.
    outbox.queue("some", "probe.*").await?;
    let _relay = outbox
        .relay_process(&[("RELAY_BACKOFF_MIN", "50ms"), ("RELAY_BACKOFF_MAX", "50ms")])
        .await?;
    add(&outbox, "7", "order.created", 1).await?;
    let tried = "SELECT attempts::bigint FROM outbox WHERE aggregate_id = '7'";
    eventually("it is tried", async || Ok(outbox.count(tried, &[]).await? > 2)).await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    others_are_published(&outbox).await?;
    let before = outbox.count(tried, &[]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(outbox.count(tried, &[]).await?, before);
    outbox.bind("some", "#").await?;
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    Ok(())
}

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

#[tokio::test]
async fn a_lock_on_the_table_of_pauses_stops_no_relay() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    add(&outbox, "7", "order.created", 1).await?;
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox_pauses").await?;
    let noted = "the pauses can't be read";
    eventually("the relay says so", async || Ok(relay.last_lines().contains(noted))).await?;
    for _ in 0..3 {
        others_are_published(&outbox).await?;
    }
    assert_eq!(pending_of(&outbox, "7").await?, 1, "what was paused stays paused");
    locker.batch_execute("ROLLBACK").await?;
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    assert_eq!(deliveries.first_deliveries()["7"], [1]);
    Ok(())
}

/// Ends the sessions of all relays of the outbox, which open others.
async fn end_sessions(outbox: &Outbox) -> anyhow::Result<()> {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'outbox-relay%'";
    ensure!(outbox.count(end, &[]).await? > 0, "no relay has a session");
    Ok(())
}

#[tokio::test]
async fn what_is_paused_stays_so_for_a_relay_that_reconnects_and_can_not_read_the_pauses()
-> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    add(&outbox, "7", "order.created", 1).await?;
    let locker = connect(&outbox.database.url).await?;
    for (hinder, end) in [
        (
            "REVOKE SELECT ON outbox_pauses FROM outbox_relay",
            "GRANT SELECT ON outbox_pauses TO outbox_relay",
        ),
        ("BEGIN; LOCK TABLE outbox_pauses", "ROLLBACK"),
    ] {
        locker.batch_execute(hinder).await?;
        end_sessions(&outbox).await?;
        for _ in 0..3 {
            others_are_published(&outbox).await?;
        }
        assert_eq!(pending_of(&outbox, "7").await?, 1, "{hinder}: {}", relay.last_lines());
        locker.batch_execute(end).await?;
        let again = "the pauses are read again";
        eventually(again, async || Ok(relay.last_lines().contains(again))).await?;
        add(&outbox, "8", "order.shipped", 1).await?;
    }
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    assert_eq!(deliveries.first_deliveries()["7"], [1]);
    Ok(())
}

/// Each pause that ends lets the relay scan the table from its beginning, which must not keep it from
/// what comes at the end.
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
    relay.until_idle().await?;
    println!("read once after {:?}", begun.elapsed());
    // A minute after it has taken its lanes it looks again, as somebody else may have had some of
    // them in flight.
    let looked_again = begun + Duration::from_secs(63);
    relay.work_until(tokio::time::sleep_until(looked_again.into())).await;
    relay.until_idle().await?;
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
    let (outbox, deliveries) = listened_to().await?;
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
