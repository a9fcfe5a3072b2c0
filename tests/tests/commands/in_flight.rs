//! A command that changes events returns once no relay will publish the old version, or names the
//! relays that may.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lapin::message::BasicGetMessage;
use pipeline_tests::edited_events::{AuditLock, add, before_a_proxy, is_reported};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::paused_process::PausedProcess;
use pipeline_tests::proxy::Faults;
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::terminal::on_a_terminal;
use serde_json::json;
use stack::ProcessId;
use tokio_postgres::Client;
use uuid::Uuid;

#[tokio::test]
async fn a_discarded_event_that_is_in_flight_is_told_and_no_other() -> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    broker.to_client(Faults::HELD);
    let sent = add(&outbox, "1", None).await?;
    eventually("it is in the queue", async || Ok(outbox.depth("all").await? == 1)).await?;
    let [stuck, behind] =
        [add(&outbox, "2", Some("infinity")).await?, add(&outbox, "1", None).await?];

    let ids = [stuck.as_str(), &behind, &sent];
    let ended =
        outbox.command(&[&["discard", "--json", "--reason", "x"], &ids[..]].concat()).await?;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let document = ended.json()?;
    assert_eq!(document["discarded"].as_array().context("an array")?.len(), 3);
    assert_eq!(document["in_flight"], json!([sent]), "{document}");
    assert_eq!(document["not_confirmed_by"], json!([]));

    broker.to_client(Faults::default());
    outbox.all_published().await?;
    relay.wait_for_line("that had already been sent", PATIENCE).await?;
    let third = add(&outbox, "1", None).await?;
    outbox.all_published().await?;
    let arrived = outbox.take_all("all").await?;
    let arrived: Vec<String> = arrived.iter().filter_map(message_id).collect();
    assert_eq!(arrived, [sent.clone(), third], "the others are not sent");

    // What was in flight is no longer.
    let later = add(&outbox, "2", Some("infinity")).await?;
    let ended = outbox.command(&["discard", "--reason", "x", &later]).await?;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_discarded_event_is_told_that_was_confirmed_long_ago_and_could_not_be_marked()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let [confirmed, other] = [add(&outbox, "1", None).await?, add(&outbox, "2", None).await?];
    // By a relay that has since ended.
    let note = "INSERT INTO outbox_unsettled (event_id, id, outcome, kind)
                SELECT event_id, id, 'published', 'locked' FROM outbox WHERE event_id::text = $1";
    outbox.sql.execute(note, &[&confirmed]).await?;
    let ended = outbox.command(&["discard", "--json", "--reason", "x", &other, &confirmed]).await?;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let document = ended.json()?;
    assert_eq!(document["discarded"], json!([confirmed, other]));
    assert_eq!(document["in_flight"], json!([confirmed]));

    // What was not discarded counts for more.
    let confirmed = add(&outbox, "1", None).await?;
    outbox.sql.execute(note, &[&confirmed]).await?;
    let both = ["discard", "--json", "--reason", "x", &confirmed, &other];
    let ended = outbox.command(&both).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let document = ended.json()?;
    assert_eq!(document["in_flight"], json!([confirmed]));
    assert_eq!(document["not_discarded"][0]["event_id"], json!(other));
    Ok(())
}

fn message_id(message: &BasicGetMessage) -> Option<String> {
    message.delivery.properties.message_id().as_ref().map(ToString::to_string)
}

#[tokio::test]
async fn an_event_that_was_published_in_the_moment_of_its_discard_is_told() -> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    broker.to_client(Faults::HELD);
    let sent: Uuid = add(&outbox, "1", None).await?.parse()?;
    relay
        .work_until(eventually("it is sent", async || Ok(outbox.depth("all").await? == 1)))
        .await?;
    // Usually confirmed, and settled as missing, before the relay reads the audit table again,
    // which it does ten times a second.
    let discard = "WITH gone AS (DELETE FROM outbox WHERE event_id = $1 RETURNING *)
                   INSERT INTO outbox_audit (actor, action, event_id, event)
                   SELECT 'alice', 'discard', event_id, to_jsonb(gone) FROM gone RETURNING id";
    let discarded = outbox.sql.query_one(discard, &[&sent]).await?;
    broker.to_client(Faults::default());
    relay.until_idle().await?;
    let audit_id: i64 = discarded.get("id");
    let confirms = eventually("the relay confirms", async || {
        is_reported(&outbox, AuditLock::Seen, audit_id).await
    });
    relay.work_until(confirms).await?;
    assert!(is_reported(&outbox, AuditLock::InFlight, audit_id).await?);
    Ok(())
}

/// A session that looks like a working relay's, and its pid.
async fn at_work(outbox: &Outbox) -> anyhow::Result<(Client, i32)> {
    let relay = connect(&outbox.relay_url).await?;
    relay
        .batch_execute(
            "SET application_name = 'outbox-relay';
             SELECT pg_advisory_lock_shared(1869968384 + 64, 'outbox'::regclass::oid::integer)",
        )
        .await?;
    let pid = relay.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    Ok((relay, pid))
}

/// A session that has acknowledged no audit row and is idle, like that of a suspended relay.
async fn hanging(outbox: &Outbox) -> anyhow::Result<(Client, i32)> {
    let (relay, pid) = at_work(outbox).await?;
    relay.batch_execute("SELECT pg_advisory_lock_shared(1869968384 + 67, 0)").await?;
    Ok((relay, pid))
}

