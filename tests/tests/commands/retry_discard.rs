//! `outbox-relay retry` and `discard`, and their audit rows.

use pipeline_tests::outbox::{Outbox, PATIENCE};
use pipeline_tests::relay_command::outbox_relay;
use serde_json::{Value, json};
use uuid::Uuid;

/// Adds an event that failed three times and is retried at `next`.
async fn held_back(outbox: &Outbox, aggregate: &str, next: &str) -> anyhow::Result<Uuid> {
    let row = outbox
        .sql
        .query_one(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, last_error)
             VALUES ('order', $1, 'order.created', '{\"price\": 1.10}', 3, $2::text::timestamptz, 'no queue')
             RETURNING event_id",
            &[&aggregate, &next],
        )
        .await?;
    Ok(row.get(0))
}

const LATER: &str = "2100-01-01";

async fn due(outbox: &Outbox) -> anyhow::Result<i64> {
    let due = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND next_attempt_at <= now()";
    outbox.count(due, &[]).await
}

#[tokio::test]
async fn a_stuck_event_is_published_at_once_when_a_person_retries_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let stuck = held_back(&outbox, "7", "infinity").await?;
    outbox.add("7", "order.shipped").await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    assert_eq!(outbox.pending().await?, 2);

    let retried =
        outbox.command(&["retry", &stuck.to_string(), "--reason", "the queue is there"]).await?;
    assert_eq!((retried.code, retried.out.as_str()), (Some(0), "1 event is due again.\n"));
    outbox.all_published().await?;
    let attempts = "SELECT attempts::bigint FROM outbox WHERE event_id = $1";
    assert_eq!(outbox.count(attempts, &[&stuck]).await?, 3, "history is kept");

    let audit = outbox.audit().await?;
    assert_eq!(audit.len(), 1);
    let row = &audit[0];
    assert_eq!((&row["actor"], &row["action"]), (&json!("alice"), &json!("retry")));
    assert_eq!(
        (&row["db_user"], &row["reason"]),
        (&json!("outbox_relay"), &json!("the queue is there"))
    );
    assert_eq!(row["event_id"], stuck.to_string());
    assert_eq!(
        row["detail"],
        json!({ "attempts": 3, "next_attempt_at": "infinity", "last_error": "no queue" })
    );
    let shown = outbox.command(&["show", &stuck.to_string()]).await?;
    assert!(
        shown.out.contains("retry by alice (database role outbox_relay): the queue is there"),
        "{}",
        shown.out
    );
    Ok(())
}

#[tokio::test]
async fn events_are_retried_by_state_aggregate_and_type() -> anyhow::Result<()> {
    for (arguments, expected) in [
        (&["--stuck"][..], &["a", "c"][..]),
        (&["--aggregate", "b"], &["b"]),
        (&["--type", "order.created"], &["a", "b", "c"]),
        (&["--stuck", "--aggregate", "c"], &["c"]),
        (&["--stuck", "--aggregate", "b"], &[]),
        (&["--type", "order.shipped"], &[]),
    ] {
        let outbox = Outbox::new().await?;
        for (aggregate, next) in [("a", "infinity"), ("b", LATER), ("c", "infinity")] {
            held_back(&outbox, aggregate, next).await?;
        }
        outbox.add("b", "order.created").await?;
        outbox
            .sql
            .batch_execute("UPDATE outbox SET published_at = now() WHERE next_attempt_at IS NULL")
            .await?;
        let ended = outbox.command(&[&["retry", "--json", "--yes"], arguments].concat()).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let document = ended.json()?;
        let counts = [&document["matched"], &document["retried"]];
        assert_eq!(counts, [&json!(expected.len()); 2], "{document}");
        let others = [&document["not_confirmed_by"], &document["not_retried"]];
        assert_eq!(others, [&json!([]); 2], "{document}");
        let rows = outbox
            .sql
            .query(
                "SELECT aggregate_id FROM outbox WHERE next_attempt_at <= now() ORDER BY id",
                &[],
            )
            .await?;
        let retried: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(retried, expected, "{arguments:?}");
        assert_eq!(outbox.audit().await?.len(), expected.len(), "{arguments:?}");
    }
    Ok(())
}

