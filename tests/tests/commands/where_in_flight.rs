//! Whether a due event has been sent, as the relay that has its lane says when it is asked.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::edited_events::{add, before_a_proxy};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::paused_process::PausedProcess;
use pipeline_tests::pgbouncer::PgBouncer;
use pipeline_tests::proxy::Faults;
use pipeline_tests::relay_command::outbox_relay;
use serde_json::{Value, json};
use stack::ProcessId;
use tokio_postgres::Client;

/// What is said without an answer.
const UNKNOWN: &str = "a relay has sent it, or sends it next";

/// Runs `where` for an event, as a person who may only read. Returns the event of the JSON answer.
async fn locate(outbox: &Outbox, event_id: &str) -> anyhow::Result<Value> {
    let url = outbox.person("outbox_viewer").await?;
    locate_through(&url, event_id).await
}

async fn locate_through(url: &str, event_id: &str) -> anyhow::Result<Value> {
    let ended = outbox_relay(&["where", event_id, "--json"], &[("DATABASE_URL", url)]).await?;
    ensure!(ended.err.is_empty(), "{ended:?}");
    Ok(ended.json()?["events"][0].take())
}

/// Checks what `where` says of a due event.
fn check(location: &Value, in_flight: Option<bool>, said: &str) {
    assert_eq!(location["in_flight"], json!(in_flight), "{location}");
    let because = location["because"].as_str().unwrap_or_default();
    assert!(because.contains(said), "{location}");
    assert_eq!(location["answer"], "on_its_way", "{location}");
}

/// The number of answers that relays give at the moment.
async fn answers(outbox: &Outbox) -> anyhow::Result<i64> {
    let answers =
        "SELECT count(*) FROM pg_locks
         WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND locktype = 'advisory' AND classid::bigint BETWEEN 1869968384 + 72 AND 1869968384 + 74";
    outbox.count(answers, &[]).await
}

#[tokio::test]
async fn an_event_is_in_flight_until_its_confirm_comes_and_the_one_behind_it_is_not()
-> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    broker.to_client(Faults::HELD);
    let sent = add(&outbox, "1", None).await?;
    eventually("it is in the queue", async || Ok(outbox.depth("all").await? == 1)).await?;
    let behind = add(&outbox, "1", None).await?;
    let said = "has sent it and waits for the broker's confirm, or to note it";
    check(&locate(&outbox, &sent).await?, Some(true), said);
    check(&locate(&outbox, &behind).await?, Some(false), "has not sent it yet");

    // Through a pool each transaction may be another session's.
    let (_pool, pooled) = PgBouncer::before(&outbox.database.url).await?;
    check(&locate_through(&pooled, &sent).await?, Some(true), said);
    let page = outbox.command(&["where", &sent]).await?;
    ensure!(page.out.contains("on its way: relay outbox-relay (pid "), "{page:?}");
    eventually("the answers are given up", async || Ok(answers(&outbox).await? == 0)).await?;

    broker.to_client(Faults::default());
    outbox.all_published().await?;
    let location = locate(&outbox, &sent).await?;
    assert_eq!((&location["in_flight"], &location["relay"]), (&Value::Null, &Value::Null));
    assert_eq!(location["event"]["state"], "published");
    Ok(())
}

#[tokio::test]
async fn an_event_of_a_relay_that_lost_the_broker_is_in_doubt_and_a_new_one_is_on_its_way()
-> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    broker.to_client(Faults::HELD);
    let sent = add(&outbox, "1", None).await?;
    eventually("it is in the queue", async || Ok(outbox.depth("all").await? == 1)).await?;
    // The next connections reach the broker, and hear nothing from it.
    broker.reset();
    relay.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    let unsent = add(&outbox, "2", None).await?;
    for (event_id, in_flight, said) in [
        (&sent, Value::Null, "it was sent before, and may have arrived: outbox-relay: "),
        // One that is gone may have sent it.
        (&unsent, Value::Null, "whether it was sent before is unknown: outbox-relay: "),
    ] {
        let location = locate(&outbox, event_id).await?;
        assert_eq!(location["in_flight"], in_flight, "{location}");
        let because = location["because"].as_str().unwrap_or_default();
        ensure!(because.starts_with("no relay can publish it for now, and "), "{location}");
        ensure!(because.contains(said), "{location}");
        // The relay connects again by itself.
        assert_eq!(location["answer"], "on_its_way", "{location}");
    }
    broker.to_client(Faults::default());
    outbox.all_published().await
}

#[tokio::test]
async fn a_confirmed_event_is_in_flight_until_that_is_noted() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    let event_id = add(&outbox, "1", Some("infinity")).await?;
    let lock = outbox.lock_table().await?;
    eventually("it is in the queue", async || Ok(outbox.depth("all").await? == 1)).await?;
    check(&locate(&outbox, &event_id).await?, Some(true), "has sent it and waits");
    lock.batch_execute("COMMIT").await?;
    outbox.all_published().await
}

