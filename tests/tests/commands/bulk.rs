//! Changes of many events at once: what is counted, what can't be changed, and what is told when
//! something goes wrong in the middle.

use anyhow::Context as _;
use pipeline_tests::audit_gate::AuditGate;
use pipeline_tests::command::Ended;
use pipeline_tests::edited_events::add;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::{Outbox, connect};
use serde_json::{Value, json};
use tokio_postgres::Client;

const DISCARD: [&str; 4] = ["discard", "--reason", "x", "--json"];
const RETRY: [&str; 2] = ["retry", "--json"];

/// Changes all events that the broker returned, which must be `events`.
async fn bulk(outbox: &Outbox, command: &[&str], events: usize) -> anyhow::Result<Ended> {
    let events = events.to_string();
    outbox.command(&[command, &["--kind", "returned", "--expect", &events]].concat()).await
}

/// How many events a command changed.
fn changed(document: &Value) -> Option<u64> {
    let discarded = document["discarded"].as_array().map(|events| events.len() as u64);
    discarded.or_else(|| document["retried"].as_u64())
}

/// A session that looks like that of a relay at work which has seen all changes.
async fn relay_at_work(outbox: &Outbox) -> anyhow::Result<Client> {
    let relay = connect(&outbox.relay_url).await?;
    let locks = "SELECT pg_advisory_lock_shared(1869968384 + 64, 'outbox'::regclass::oid::integer),
                        pg_advisory_lock_shared(1869968384 + 67, 1000000)";
    relay.batch_execute(locks).await?;
    Ok(relay)
}

#[tokio::test]
async fn what_was_in_flight_is_told_however_long_a_change_takes() -> anyhow::Result<()> {
    for command in [&DISCARD[..], &RETRY] {
        let outbox = Outbox::new().await?;
        add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2001).await?;
        let relay = relay_at_work(&outbox).await?;
        let gate = AuditGate::new(&outbox).await?;
        let reports = async {
            assert_eq!(gate.let_pass(1).await?, 1000);
            let sent: i64 = outbox.count("SELECT min(id) FROM outbox_audit", &[]).await?;
            let report = format!("SELECT pg_advisory_lock_shared(1869968384 + 68, {sent})");
            relay.batch_execute(&report).await?;
            assert_eq!(gate.let_pass(2).await?, 2000);
            // As a relay does after half a minute.
            relay.batch_execute(&report.replace("_lock_", "_unlock_")).await?;
            gate.open(3).await
        };
        let (ended, reported) = tokio::join!(bulk(&outbox, command, 2001), reports);
        reported?;
        let ended = ended?;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let document = ended.json()?;
        assert_eq!(changed(&document), Some(2001));
        assert_eq!(document["not_confirmed_by"], json!([]));
        if command == DISCARD {
            let first = "SELECT event_id::text FROM outbox_audit ORDER BY id LIMIT 1";
            let first: String = outbox.sql.query_one(first, &[]).await?.get(0);
            assert_eq!(document["in_flight"], json!([first]));
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_event_whose_time_has_come_is_counted_like_before() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 3).await?;
    let waiting = "UPDATE outbox SET next_attempt_at = now() + interval '1 hour'";
    outbox.sql.batch_execute(waiting).await?;
    let count = ["retry", "--kind", "returned", "--dry-run", "--json"];
    assert_eq!(outbox.command(&count).await?.json()?["matched"], 3);
    outbox.sql.batch_execute("UPDATE outbox SET next_attempt_at = now() WHERE id = 1").await?;
    assert_eq!(outbox.command(&count).await?.json()?["matched"], 3);
    let ended = bulk(&outbox, &RETRY, 3).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let document = ended.json()?;
    assert_eq!((&document["matched"], &document["retried"]), (&json!(3), &json!(2)));
    assert_eq!(document["not_retried"][0]["why"], "pending", "it is due already: {document}");
    Ok(())
}

/// Refuses to change the rows with these ids.
const REFUSE: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF old.id IN (1, 999, 1500) THEN RAISE EXCEPTION 'event % is under seal', old.id; END IF;
        RETURN coalesce(new, old);
    END $$;
    CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()";