#[tokio::test]
async fn thousands_are_retried_a_batch_at_a_time() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
             SELECT 'order', i, 'order.created', '{}', 1, 'infinity' FROM generate_series(1, 2500) AS i",
        )
        .await?;
    let ended = outbox.command(&["retry", "--stuck", "--yes"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "2500 events are due again.\n"));
    assert_eq!(due(&outbox).await?, 2500);
    let audited = "SELECT count(DISTINCT event_id) FROM outbox_audit";
    assert_eq!(outbox.count(audited, &[]).await?, 2500);
    let statements = "SELECT count(DISTINCT happened_at) FROM outbox_audit";
    assert_eq!(outbox.count(statements, &[]).await?, 3, "no statement locks more than 1,000 rows");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_retried_is_told_event_by_event() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let stuck = held_back(&outbox, "1", "infinity").await?.to_string();
    outbox.add("2", "order.created").await?;
    outbox.add("3", "order.created").await?;
    outbox
        .sql
        .batch_execute("UPDATE outbox SET published_at = now() WHERE aggregate_id = '3'")
        .await?;
    let rows = outbox.sql.query("SELECT event_id::text FROM outbox ORDER BY id", &[]).await?;
    let [ready, published] = [1, 2].map(|row: usize| rows[row].get::<_, String>(0));
    let unknown = Uuid::nil().to_string();

    let ended =
        outbox.command(&["retry", "--json", &stuck, &ready, &published, &unknown, &stuck]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let document = ended.json()?;
    assert_eq!(document["retried"], 1);
    let whys: Vec<&Value> = (0..3).map(|i| &document["not_retried"][i]["why"]).collect();
    assert_eq!(whys, ["pending", "published", "not_found"]);
    assert_eq!(outbox.audit().await?.len(), 1);

    let again = outbox.command(&["retry", &ready]).await?;
    assert_eq!(again.code, Some(0), "it is due, as was asked for");
    assert!(again.err.contains("it is due already"), "{again:?}");
    let told = outbox.command(&["retry", &published]).await?;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("see outbox-relay replay"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_discarded_event_is_never_published_and_lives_on_in_the_audit_table() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let stuck = held_back(&outbox, "7", "infinity").await?.to_string();
    outbox.add("7", "order.shipped").await?;
    let relay = outbox.relay_process(&[]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;

    let ended = outbox.command(&["discard", &stuck, "--reason", "a test order", "--json"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let document = ended.json()?;
    let members = ["matched", "discarded", "in_flight", "not_confirmed_by", "not_discarded"];
    let told = members.map(|member| &document[member]);
    assert_eq!(json!(told), json!([1, [stuck], [], [], []]), "{document}");
    // Those behind it continue by themselves.
    outbox.all_published().await?;
    let messages = outbox.take_all("all").await?;
    assert_eq!(messages.len(), 1, "only the one behind it");

    let audit = outbox.audit().await?;
    assert_eq!(audit.len(), 1);
    let row = &audit[0];
    assert_eq!((&row["action"], &row["reason"]), (&json!("discard"), &json!("a test order")));
    assert_eq!((&row["actor"], &row["event_id"]), (&json!("alice"), &json!(stuck)));
    assert_eq!(row["event"]["event_id"], stuck);
    assert_eq!(
        (&row["event"]["attempts"], &row["event"]["last_error"]),
        (&json!(3), &json!("no queue"))
    );

    let shown = outbox.command(&["show", &stuck, "--json"]).await?;
    assert!(shown.out.contains(r#""price": 1.10"#), "{}", shown.out);
    assert_eq!(shown.json()?["event"]["state"], "discarded");
    assert_eq!(shown.json()?["audit"][0]["reason"], "a test order");

    let again = outbox.command(&["discard", &stuck, "--reason", "again"]).await?;
    assert_eq!((again.code, again.out.as_str()), (Some(1), "0 events are discarded.\n"));
    assert!(again.err.contains("there is no such event"), "{again:?}");
    assert_eq!(outbox.audit().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_published_event_is_not_discarded() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let [first, second] =
        [held_back(&outbox, "1", LATER).await?, held_back(&outbox, "2", LATER).await?];
    outbox
        .sql
        .batch_execute("UPDATE outbox SET published_at = now() WHERE aggregate_id = '1'")
        .await?;
    let [first, second] = [first.to_string(), second.to_string()];
    let ended = outbox.command(&["discard", &first, &second, "--reason", "x"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.out, "1 event is discarded; \"outbox_audit\" keeps a copy.\n");
    assert!(
        ended.err.contains(&format!("{first} was not discarded: it was published at ")),
        "{ended:?}"
    );
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn without_an_actor_the_systems_user_is_noted() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    held_back(&outbox, "7", "infinity").await?;
    let settings = [("DATABASE_URL", outbox.relay_url.as_str())];
    outbox_relay(&["retry", "--stuck", "--yes"], &settings).await?;
    let id = std::process::Command::new("id").arg("-un").output()?;
    let user = String::from_utf8(id.stdout)?;
    assert_eq!(outbox.audit().await?[0]["actor"], user.trim());
    Ok(())
}