#[tokio::test]
async fn each_relay_at_work_confirms_and_one_that_does_not_is_named() -> anyhow::Result<()> {
    for (arguments, done) in
        [(&["discard", "--reason", "x"][..], "discarded"), (&["retry"], "retried")]
    {
        let outbox = Outbox::new().await?;
        outbox.queue("all", "#").await?;
        let (_first, _) = outbox.joined_by(&[]).await?;
        let (_second, _) = outbox.joined_by(&[]).await?;
        let stuck = add(&outbox, "1", Some("infinity")).await?;
        let begun = Instant::now();
        let ended = outbox.command(&[arguments, &[&stuck]].concat()).await?;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
        ensure!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());

        let (_third, pid) = hanging(&outbox).await?;
        let stuck = add(&outbox, "2", Some("infinity")).await?;
        let begun = Instant::now();
        let ended = outbox.command(&[arguments, &["--json", &stuck]].concat()).await?;
        let took = begun.elapsed();
        let document = ended.json()?;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let silent = json!([{ "pid": pid, "name": "outbox-relay", "why": "late" }]);
        assert_eq!(document["not_confirmed_by"], silent, "{document}");
        let is_done = document[done] == json!([stuck]) || document[done] == 1;
        assert!(is_done, "it is done nevertheless: {document}");
        ensure!(took < Duration::from_secs(14), "it took {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_it_is_told_whom_a_command_waits_for() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (_relay, pid) = hanging(&outbox).await?;
    let stuck = add(&outbox, "1", Some("infinity")).await?;
    let ended = on_a_terminal(&outbox, &["discard", "--reason", "x", &stuck], "").await?;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let waits = format!("waiting for outbox-relay (pid {pid}) to confirm");
    assert!(ended.out.contains(&waits), "{ended:?}");
    assert!(ended.out.contains("did not confirm within 10 s"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_relay_of_an_older_release_is_named() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    // It does not acknowledge audit rows.
    let (_old, _) = at_work(&outbox).await?;
    let stuck = add(&outbox, "1", Some("infinity")).await?;
    let ended = outbox.command(&["discard", "--reason", "x", &stuck]).await?;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("(an older release?)"), "{ended:?}");
    assert!(ended.out.starts_with("1 event is discarded"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_relay_that_ends_before_it_confirms_is_named() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (relay, pid) = outbox.joined_by(&[]).await?;
    let stuck = add(&outbox, "1", Some("infinity")).await?;
    let _frozen = PausedProcess::new(ProcessId::of(relay.pid()).context("it runs")?)?;
    let arguments = ["discard", "--json", "--reason", "x", &stuck];
    let discards = outbox.command(&arguments);
    let kills = async {
        eventually("it is discarded", async || Ok(outbox.pending().await? == 0)).await?;
        relay.sigkill()
    };
    let (ended, killed) = tokio::join!(discards, kills);
    killed?;
    let document = ended?.json()?;
    let silent = json!([{ "pid": pid, "name": "outbox-relay", "why": "gone" }]);
    assert_eq!(document["not_confirmed_by"], silent, "{document}");
    Ok(())
}

#[tokio::test]
async fn a_relay_that_may_not_read_what_people_did_is_named_and_goes_on() -> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    broker.to_client(Faults::HELD);
    let sent = add(&outbox, "1", None).await?;
    eventually("it is in the queue", async || Ok(outbox.depth("all").await? == 1)).await?;
    outbox
        .sql
        .batch_execute(
            "REVOKE SELECT ON outbox_audit FROM outbox_relay;
             GRANT SELECT (id) ON outbox_audit TO outbox_relay",
        )
        .await?;
    let settings = [("DATABASE_URL", outbox.database.url.as_str())];
    let discard = ["discard", "--reason", "x", "--json", sent.as_str()];
    let ended = outbox_relay(&discard, &settings).await?;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.json()?["not_confirmed_by"][0]["why"], "late", "{ended:?}");
    relay.wait_for_line("could not be confirmed to the command", PATIENCE).await?;
    broker.to_client(Faults::default());
    add(&outbox, "2", None).await?;
    outbox.all_published().await?;
    assert!(!relay.log().contains("postgresql is not reachable"), "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn a_command_waits_for_the_turn_of_others_and_not_for_long() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    // Built before the time is measured.
    stack::binary("outbox-relay").await?;
    let turn = connect(&outbox.relay_url).await?;
    turn.batch_execute(
        "SET application_name = 'another command'; BEGIN;
         SELECT pg_advisory_xact_lock(1869968384 + 66, 'outbox'::regclass::oid::integer)",
    )
    .await?;
    let stuck = add(&outbox, "1", Some("infinity")).await?;
    for arguments in [&["discard", "--reason", "x"][..], &["retry"]] {
        let begun = Instant::now();
        let ended = outbox.command(&[arguments, &[&stuck]].concat()).await?;
        let took = begun.elapsed();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("another command (pid "), "{ended:?}");
        assert!(ended.err.contains("is changing events"), "{ended:?}");
        ensure!(took < Duration::from_secs(10), "it took {took:?}");
    }
    let waits = async {
        let waits = "SELECT count(*) FROM pg_locks
                     WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
                       AND locktype = 'advisory' AND NOT granted";
        eventually("it waits", async || Ok(outbox.count(waits, &[]).await? == 1)).await?;
        assert!(outbox.audit().await?.is_empty(), "it has drawn no id yet");
        turn.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    };
    let arguments = ["discard", "--reason", "x", &stuck];
    let (ended, waited) = tokio::join!(outbox.command(&arguments), waits);
    waited?;
    assert_eq!(ended?.code, Some(0));
    Ok(())
}