#[tokio::test]
async fn events_that_the_database_refuses_are_named_and_all_others_changed() -> anyhow::Result<()> {
    for (command, left) in [(&DISCARD[..], "not_discarded"), (&RETRY, "not_retried")] {
        let outbox = Outbox::new().await?;
        add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2001).await?;
        outbox.sql.batch_execute(REFUSE).await?;
        let ended = bulk(&outbox, command, 2001).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let document = ended.json()?;
        assert_eq!(changed(&document), Some(1998), "{}", document[left]);
        let refused = document[left].as_array().context("an array")?;
        assert_eq!(refused.len(), 3, "{refused:?}");
        for (event, id) in refused.iter().zip([1, 999, 1500]) {
            assert_eq!(event["why"], "refused", "{event}");
            let said = event["refusal"].as_str().context("a sentence")?;
            assert!(said.contains(&format!("event {id} is under seal")), "{said}");
        }
        let audited = outbox.count("SELECT count(*) FROM outbox_audit", &[]).await?;
        assert_eq!(audited, 1998, "an audit row for each, and no other");
        let text: Vec<&str> =
            command.iter().copied().filter(|argument| *argument != "--json").collect();
        let id = refused[0]["event_id"].as_str().context("an id")?;
        let told = outbox.command(&[&text[..], &[id]].concat()).await?;
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains("event 1 is under seal"), "{told:?}");
    }
    Ok(())
}

/// Stops at the second batch with what is not about a row.
const FAIL: &str = "
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF old.id > 1000 THEN {} END IF;
        RETURN coalesce(new, old);
    END $$;
    CREATE TRIGGER fail BEFORE UPDATE OR DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION fail()";

#[tokio::test]
async fn what_was_changed_before_an_error_is_told() -> anyhow::Result<()> {
    for (command, done) in [(&DISCARD[..], "discarded"), (&RETRY, "made due")] {
        for (failure, said) in [
            ("RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full';", "no space left"),
            ("PERFORM pg_terminate_backend(pg_backend_pid());", "terminating connection"),
        ] {
            let outbox = Outbox::new().await?;
            add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2001).await?;
            outbox.sql.batch_execute(&FAIL.replace("{}", failure)).await?;
            let ended = bulk(&outbox, command, 2001).await?;
            assert_eq!(ended.code, Some(69), "{ended:?}");
            let document = ended.json()?;
            assert_eq!(changed(&document), Some(1000), "{document}");
            let left = document["not_discarded"].as_array().or(document["not_retried"].as_array());
            assert_eq!(left.map(Vec::len), Some(0), "the rest was not tried");
            assert!(ended.err.contains(said), "{}", ended.err);
            let before = format!("1000 events were {done} before");
            assert!(ended.err.contains(&before), "{}", ended.err);
            assert_eq!(outbox.count("SELECT count(*) FROM outbox_audit", &[]).await?, 1000);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_somebody_changed_meanwhile_is_not_told_to_be_locked() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1001).await?;
    let gate = AuditGate::new(&outbox).await?;
    let other = connect(&outbox.database.url).await?;
    // Two are left out of the first batch; one of them no longer matches in the end.
    let change =
        "BEGIN; UPDATE outbox SET error_kind = 'refused', event_type = 'order.mended' WHERE id = 7";
    other.batch_execute(change).await?;
    let holder = connect(&outbox.database.url).await?;
    holder.batch_execute("BEGIN; SELECT FROM outbox WHERE id = 8 FOR UPDATE").await?;
    let commits = async {
        assert_eq!(gate.let_pass(1).await?, 998);
        other.batch_execute("COMMIT").await?;
        gate.open(2).await
    };
    let (ended, committed) = tokio::join!(bulk(&outbox, &RETRY, 1001), commits);
    committed?;
    let ended = ended?;
    let document = ended.json()?;
    let left = document["not_retried"].as_array().context("an array")?;
    let whys: Vec<&Value> = left.iter().map(|event| &event["why"]).collect();
    assert_eq!(whys, ["pending", "locked"], "{document}");
    assert_eq!(left[0].get("locked_by"), None, "{document}");
    assert_eq!(ended.code, Some(1), "one is locked: {ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_dry_run_of_named_events_counts_those_that_would_be_changed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let [stuck, due, published] =
        [add(&outbox, "1", Some("infinity")), add(&outbox, "2", None), add(&outbox, "3", None)];
    let [stuck, due, published] = [stuck.await?, due.await?, published.await?];
    let publish = "UPDATE outbox SET published_at = now() WHERE aggregate_id = '3'";
    outbox.sql.batch_execute(publish).await?;
    let ids = [stuck.as_str(), &due, &published];
    for (command, expected) in [(&["retry"][..], 1), (&["discard", "--reason", "x"], 2)] {
        let named = [command, &ids, &["--dry-run"]].concat();
        let counted = outbox.command(&[&named[..], &["--json"]].concat()).await?.json()?;
        assert_eq!(counted["matched"], expected, "{counted}");
        let told = outbox.command(&named).await?;
        assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "no hint that is refused");
    }
    let told = outbox.command(&["replay", &published, "--dry-run"]).await?;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    let told = outbox.command(&["replay", "--since", "1h", "--dry-run"]).await?;
    assert!(told.err.contains("--expect 1 --up-to-id 3"), "{told:?}");
    Ok(())
}
