//! The retention of published events.

use anyhow::Context as _;
use pipeline_tests::metrics::shows;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, event_id, eventually};

/// Adds events published this long ago, more than one pruning statement scans.
const ADD_PUBLISHED: &str =
    "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
     SELECT 'order', n::text, 'order.created', '{}', now() - $1::text::interval
     FROM generate_series(1, 2500) AS n";

/// Adds old pending events, of which every third is stuck and every third is waiting.
const ADD_PENDING: &str =
    "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, created_at, attempts, next_attempt_at)
     SELECT 'pending', n::text, 'order.created', '{}', now() - interval '1 year',
            CASE n % 3 WHEN 2 THEN 0 ELSE 1 END,
            CASE n % 3 WHEN 0 THEN 'infinity'::timestamptz WHEN 1 THEN now() + interval '1 day' END
     FROM generate_series(1, 30) AS n";

/// A trigger that records an event's age when it is deleted, independently of the test's timing.
const NOTE_AGES: &str = "
    CREATE TABLE pruned (age interval NOT NULL);
    CREATE FUNCTION note_age() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO pruned VALUES (clock_timestamp() - OLD.published_at);
        RETURN OLD;
    END $$;
    CREATE TRIGGER note_age BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION note_age()";

const EVENTS: &str = "SELECT count(*) FROM outbox";

#[tokio::test]
async fn published_events_are_pruned_after_their_time_and_pending_ones_never() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("unused", "unused").await?;
    outbox.sql.execute(ADD_PUBLISHED, &[&"2 hours"]).await?;
    // Unroutable, so that they stay pending.
    outbox.sql.batch_execute(ADD_PENDING).await?;
    outbox.sql.execute(ADD_PUBLISHED, &[&"1 minute"]).await?;
    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "1h")]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    // The first pass is after a minute, at most a tenth of the hour.
    let pruned = outbox.command(&["prune", "--older-than", "1h"]).await?;
    assert_eq!((pruned.code, pruned.out.as_str()), (Some(0), "2500 events pruned.\n"));
    assert_eq!(outbox.count(EVENTS, &[]).await?, 2530);

    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "2s")]).await?;
    let young = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
    eventually("all published ones are pruned", async || Ok(outbox.count(young, &[]).await? == 0))
        .await?;
    relay.wait_for_line("pruned published events", PATIENCE).await?;
    assert_eq!(outbox.count(EVENTS, &[]).await?, 30, "pending, waiting and stuck ones stay");
    Ok(())
}

#[tokio::test]
async fn an_event_is_pruned_some_time_after_it_was_published_and_not_before() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute(NOTE_AGES).await?;
    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "3s")]).await?;
    for _ in 0..3 {
        outbox.add("7", "order.created").await?;
        eventually("it is published and pruned", async || {
            Ok(outbox.depth("all").await? > 0 && outbox.count(EVENTS, &[]).await? == 0)
        })
        .await?;
    }
    let too_soon = "SELECT count(*) FROM pruned WHERE age < interval '3 seconds'";
    assert_eq!(outbox.count(too_soon, &[]).await?, 0, "{}", relay.last_lines());
    assert_eq!(outbox.count("SELECT count(*) FROM pruned", &[]).await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_locked_note_stops_no_pruning_pass() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("unused", "unused").await?;
    outbox.sql.execute(ADD_PUBLISHED, &[&"2 hours"]).await?;
    let note = "INSERT INTO outbox_unsettled (event_id, id, outcome, kind)
                VALUES (gen_random_uuid(), 0, 'expired', 'refused')";
    outbox.sql.batch_execute(note).await?;
    let other = connect(&outbox.database.url).await?;
    other.batch_execute("BEGIN; SELECT FROM outbox_unsettled FOR UPDATE").await?;
    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "2s")]).await?;
    relay.wait_for_line("pruned published events", PATIENCE).await?;
    assert_eq!(outbox.count(EVENTS, &[]).await?, 0);
    other.batch_execute("ROLLBACK").await?;
    eventually("the note is gone", async || {
        Ok(outbox.count("SELECT count(*) FROM outbox_unsettled", &[]).await? == 0)
    })
    .await?;
    assert!(!relay.log().contains("could not be pruned"), "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_to_be_pruned_nothing_is() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.execute(ADD_PUBLISHED, &[&"100 years"]).await?;
    let (kept, _) = outbox.joined_by(&[("OUTBOX_RETENTION", "off")]).await?;
    let other = Outbox::new().await?;
    other.sql.execute(ADD_PUBLISHED, &[&"100 years"]).await?;
    let pruning = other.relay_process(&[("OUTBOX_RETENTION", "1s")]).await?;
    // Long after a pruning relay would have pruned.
    eventually("the other outbox is pruned", async || Ok(other.count(EVENTS, &[]).await? == 0))
        .await?;
    assert_eq!(outbox.count(EVENTS, &[]).await?, 2500);
    let asked = outbox.command(&["prune"]).await?;
    assert_eq!(asked.out, "2500 events pruned.\n", "a person may, after 7 days by default");
    assert!(kept.is_running() && pruning.is_running());
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_kept_an_event_is_gone_once_it_is_published() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    for n in 0..50 {
        outbox.add(&(n % 5).to_string(), "order.created").await?;
    }
    outbox.add("stuck", &"x".repeat(256)).await?;
    outbox.add("waits", "order.unheard").await?;
    let mut relay = outbox.relay(&[
        "--outbox-retention",
        "0",
        "--relay-backoff-min",
        "1h",
        "--relay-backoff-max",
        "1h",
    ])?;
    relay.until_idle().await?;
    assert_eq!(outbox.depth("all").await?, 50);
    assert_eq!(outbox.count(EVENTS, &[]).await?, 2, "what is not published stays");
    Ok(())
}

