//! Rows that can't be changed when their outcome is known: locked by somebody, or refused by the database. All others go on.

use std::time::{Duration, Instant};

use pipeline_tests::outbox::{Outbox, PATIENCE, Stepped, connect, event_id, eventually};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

const NOTED: &str = "SELECT count(*) FROM outbox_unsettled";

/// Events of other aggregates.
const ADD_OTHERS: &str = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
     SELECT 'order', 'other ' || n, 'order.created', '{}' FROM generate_series(1, 200) AS n";

const OTHERS_PENDING: &str =
    "SELECT count(*) FROM outbox WHERE aggregate_id LIKE 'other %' AND published_at IS NULL";

/// Adds events of other aggregates, and waits until they are published and marked.
async fn others_are_served(outbox: &Outbox) -> anyhow::Result<()> {
    outbox.sql.batch_execute(ADD_OTHERS).await?;
    let served = async || Ok(outbox.count(OTHERS_PENDING, &[]).await? == 0);
    eventually("the others are published and marked", served).await
}

/// An outbox with one event, of the aggregate `hindered`.
async fn hindered() -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.add("hindered", "order.created").await?;
    Ok(outbox)
}

/// A transaction of somebody else's that has done `sql`.
async fn somebody(outbox: &Outbox, sql: &str) -> anyhow::Result<Client> {
    let other = connect(&outbox.database.url).await?;
    other.batch_execute(&format!("BEGIN; {sql}")).await?;
    Ok(other)
}

const FIRST: &str = "id = (SELECT min(id) FROM outbox)";

/// The ids of the messages, of the aggregate `hindered` and of all others.
async fn sent(outbox: &Outbox) -> anyhow::Result<(Vec<Uuid>, usize)> {
    let row = "SELECT event_id FROM outbox WHERE aggregate_id = 'hindered' ORDER BY id";
    let ids: Vec<Uuid> = outbox.sql.query(row, &[]).await?.iter().map(|row| row.get(0)).collect();
    let messages = outbox.take_all("all").await?;
    let messages = messages.iter().map(event_id).collect::<anyhow::Result<Vec<Uuid>>>()?;
    let (hindered, others): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|id| ids.contains(id));
    Ok((hindered, others.len()))
}

/// Steps until the events of other aggregates are published and marked, while the database counts as up.
async fn others_are_published(outbox: &Outbox, relay: &mut Stepped) -> anyhow::Result<()> {
    let health = relay.health.clone();
    relay.work_until(others_are_served(outbox)).await?;
    assert!(health.is_ready(), "{:?}", health.statuses());
    Ok(())
}