#[tokio::test]
async fn of_a_confirmed_event_whose_row_is_locked_is_said_that_it_is_confirmed()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let event_id = add(&outbox, "1", None).await?;
    let unsettled = "INSERT INTO outbox_unsettled (event_id, id, outcome, kind)
                     SELECT event_id, id, 'published', 'locked' FROM outbox";
    outbox.sql.batch_execute(unsettled).await?;
    check(&locate(&outbox, &event_id).await?, None, "the broker has confirmed it");
    Ok(())
}

#[tokio::test]
async fn a_frozen_relay_gives_no_answer_and_is_not_waited_for_twice() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    let frozen = PausedProcess::new(ProcessId::of(relay.pid()).context("it runs")?)?;
    let event_id = add(&outbox, "1", None).await?;
    for _ in 0..3 {
        add(&outbox, "1", None).await?;
    }
    let begun = Instant::now();
    check(&locate(&outbox, &event_id).await?, None, UNKNOWN);
    let took = begun.elapsed();
    ensure!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
    let begun = Instant::now();
    let all = outbox.command(&["where", "order/1", "--json"]).await?;
    assert_eq!(all.json()?["events"].as_array().map(Vec::len), Some(4));
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(5), "four events took {took:?}");
    frozen.resume()?;
    outbox.all_published().await
}

/// A session that has all lanes, as a relay of an older release.
async fn older_relay(outbox: &Outbox) -> anyhow::Result<Client> {
    let relay = connect(&outbox.relay_url).await?;
    let locks = "SELECT pg_advisory_lock_shared(1869968384 + 64, 'outbox'::regclass::oid::integer),
                        (SELECT count(pg_advisory_lock(1869968384 + lane, 'outbox'::regclass::oid::integer))
                         FROM generate_series(0, 63) AS lane)";
    relay.batch_execute(locks).await?;
    Ok(relay)
}

#[tokio::test]
async fn of_a_relay_of_an_older_release_is_said_what_was_said_before() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let _relay = older_relay(&outbox).await?;
    let event_id = add(&outbox, "1", None).await?;
    check(&locate(&outbox, &event_id).await?, None, UNKNOWN);
    Ok(())
}

#[tokio::test]
async fn many_questions_are_answered_in_part_and_keep_nothing_from_being_published()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    let mut askers = Vec::new();
    for id in 0..80 {
        let asker = connect(&outbox.relay_url).await?;
        let asks = format!(
            "BEGIN; SELECT pg_advisory_xact_lock_shared(1869968384 + 70, 'outbox'::regclass::oid::integer),
                           pg_advisory_xact_lock_shared(1869968384 + 71, {id})"
        );
        asker.batch_execute(&asks).await?;
        askers.push(asker);
    }
    eventually("as many as may be are answered", async || Ok(answers(&outbox).await? == 64))
        .await?;
    add(&outbox, "1", None).await?;
    outbox.all_published().await?;
    assert_eq!(answers(&outbox).await?, 64);
    drop(askers);
    eventually("the answers are given up", async || Ok(answers(&outbox).await? == 0)).await?;

    // Questions about another table are none of this relay's.
    let asker = connect(&outbox.relay_url).await?;
    let asks =
        "BEGIN; SELECT pg_advisory_xact_lock_shared(1869968384 + 70, 'outbox_audit'::regclass::oid::integer),
                       pg_advisory_xact_lock_shared(1869968384 + 71, 1)";
    asker.batch_execute(asks).await?;
    let asked = add(&outbox, "1", None).await?;
    outbox.all_published().await?;
    let location = locate(&outbox, &asked).await?;
    assert_eq!(location["event"]["state"], "published", "{location}");
    assert_eq!(answers(&outbox).await?, 0);
    Ok(())
}

/// A session of a relay of `table` that can't publish.
async fn idle_relay(outbox: &Outbox, table: &str) -> anyhow::Result<Client> {
    let relay = connect(&outbox.relay_url).await?;
    let names = format!(
        "SET application_name = 'outbox-relay: the broker of {table} is lost';
         SELECT pg_advisory_lock_shared(1869968384 + 69, '{table}'::regclass::oid::integer)"
    );
    relay.batch_execute(&names).await?;
    Ok(relay)
}

#[tokio::test]
async fn an_idle_relay_of_another_table_is_not_named() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute("CREATE TABLE orders (); GRANT SELECT ON orders TO PUBLIC").await?;
    let _other = idle_relay(&outbox, "orders").await?;
    let event_id = add(&outbox, "1", None).await?;
    let location = locate(&outbox, &event_id).await?;
    assert_eq!(location["because"], "no relay is at work on its lane: start one", "{location}");
    let relays = outbox.command(&["status", "--json"]).await?.json()?["relays"].take();
    assert_eq!(relays, serde_json::json!([]));
    let _own = idle_relay(&outbox, "outbox").await?;
    let location = locate(&outbox, &event_id).await?;
    let because = location["because"].as_str().unwrap_or_default();
    ensure!(because.contains("the broker of outbox is lost"), "{location}");
    Ok(())
}
