//! `outbox_unsettled`: across restarts and lane handovers, on older schemas, for people, and its
//! limit.

use std::time::{Duration, Instant};

use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::unsettled_event::{
    ADD_OTHERS, FIRST, GUARD, NOTED, open_transaction, outbox_with_one_event, sent,
    step_until_others_published, until_noted, until_others_published,
};
use serde_json::{Value, json};

#[tokio::test]
async fn neither_a_restart_nor_another_relay_publishes_a_noted_event_again() -> anyhow::Result<()> {
    let outbox = outbox_with_one_event().await?;
    let other =
        open_transaction(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR UPDATE")).await?;
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
        until_others_published(&outbox).await?;
    }
    // To a relay that joins, and back when the first one leaves.
    let (second, _) = outbox.joined_by(&[]).await?;
    until_others_published(&outbox).await?;
    relay.sigkill()?;
    relay.wait_exit(PATIENCE).await?;
    outbox.shared_among(1).await?;
    until_others_published(&outbox).await?;
    assert_eq!(sent(&outbox).await?.0.len(), 1, "{}", second.log());
    other.batch_execute("ROLLBACK").await?;
    outbox.all_published().await?;
    assert_eq!(sent(&outbox).await?.0.len(), 1, "the one behind it");
    eventually("the note is gone", async || Ok(outbox.count(NOTED, &[]).await? == 0)).await
}

#[tokio::test]
async fn on_an_older_schema_what_can_not_be_settled_is_remembered_by_the_relay()
-> anyhow::Result<()> {
    let outbox = outbox_with_one_event().await?;
    outbox.sql.batch_execute("DROP TABLE outbox_unsettled CASCADE").await?;
    let other =
        open_transaction(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR UPDATE")).await?;
    let mut relay = outbox.relay(&[])?;
    let health = relay.health.clone();
    relay
        .work_until(eventually("it is set aside", async || {
            Ok(health.notes().contains_key("unsettled"))
        }))
        .await?;
    outbox.add("hindered", "order.created").await?;
    step_until_others_published(&outbox, &mut relay).await?;
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
        let outbox = outbox_with_one_event().await?;
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
        // What was in flight is delivered, and then nothing more.
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
        // It continues while it waits for a lock, which may be released in a moment.
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
        // The session of the sweep as well.
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
    sql.batch_execute(include_str!("../../../sql/outbox/schema.sql")).await?;
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
    let outbox = outbox_with_one_event().await?;
    outbox.sql.batch_execute(&GUARD.replace("{}", "RAISE EXCEPTION 'under audit';")).await?;
    let mut relay = outbox.relay(&[])?;
    until_noted(&outbox, &mut relay).await?;
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
    // First the table, then the role's privileges on it.
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
    let outbox = outbox_with_one_event().await?;
    // A note about a deleted event: a relay removes such notes when it takes lanes.
    let note = "INSERT INTO outbox_unsettled (event_id, id, outcome, kind)
                VALUES ('00000000-0000-0000-0000-000000000001', 1000000, 'published', 'locked')";
    outbox.sql.batch_execute(note).await?;
    let other = open_transaction(&outbox, "DELETE FROM outbox_unsettled").await?;
    let mut relay = outbox.relay(&[])?;
    step_until_others_published(&outbox, &mut relay).await?;
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
    let other = open_transaction(&outbox, "SELECT FROM outbox FOR UPDATE").await?;
    let mut relay = outbox.relay(&[])?;
    let health = relay.health.clone();
    let told = eventually("it says why it stops", async || {
        let reason = health.statuses()["postgresql"].reason.clone().unwrap_or_default();
        Ok(reason.contains(" events can't be settled, and their aggregates wait"))
    });
    relay.work_until(told).await?;
    // There is nothing beyond what was in flight or unsettled by then.
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
