//! Events that a person has paused: no relay publishes them, they hold back the later ones of their
//! aggregates, and all come in order when they are resumed.

use anyhow::ensure;
use pipeline_tests::metrics::until_polled;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::paused_events::{add, others_are_published, pending_of, run};

#[tokio::test]
async fn a_paused_event_holds_back_the_later_ones_of_its_aggregate_and_all_come_in_order_when_it_is_resumed()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    run(&outbox, &["pause", "--type", "order.created", "--reason", "bad deploy"]).await?;
    for number in 1..=300 {
        let event_type = if number % 10 == 5 { "order.created" } else { "order.shipped" };
        add(&outbox, "mixed", event_type, number).await?;
    }
    add(&outbox, "free", "order.shipped", 1).await?;
    deliveries.wait_for(5).await?;
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
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let relay = outbox.relay_process(&[]).await?;
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
        deliveries.wait_for(before + 1).await?;
        others_are_published(&outbox).await?;
        assert_eq!(pending_of(&outbox, "7").await?, 2, "{arguments:?}");
        run(&outbox, &[&["resume"], arguments].concat()).await?;
        outbox.all_published().await?;
    }
    run(&outbox, &["pause", "--all"]).await?;
    let before = deliveries.count();
    add(&outbox, "9", "order.created", 1).await?;
    until_polled(&relay, 5).await?;
    assert_eq!((pending_of(&outbox, "9").await?, deliveries.count()), (1, before));
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_that_starts_respects_the_pauses_from_its_first_scan() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
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
    let (outbox, deliveries) = Outbox::with_consumer().await?;
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
    deliveries.wait_for(11).await?;
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
    let relay = outbox
        .relay_process(&[("RELAY_BACKOFF_MIN", "50ms"), ("RELAY_BACKOFF_MAX", "50ms")])
        .await?;
    add(&outbox, "7", "order.created", 1).await?;
    let tried = "SELECT attempts::bigint FROM outbox WHERE aggregate_id = '7'";
    eventually("it is tried", async || Ok(outbox.count(tried, &[]).await? > 2)).await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    others_are_published(&outbox).await?;
    let before = outbox.count(tried, &[]).await?;
    until_polled(&relay, 10).await?;
    assert_eq!(outbox.count(tried, &[]).await?, before);
    outbox.bind("some", "#").await?;
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    Ok(())
}

#[tokio::test]
async fn a_lock_on_the_table_of_pauses_stops_no_relay() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
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

/// Waits until a session waits for a lock on the table of pauses, or until none does.
async fn waits_for_pauses(outbox: &Outbox, waits: bool) -> anyhow::Result<()> {
    let waiting = "SELECT count(*) FROM pg_locks
                   WHERE relation = 'outbox_pauses'::regclass AND NOT granted";
    eventually(&format!("somebody waits for the lock: {waits}"), async || {
        Ok((outbox.count(waiting, &[]).await? > 0) == waits)
    })
    .await
}

#[tokio::test]
async fn a_relay_that_starts_while_the_pauses_can_not_be_read_publishes_nothing_before_it_has_read_them()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    add(&outbox, "7", "order.created", 1).await?;
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox_pauses").await?;
    let _relay = outbox.relay_process(&[]).await?;
    // It gives up, and tries again.
    for waits in [true, false, true, false, true] {
        waits_for_pauses(&outbox, waits).await?;
    }
    assert_eq!(outbox.pending().await?, 1);
    locker.batch_execute("ROLLBACK").await?;
    others_are_published(&outbox).await?;
    assert_eq!(pending_of(&outbox, "7").await?, 1);
    run(&outbox, &["resume", "--all"]).await?;
    outbox.all_published().await?;
    deliveries.wait_for(2).await
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
    let (outbox, deliveries) = Outbox::with_consumer().await?;
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