async fn noted(outbox: &Outbox, relay: &mut Stepped) -> anyhow::Result<(String, Option<String>)> {
    relay
        .work_until(eventually("it is noted", async || Ok(outbox.count(NOTED, &[]).await? == 1)))
        .await?;
    let row = outbox.sql.query_one("SELECT kind, reason FROM outbox_unsettled", &[]).await?;
    let state = "SELECT state FROM outbox_pending ORDER BY id LIMIT 1";
    assert_eq!(outbox.sql.query_one(state, &[]).await?.get::<_, &str>(0), "unsettled");
    // Behind it, from now on.
    outbox.add("hindered", "order.created").await?;
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_holds_up_its_own_aggregate_only() -> anyhow::Result<()> {
    for lock in ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE"] {
        let outbox = hindered().await?;
        let other = somebody(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} {lock}")).await?;
        let mut relay = outbox.relay(&[])?;
        assert_eq!(noted(&outbox, &mut relay).await?, ("locked".to_owned(), None), "{lock}");
        others_are_published(&outbox, &mut relay).await?;
        let note = relay.health.notes().remove("unsettled");
        assert!(note.is_some_and(|note| note.contains("another session holds the row's lock")));
        let (hindered, others) = sent(&outbox).await?;
        assert_eq!((hindered.len(), others), (1, 200), "{lock}: the aggregate waits, sent once");

        other.batch_execute("ROLLBACK").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{lock}");
        assert_eq!(relay.health.notes().get("unsettled"), None);
        let (hindered, others) = sent(&outbox).await?;
        assert_eq!((hindered.len(), others), (1, 0), "{lock}: only the one behind it");
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_check_hinders_nothing() -> anyhow::Result<()> {
    let outbox = hindered().await?;
    let _other =
        somebody(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR KEY SHARE")).await?;
    outbox.relay(&[])?.until_idle().await?;
    assert_eq!((outbox.pending().await?, outbox.count(NOTED, &[]).await?), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_row_that_somebody_has_deleted_without_a_commit_is_settled_or_forgotten_with_it()
-> anyhow::Result<()> {
    for (end, left) in [("ROLLBACK", 2), ("COMMIT", 1)] {
        let outbox = hindered().await?;
        let other = somebody(&outbox, &format!("DELETE FROM outbox WHERE {FIRST}")).await?;
        let mut relay = outbox.relay(&[])?;
        noted(&outbox, &mut relay).await?;
        others_are_published(&outbox, &mut relay).await?;
        other.batch_execute(end).await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{end}");
        let rows = "SELECT count(*) FROM outbox WHERE aggregate_id = 'hindered'";
        assert_eq!(outbox.count(rows, &[]).await?, left, "{end}");
        assert_eq!(outbox.take_all("all").await?.len(), 202, "{end}: each once");
    }
    Ok(())
}

const GUARD: &str = "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN IF new.aggregate_id = 'hindered' AND new.id = (SELECT min(id) FROM outbox) THEN {} END IF; RETURN new; END $$;
     CREATE TRIGGER guard BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION guard()";

#[tokio::test]
async fn a_row_that_a_trigger_guards_holds_up_its_own_aggregate_only() -> anyhow::Result<()> {
    for (does, reason) in [
        ("RAISE EXCEPTION 'this event is under audit';", "this event is under audit"),
        ("RETURN NULL;", "keeps the row from being changed"),
        // Longer than a statement may take.
        ("PERFORM pg_sleep(60);", "statement timeout"),
        ("PERFORM 1 / 0;", "division by zero"),
    ] {
        let outbox = hindered().await?;
        outbox.sql.batch_execute(&GUARD.replace("{}", does)).await?;
        let mut relay = outbox.relay(&[])?;
        let (kind, said) = noted(&outbox, &mut relay).await?;
        assert_eq!(kind, "refused", "{does}");
        assert!(said.as_ref().is_some_and(|said| said.contains(reason)), "{does}: {said:?}");
        others_are_published(&outbox, &mut relay).await?;
        assert_eq!(sent(&outbox).await?.0.len(), 1, "{does}: sent once, and the next one waits");

        outbox.sql.batch_execute("DROP TRIGGER guard ON outbox").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{does}");
    }
    Ok(())
}

#[tokio::test]
async fn a_published_row_that_can_not_be_deleted_is_marked() -> anyhow::Result<()> {
    let outbox = hindered().await?;
    outbox
        .sql
        .batch_execute(
            "CREATE TABLE shipment (event_id uuid NOT NULL REFERENCES outbox (event_id));
             INSERT INTO shipment SELECT event_id FROM outbox ORDER BY id LIMIT 1",
        )
        .await?;
    outbox.sql.batch_execute(ADD_OTHERS).await?;
    outbox.relay(&["--outbox-retention", "0"])?.until_idle().await?;
    let marked = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
    assert_eq!((outbox.count(marked, &[]).await?, outbox.pending().await?), (1, 0));
    assert_eq!(outbox.count(NOTED, &[]).await?, 0);
    assert_eq!(outbox.take_all("all").await?.len(), 201, "each once");
    Ok(())
}

#[tokio::test]
async fn a_locked_row_holds_up_no_deleting_of_others() -> anyhow::Result<()> {
    for lock in ["FOR UPDATE", "FOR SHARE", "FOR KEY SHARE"] {
        let outbox = hindered().await?;
        outbox.sql.batch_execute(ADD_OTHERS).await?;
        let other = somebody(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} {lock}")).await?;
        let mut relay = outbox.relay(&["--outbox-retention", "0"])?;
        relay
            .work_until(eventually("all others are deleted", async || {
                Ok(outbox.count("SELECT count(*) FROM outbox", &[]).await? == 1)
            }))
            .await?;
        assert!(relay.health.is_ready(), "{lock}: {:?}", relay.health.statuses());
        other.batch_execute("ROLLBACK").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 0, "{lock}");
        assert_eq!(outbox.take_all("all").await?.len(), 201, "{lock}: each once");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_attempt_that_can_not_be_noted_holds_up_its_own_aggregate_only()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.add("hindered", "order.unheard").await?;
    outbox.add("hindered", "order.created").await?;
    let other = somebody(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR UPDATE")).await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    others_are_published(&outbox, &mut relay).await?;
    assert_eq!(sent(&outbox).await?, (vec![], 200));
    assert_eq!(outbox.count(NOTED, &[]).await?, 0, "whoever takes over tries it again");
    let note = relay.health.notes().remove("unsettled");
    assert!(note.is_some_and(|note| note.starts_with("1 event")));
    other.batch_execute("ROLLBACK").await?;
    let waits =
        "SELECT count(*) FROM outbox WHERE attempts = 1 AND last_error LIKE 'no queue is bound%'";
    relay
        .work_until(eventually("the failure is noted", async || {
            Ok(outbox.count(waits, &[]).await? == 1)
        }))
        .await
}

#[tokio::test]
async fn neither_a_restart_nor_another_relay_publishes_a_noted_event_again() -> anyhow::Result<()> {
    let outbox = hindered().await?;
    let other = somebody(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR UPDATE")).await?;
    let mut relay = outbox.relay_process(&[]).await?;
    let is_noted = async || Ok(outbox.count(NOTED, &[]).await? == 1);
    eventually("it is noted", is_noted).await?;
    outbox.add("hindered", "order.created").await?;
    for kill in [true, false] {
        if kill {
            relay.sigkill()?;
        } else {
            relay.sigterm()?;
        }
        relay.wait_exit(PATIENCE).await?;
        relay = outbox.relay_process(&[]).await?;
        others_are_served(&outbox).await?;
    }
    // To one that joins, and back when the first one leaves.
    let (second, _) = outbox.joined_by(&[]).await?;
    others_are_served(&outbox).await?;
    relay.sigkill()?;
    relay.wait_exit(PATIENCE).await?;
    outbox.shared_among(1).await?;
    others_are_served(&outbox).await?;
    assert_eq!(sent(&outbox).await?.0.len(), 1, "{}", second.log());
    other.batch_execute("ROLLBACK").await?;
    outbox.all_published().await?;
    assert_eq!(sent(&outbox).await?.0.len(), 1, "the one behind it");
    eventually("the note is gone", async || Ok(outbox.count(NOTED, &[]).await? == 0)).await
}

#[tokio::test]
async fn on_an_older_schema_what_can_not_be_settled_is_remembered_by_the_relay()
-> anyhow::Result<()> {
    let outbox = hindered().await?;
    outbox.sql.batch_execute("DROP TABLE outbox_unsettled CASCADE").await?;
    let other = somebody(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR UPDATE")).await?;
    let mut relay = outbox.relay(&[])?;
    let health = relay.health.clone();
    relay
        .work_until(eventually("it is set aside", async || {
            Ok(health.notes().contains_key("unsettled"))
        }))
        .await?;
    outbox.add("hindered", "order.created").await?;
    others_are_published(&outbox, &mut relay).await?;
    assert_eq!(sent(&outbox).await?.0.len(), 1, "sent once, and the next one waits");
    other.batch_execute("ROLLBACK").await?;
    relay.work_until(outbox.all_published()).await
}

#[tokio::test]
async fn nothing_is_published_while_nothing_can_be_noted() -> anyhow::Result<()> {
    for (hinder, mend, said) in [
        (
            Some(
                "REVOKE UPDATE (published_at, attempts, next_attempt_at, last_error) ON outbox FROM outbox_relay",
            ),
            "GRANT UPDATE (published_at, attempts, next_attempt_at, last_error) ON outbox TO outbox_relay",
            "permission denied",
        ),
        (None, "ROLLBACK", "lock timeout"),
    ] {
        let outbox = hindered().await?;
        outbox.sql.batch_execute(ADD_OTHERS).await?;
        outbox.put_off().await?;
        let mut relay = outbox.relay(&["--relay-window", "5", "--relay-channels", "1"])?;
        relay.until_idle().await?;
        let other = outbox.lock_table().await?;
        if let Some(hinder) = hinder {
            other.batch_execute(&format!("COMMIT; {hinder}")).await?;
        }
        let health = relay.health.clone();
        let told = eventually("it says why", async || {
            let database = health.statuses().remove("postgresql");
            let reason = database.and_then(|database| database.reason).unwrap_or_default();
            Ok(reason.contains("can't be noted in the outbox") && reason.contains(said))
        });
        relay.work_until(told).await?;
        assert!(!health.is_ready());
        // What was in flight arrives, and then nothing more.
        let (mut sent, mut since) = (0, Instant::now());
        relay
            .work_until(eventually("nothing more is sent for a second", async || {
                assert!(!health.is_ready());
                let now = outbox.depth("all").await?;
                if now != sent {
                    (sent, since) = (now, Instant::now());
                }
                Ok(since.elapsed() > Duration::from_secs(1))
            }))
            .await?;
        // While it waits for a lock it goes on: it may be gone in a moment.
        assert!(hinder.is_none() || (1..201).contains(&sent), "it stopped before the end: {sent}");
        other.batch_execute(mend).await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert!(health.is_ready());
        assert_eq!(outbox.depth("all").await?, 201, "{said}: each once");
    }
    Ok(())
}

#[tokio::test]
async fn the_loss_of_the_session_that_notes_outcomes_gives_up_no_lanes() -> anyhow::Result<()> {
    let (outbox, _deliveries) = Outbox::listened_to().await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.every_lane_is_served().await?;
    let owner = *outbox.shares().await?.keys().next().expect("one relay");
    for _ in 0..3 {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = 'outbox-relay' AND datname = current_database() AND pid <> $1";
        // The one that looks for what was overlooked as well.
        assert!(outbox.count(end, &[&owner]).await? >= 1);
        outbox.every_lane_is_served().await?;
    }
    assert_eq!(outbox.shares().await?.into_keys().collect::<Vec<_>>(), [owner]);
    assert_eq!(relay.log().matches("took lanes").count(), 1, "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn a_reason_is_stored_whatever_the_databases_encoding() -> anyhow::Result<()> {
    let server = stack::shared().await?.database("latin1").await?;
    let admin = connect(&server.url).await?;
    let name = format!("{}_latin1", server.url.rsplit('/').next().unwrap_or_default());
    admin
        .batch_execute(&format!(
            "CREATE DATABASE {name} ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        ))
        .await?;
    let url = server.url.rsplit_once('/').map(|(before, _)| format!("{before}/{name}"));
    let sql = connect(&url.expect("a URL")).await?;
    sql.batch_execute(include_str!("../../sql/outbox/schema.sql")).await?;
    sql.batch_execute(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('order', '1', 'order.caf\u{e9}', '{}')",
    )
    .await?;
    let vhost = stack::shared().await?.vhost("latin1").await?;
    let own = [
        ("DATABASE_URL", format!("{}/{name}", server.url.rsplit_once('/').expect("a URL").0)),
        ("RABBITMQ_URL", vhost.amqp_url.clone()),
        ("OPS_ADDR", "127.0.0.1:0".to_owned()),
        ("RELAY_MAX_ATTEMPTS", "1".to_owned()),
    ];
    let settings = own.iter().map(|(name, value)| (*name, value.as_str()));
    let relay =
        stack::Service::spawn(stack::binary("outbox-relay").await?, ["run"], settings).await?;
    eventually("the event is stuck, with its reason", async || {
        let reason = "SELECT last_error FROM outbox WHERE next_attempt_at = 'infinity'";
        let reason = sql.query_opt(reason, &[]).await?;
        let Some(reason) = reason else { return Ok(false) };
        let reason: &str = reason.get(0);
        anyhow::ensure!(reason.contains("caf\\u{e9}"), "{reason}");
        Ok(true)
    })
    .await?;
    assert!(relay.is_running());
    relay.sigkill()?;
    relay.wait_exit(PATIENCE).await?;
    drop(sql);
    eventually("nobody uses it", async || {
        admin.batch_execute(&format!("DROP DATABASE {name}")).await?;
        Ok(true)
    })
    .await
}

#[tokio::test]
async fn a_person_sees_what_can_not_be_settled() -> anyhow::Result<()> {
    let outbox = hindered().await?;
    outbox.sql.batch_execute(&GUARD.replace("{}", "RAISE EXCEPTION 'under audit';")).await?;
    let mut relay = outbox.relay(&[])?;
    noted(&outbox, &mut relay).await?;
    let status = outbox.command(&["status", "--json"]).await?;
    let status: Value = serde_json::from_str(&status.out)?;
    let unsettled = &status["unsettled"][0];
    assert_eq!(unsettled["outcome"], "published");
    assert_eq!((&unsettled["kind"], &unsettled["events"]), (&json!("refused"), &json!(1)));
    assert!(unsettled["reason"].as_str().is_some_and(|reason| reason.contains("under audit")));
    let page = outbox.command(&["status"]).await?.out;
    assert!(page.contains("settling 1 are published and can't be marked"), "{page}");
    Ok(())
}

#[tokio::test]
async fn check_finds_a_schema_without_a_place_for_what_can_not_be_settled() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute("DROP TABLE outbox_unsettled CASCADE").await?;
    let findings = async || -> anyhow::Result<Vec<(String, String)>> {
        let checked: Value =
            serde_json::from_str(&outbox.command(&["check", "--json"]).await?.out)?;
        let checks = checked["checks"].as_array().into_iter().flatten();
        let findings = checks.filter(|check| check["check"] == "unsettled table");
        let findings =
            findings.flat_map(|check| check["findings"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(findings.map(|one| (text(&one["finding"]), text(&one["mend"]))).collect())
    };
    // The table, and then what the role lacks on it.
    for finding in ["does not exist", "lacks SELECT, INSERT, UPDATE"] {
        let found = findings().await?;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.contains(finding), "{found:?}");
        outbox.sql.batch_execute(&found[0].1).await?;
    }
    assert_eq!(findings().await?, []);
    Ok(())
}

#[tokio::test]
async fn a_note_that_somebody_has_locked_holds_up_no_relay_that_takes_over() -> anyhow::Result<()> {
    let outbox = hindered().await?;
    // Of an event that is gone: a relay removes such notes when it takes lanes.
    let note = "INSERT INTO outbox_unsettled (event_id, id, outcome, kind)
                VALUES ('00000000-0000-0000-0000-000000000001', 1000000, 'published', 'locked')";
    outbox.sql.batch_execute(note).await?;
    let other = somebody(&outbox, "DELETE FROM outbox_unsettled").await?;
    let mut relay = outbox.relay(&[])?;
    others_are_published(&outbox, &mut relay).await?;
    other.batch_execute("ROLLBACK").await?;
    drop(relay);
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    assert_eq!(outbox.count(NOTED, &[]).await?, 0, "the next relay removes it");
    Ok(())
}

#[tokio::test]
async fn while_ten_thousand_events_can_not_be_settled_no_further_one_is_published()
-> anyhow::Result<()> {
    const ALL: i32 = 16_000;
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, $1) AS n";
    outbox.sql.execute(insert, &[&ALL]).await?;
    let other = somebody(&outbox, "SELECT FROM outbox FOR UPDATE").await?;
    let mut relay = outbox.relay(&[])?;
    let health = relay.health.clone();
    let told = eventually("it says why it stops", async || {
        let reason = health.statuses()["postgresql"].reason.clone().unwrap_or_default();
        Ok(reason.contains(" events can't be settled, and their aggregates wait"))
    });
    relay.work_until(told).await?;
    // What was in flight or unsettled by then is all there is.
    let (mut sent, mut since) = (0, Instant::now());
    relay
        .work_until(eventually("nothing more is sent for a second", async || {
            let now = outbox.depth("all").await?;
            if now != sent {
                (sent, since) = (now, Instant::now());
            }
            Ok(since.elapsed() > Duration::from_secs(1))
        }))
        .await?;
    let bounds = 10_000..u32::try_from(ALL)?;
    assert!(bounds.contains(&sent), "{sent} were sent");
    assert!(!health.is_ready());
    assert!(outbox.count(NOTED, &[]).await? >= 10_000);

    other.batch_execute("ROLLBACK").await?;
    relay.work_until(outbox.all_published()).await?;
    relay.until_idle().await?;
    assert!(health.is_ready(), "{:?}", health.statuses());
    assert_eq!(outbox.depth("all").await?, u32::try_from(ALL)?, "each once");
    Ok(())
}