#[tokio::test]
async fn a_relay_killed_between_confirm_and_delete_loses_nothing() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for n in 0..50 {
        outbox.add(&n.to_string(), "order.created").await?;
    }
    let ids = outbox.event_ids().await?;
    outbox.put_off().await?;
    let at_once = [("OUTBOX_RETENTION", "0")];
    let relay = outbox.relay_process(&at_once).await?;
    outbox.shared_among(1).await?;
    let hold = outbox.lock_table().await?;
    eventually("the deleting waits for the lock", async || {
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE application_name = 'outbox-relay' AND datname = current_database()
                       AND wait_event_type = 'Lock' AND query LIKE '%settle_deleted%'";
        Ok(outbox.count(waits, &[]).await? == 1)
    })
    .await?;
    relay.sigkill()?;
    relay.wait_exit(PATIENCE).await?;
    eventually("the server noticed that the relay is gone", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE application_name = 'outbox-relay' AND datname = current_database()";
        Ok(outbox.count(sessions, &[]).await? == 0)
    })
    .await?;
    hold.batch_execute("ROLLBACK").await?;
    assert_eq!(outbox.pending().await?, 50, "the crash came before the deleting");
    let _relay = outbox.relay_process(&at_once).await?;
    eventually("all are gone", async || Ok(outbox.count(EVENTS, &[]).await? == 0)).await?;
    let messages = outbox.take_all("all").await?;
    let got = messages.iter().map(event_id).collect::<Result<_, _>>()?;
    assert_eq!(ids, got, "each event at least once");
    Ok(())
}

#[tokio::test]
async fn one_relay_prunes_at_a_time_and_a_locked_table_holds_up_no_publishing() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.execute(ADD_PUBLISHED, &[&"1 day"]).await?;
    // Only deleting waits for this lock, on a table that only deleting reads.
    outbox
        .sql
        .batch_execute(
            "CREATE TABLE gate (); CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN LOCK TABLE gate IN ACCESS SHARE MODE; RETURN old; END $$;
             CREATE TRIGGER pass BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION pass()",
        )
        .await?;
    let mut holder = connect(&outbox.database.url).await?;
    let hold = holder.transaction().await?;
    hold.batch_execute("LOCK TABLE gate").await?;
    let settings = [("OUTBOX_RETENTION", "1s")];
    let relays = [outbox.relay_process(&settings).await?, outbox.relay_process(&settings).await?];
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = 'outbox-relay' AND datname = current_database()
                     AND wait_event_type = 'Lock' AND query LIKE '%prune%'";
    eventually(
        "one of them prunes, and waits",
        async || Ok(outbox.count(waiting, &[]).await? == 1),
    )
    .await?;
    for n in 0..200 {
        let id = outbox.add(&n.to_string(), "order.created").await?;
        if n % 20 == 0 {
            let published =
                "SELECT count(*) FROM outbox WHERE id = $1 AND published_at IS NOT NULL";
            eventually("it is published meanwhile", async || {
                Ok(outbox.count(published, &[&id]).await? == 1)
            })
            .await?;
            assert!(outbox.count(waiting, &[]).await? <= 1, "the other one leaves it alone");
        }
    }
    assert!(outbox.count(EVENTS, &[]).await? >= 2500, "nothing is pruned yet");
    hold.commit().await?;
    eventually("all are pruned", async || Ok(outbox.count(EVENTS, &[]).await? == 0)).await?;
    assert!(relays.iter().all(stack::Service::is_running));
    assert_eq!(outbox.take_all("all").await?.len(), 200, "each once");
    Ok(())
}

#[tokio::test]
async fn pruning_goes_past_what_it_can_not_delete_and_past_young_events() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    // More young events than a statement scans, ahead of the old ones.
    outbox.sql.execute(ADD_PUBLISHED, &[&"0 days"]).await?;
    outbox.sql.execute(ADD_PUBLISHED, &[&"1 day"]).await?;
    let old = "SELECT count(*) FROM outbox WHERE published_at < now() - interval '1 hour'";
    assert_eq!(outbox.count(old, &[]).await?, 2500);
    // One is locked, and one can't be deleted.
    outbox
        .sql
        .batch_execute(
            "CREATE TABLE shipment (event_id uuid NOT NULL REFERENCES outbox (event_id));
             INSERT INTO shipment SELECT event_id FROM outbox
             WHERE published_at < now() - interval '1 hour' ORDER BY id OFFSET 700 LIMIT 1",
        )
        .await?;
    let other = connect(&outbox.database.url).await?;
    other
        .batch_execute(
            "BEGIN; SELECT FROM outbox WHERE id = (
                 SELECT id FROM outbox WHERE published_at < now() - interval '1 hour' ORDER BY id OFFSET 50 LIMIT 1
             ) FOR UPDATE",
        )
        .await?;
    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "30s")]).await?;
    eventually("all others are pruned", async || Ok(outbox.count(old, &[]).await? == 2))
        .await
        .with_context(|| relay.log())?;
    let refused = "SELECT outcome || ' ' || kind || ' ' || reason FROM outbox_unsettled";
    let refused: String = outbox.sql.query_one(refused, &[]).await?.get(0);
    assert!(refused.starts_with("expired refused ") && refused.contains("shipment"), "{refused}");
    shows(&relay, &["outbox_relay_unprunable_events 2"]).await?;
    other.batch_execute("ROLLBACK").await?;
    outbox.sql.batch_execute("DROP TABLE shipment").await?;
    eventually("these too", async || Ok(outbox.count(old, &[]).await? == 0)).await?;
    eventually("the note is gone", async || {
        Ok(outbox.count("SELECT count(*) FROM outbox_unsettled", &[]).await? == 0)
    })
    .await
}
