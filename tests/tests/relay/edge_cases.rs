//! Rare faults: reused ids, updates that the database rejects or ignores, huge payloads.

use std::time::Duration;

use anyhow::ensure;
use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{Outbox, Stepped, eventually};
use pipeline_tests::rabbitmqctl::rabbitmqctl;

/// Settings with which failed events are not retried within a test.
const NEVER_AGAIN: [&str; 4] = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];

/// A trigger that counts the attempts to settle, even those rolled back, and then runs `what`.
fn trigger(what: &str) -> String {
    format!(
        "CREATE SEQUENCE attempts START 1;
         CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN PERFORM nextval('attempts'); {what} END $$;
         CREATE TRIGGER meddle BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION meddle()"
    )
}

/// Steps until settling was tried `times` times, and returns the note about the events that can't
/// be settled.
async fn set_aside(outbox: &Outbox, relay: &mut Stepped, times: i64) -> anyhow::Result<String> {
    let health = relay.health.clone();
    let tried = eventually("settling was tried several times", async || {
        let tried = outbox.count("SELECT last_value FROM attempts WHERE is_called", &[]).await?;
        Ok(tried >= times && health.notes().contains_key("unsettled"))
    });
    relay.work_until(tried).await?;
    assert!(health.is_ready(), "{:?}", health.statuses());
    Ok(health.notes().remove("unsettled").unwrap_or_default())
}

#[tokio::test]
async fn an_event_that_got_the_id_of_a_lost_one_is_sent_and_not_taken_for_it() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    let first = outbox.add("7", "order.created").await?;
    outbox.add("8", "order.unheard").await?;
    outbox.put_off().await?;
    let mut relay = outbox.relay(&NEVER_AGAIN)?;
    relay.until_idle().await?;
    let hold = outbox.lock_table().await?;
    let killer = async {
        eventually("the settling waits, and its session is ended", async || {
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE application_name = 'outbox-relay' AND datname = current_database()
                         AND wait_event_type = 'Lock' AND query LIKE '%settle_published%'";
            Ok(outbox.count(end, &[]).await? == 1)
        })
        .await
    };
    relay.work_until(killer).await?;
    // As after a failover to a server that lacks the latest rows.
    hold.batch_execute("TRUNCATE outbox RESTART IDENTITY; COMMIT").await?;
    assert_eq!(outbox.add("9", "order.created").await?, first);
    outbox.add("10", "order.created").await?;
    relay.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    assert_eq!(outbox.depth("all").await?, 3, "both new events were sent");
    Ok(())
}

#[tokio::test]
async fn a_row_with_the_highest_count_of_attempts_fails_as_any_other() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    let unheard = outbox.add("7", "order.unheard").await?;
    outbox.sql.execute("UPDATE outbox SET attempts = 2147483647", &[]).await?;
    outbox.add("8", "order.created").await?;
    outbox.relay(&NEVER_AGAIN)?.until_idle().await?;
    assert_eq!(outbox.pending().await?, 1);
    let waits = "SELECT count(*) FROM outbox
                 WHERE id = $1 AND attempts = 2147483647 AND next_attempt_at > now()";
    assert_eq!(outbox.count(waits, &[&unheard]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_refuses_every_settling_is_reported_and_nothing_is_sent_again()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute(&trigger("RAISE 'not today';")).await?;
    outbox.add("7", "order.created").await?;
    let mut relay = outbox.relay(&[])?;
    let note = set_aside(&outbox, &mut relay, 4).await?;
    assert!(note.contains("the database refuses to change the row: not today"), "{note}");
    assert_eq!(outbox.depth("all").await?, 1);
    outbox.sql.batch_execute("DROP TRIGGER meddle ON outbox").await?;
    let health = relay.health.clone();
    let settled = async || Ok(!health.notes().contains_key("unsettled"));
    relay.work_until(eventually("all is settled", settled)).await?;
    assert!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_swallows_every_settling_is_reported_and_nothing_is_sent_again()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.sql.batch_execute(&trigger("RETURN NULL;")).await?;
    outbox.add("7", "order.created").await?;
    outbox.add("8", "order.unheard").await?;
    let mut relay = outbox.relay(&NEVER_AGAIN)?;
    let note = set_aside(&outbox, &mut relay, 8).await?;
    assert!(note.ends_with("keeps the row from being changed"), "{note}");
    assert_eq!(outbox.depth("all").await?, 1);
    outbox.sql.batch_execute("DROP TRIGGER meddle ON outbox").await?;
    let health = relay.health.clone();
    let settled = async || Ok(!health.notes().contains_key("unsettled"));
    relay.work_until(eventually("all is settled", settled)).await?;
    assert!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (1, 1));
    Ok(())
}

#[tokio::test]
async fn payloads_in_flight_are_bounded_by_their_real_size_however_well_they_compress()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
               SELECT 'order', n::text, 'order.created', jsonb_build_object('note', repeat('x', 1000000))
               FROM generate_series(1, 100) AS n";
    outbox.sql.batch_execute(add).await?;
    let mut relay = outbox.relay(&[])?;
    // This step fills all windows; only the next one would handle what has completed.
    relay.until(TickOutcome::Busy).await?;
    let mut sent = 0;
    eventually("what was sent has arrived, and no more comes", async || {
        let before = sent;
        tokio::time::sleep(Duration::from_millis(500)).await;
        sent = outbox.depth("all").await?;
        Ok(sent > 0 && sent == before)
    })
    .await?;
    assert!((1..=8).contains(&sent), "{sent} MB were in flight");
    Ok(())
}

#[tokio::test]
async fn an_alarm_of_the_broker_is_sat_out_on_one_connection_and_nothing_is_sent_again()
-> anyhow::Result<()> {
    let server = stack::RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("outbox").await?;
    let outbox = Outbox::on(database, server.vhost("outbox").await?).await?;
    outbox.queue("all", "#").await?;
    let mut relay = outbox.relay(&["--relay-confirm-timeout", "2s"])?;
    relay.until_idle().await?;
    rabbitmqctl(&server, &["set_vm_memory_high_watermark", "0.0000001"])?;
    for n in 0..20 {
        outbox.add(&n.to_string(), "order.created").await?;
    }
    let health = relay.health.clone();
    let reason = || health.statuses()["rabbitmq"].reason.clone().unwrap_or_default();
    let blocked = || reason().starts_with("the broker has told publishers to wait");
    let step = async {
        relay.until(TickOutcome::Worked).await?;
        anyhow::Ok(relay)
    };
    let alarm = async {
        eventually("the alarm is told", async || Ok(blocked())).await?;
        eventually("people who look into the database are told", async || {
            let told = "SELECT count(*) FROM outbox_relays WHERE relay LIKE
                        'outbox-relay: the broker has told publishers to wait%'";
            Ok(outbox.count(told, &[]).await? == 1)
        })
        .await?;
        // Several times the confirm timeout.
        let waited = tokio::time::timeout(Duration::from_secs(6), async {
            while blocked() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ensure!(waited.await.is_err(), "it gave up: {}", reason());
        rabbitmqctl(&server, &["set_vm_memory_high_watermark", "0.9"])
    };
    let (mut relay, ()) = tokio::try_join!(step, alarm)?;
    relay.until_idle().await?;
    assert!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    assert_eq!(outbox.pending().await?, 0);
    assert_eq!(outbox.take_all("all").await?.len(), 20, "nothing was sent twice");
    Ok(())
}
