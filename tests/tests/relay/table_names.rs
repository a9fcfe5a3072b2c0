//! An outbox with another name, or in another schema, and two of them in one database.

use anyhow::ensure;
use pipeline_tests::command::Ended;
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::relay_command::outbox_relay;
use serde_json::json;
use stack::Service;

/// Other names: in another schema, with capital letters, both.
const NAMES: [&str; 3] = ["shop.events", "OutgoingEvents", "Shop.Outgoing_Events2"];

/// The name as it stands in SQL, with `suffix`.
fn quoted(name: &str, suffix: &str) -> String {
    match name.split_once('.') {
        Some((schema, name)) => format!("\"{schema}\".\"{name}{suffix}\""),
        None => format!("\"{name}{suffix}\""),
    }
}

/// Creates the outbox `name` with the SQL that the command prints.
async fn add_table(outbox: &Outbox, name: &str) -> anyhow::Result<()> {
    if let Some((schema, _)) = name.split_once('.') {
        outbox.sql.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")).await?;
    }
    let by_flag = outbox_relay(&["schema", "--outbox-table", name], &[]).await?;
    let by_variable = outbox_relay(&["schema"], &[("OUTBOX_TABLE", name)]).await?;
    ensure!(by_flag.code == Some(0), "{by_flag:?}");
    ensure!(by_flag.out == by_variable.out, "the flag and the variable are one setting");
    outbox.sql.batch_execute(&by_flag.out).await?;
    let roles = outbox_relay(&["schema", "--roles"], &[("OUTBOX_TABLE", name)]).await?;
    Ok(outbox.sql.batch_execute(&roles.out).await?)
}

async fn add(outbox: &Outbox, name: &str, aggregate: &str, events: i32) -> anyhow::Result<()> {
    let insert = format!(
        "INSERT INTO {} (aggregate_type, aggregate_id, event_type, payload, headers)
         SELECT 'order', $1, 'order.created', '{{}}', jsonb_build_object('number', number)
         FROM generate_series(1, $2::integer) AS number ORDER BY number",
        quoted(name, "")
    );
    outbox.sql.execute(&insert, &[&aggregate, &events]).await?;
    Ok(())
}

async fn pending(outbox: &Outbox, name: &str) -> anyhow::Result<i64> {
    let count = format!("SELECT count(*) FROM {} WHERE published_at IS NULL", quoted(name, ""));
    outbox.count(&count, &[]).await
}

async fn all_published(outbox: &Outbox, name: &str) -> anyhow::Result<()> {
    eventually("all is published", async || Ok(pending(outbox, name).await? == 0)).await
}

async fn relay(outbox: &Outbox, name: &str) -> anyhow::Result<Service> {
    let relay = outbox.relay_process(&[("OUTBOX_TABLE", name), ("OUTBOX_RETENTION", "1h")]).await?;
    relay.wait_for_line("took lanes", PATIENCE).await?;
    Ok(relay)
}

/// Runs a command on the outbox `name`, as the role of relays.
async fn command(outbox: &Outbox, name: &str, arguments: &[&str]) -> anyhow::Result<Ended> {
    let settings = [
        ("DATABASE_URL", outbox.relay_url.as_str()),
        ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
        ("OUTBOX_ACTOR", "alice"),
        ("OUTBOX_TABLE", name),
    ];
    outbox_relay(arguments, &settings).await
}

#[tokio::test]
async fn an_outbox_with_any_name_in_any_schema_is_served_by_relay_and_commands()
-> anyhow::Result<()> {
    for name in NAMES {
        let outbox = Outbox::new().await?;
        outbox.queue("all", "#").await?;
        // Nothing may exist under the default name.
        outbox.sql.batch_execute("DROP TABLE outbox, outbox_audit CASCADE").await?;
        add_table(&outbox, name).await?;
        let relay = relay(&outbox, name).await?;
        add(&outbox, name, "7", 20).await?;
        all_published(&outbox, name).await?;
        assert_eq!(outbox.take_all("all").await?.len(), 20, "{name}");

        let table = quoted(name, "");
        let stuck = format!(
            "INSERT INTO {table} (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
             VALUES ('order', '8', 'order.created', '{{}}', 1, 'infinity') RETURNING event_id::text"
        );
        let stuck: String = outbox.sql.query_one(&stuck, &[]).await?.get(0);
        let status = command(&outbox, name, &["status", "--json"]).await?.json()?;
        assert_eq!((&status["table"], &status["backlog"]["stuck"]), (&json!(name), &json!(1)));
        assert_eq!(status["relays"].as_array().map(Vec::len), Some(1), "{status}");
        let retried = command(&outbox, name, &["retry", &stuck]).await?;
        assert_eq!(retried.code, Some(0), "{retried:?}");
        all_published(&outbox, name).await?;
        let audit = format!("SELECT count(*) FROM {}", quoted(name, "_audit"));
        assert_eq!(outbox.count(&audit, &[]).await?, 1, "{name}");

        let replayed = command(&outbox, name, &["replay", &stuck]).await?;
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
        let checked = command(&outbox, name, &["check"]).await?;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        outbox
            .sql
            .batch_execute(&format!("UPDATE {table} SET published_at = now() - interval '2 hours'"))
            .await?;
        let pruned = command(&outbox, name, &["prune", "--older-than", "1h"]).await?;
        assert_eq!(pruned.out, "21 events pruned.\n", "{name}");
        for view in ["pending", "stuck", "lag", "relays", "published_last_minute"] {
            let view = quoted(name, &format!("_{view}"));
            outbox.sql.execute(&format!("SELECT FROM {view}"), &[]).await?;
        }
        let relays = format!("SELECT sum(lanes)::bigint FROM {}", quoted(name, "_relays"));
        assert_eq!(outbox.count(&relays, &[]).await?, 64, "{name}");
        assert!(relay.is_running(), "{}", relay.last_lines());
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_prunes_the_outbox_that_it_serves() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    add_table(&outbox, "Shop.Events").await?;
    add(&outbox, "Shop.Events", "7", 5).await?;
    outbox.add("7", "order.created").await?;
    outbox.sql.batch_execute("UPDATE outbox SET published_at = now() - interval '1 day'").await?;
    let settings = [("OUTBOX_TABLE", "Shop.Events"), ("OUTBOX_RETENTION", "1s")];
    let relay = outbox.relay_process(&settings).await?;
    eventually("its own are published and pruned", async || {
        Ok(outbox.count("SELECT count(*) FROM \"Shop\".\"Events\"", &[]).await? == 0)
    })
    .await?;
    assert_eq!(outbox.depth("all").await?, 5, "{}", relay.last_lines());
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 1, "the other one stays");
    Ok(())
}

#[tokio::test]
async fn two_outboxes_in_one_database_do_not_disturb_each_other() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    add_table(&outbox, "shop.outbox").await?;
    let first = relay(&outbox, "outbox").await?;
    let second = relay(&outbox, "shop.outbox").await?;
    for name in ["outbox", "shop.outbox"] {
        let owned = format!("SELECT sum(lanes)::bigint FROM {}", quoted(name, "_relays"));
        eventually("a relay of each owns all lanes of its own", async || {
            Ok(outbox.count(&owned, &[]).await? == 64)
        })
        .await?;
    }
    add(&outbox, "outbox", "first", 300).await?;
    add(&outbox, "shop.outbox", "second", 300).await?;
    all_published(&outbox, "outbox").await?;
    all_published(&outbox, "shop.outbox").await?;
    eventually("all are delivered", async || Ok(deliveries.count() >= 600)).await?;
    assert_eq!(deliveries.count(), 600, "each once");
    for numbers in deliveries.first_deliveries().values() {
        assert!(numbers.iter().copied().eq(1..=300), "{numbers:?}");
    }

    // The events of each outbox wait for its own relay.
    first.sigterm()?;
    first.wait_exit(PATIENCE).await?;
    add(&outbox, "outbox", "third", 1).await?;
    add(&outbox, "shop.outbox", "fourth", 1).await?;
    all_published(&outbox, "shop.outbox").await?;
    assert_eq!(pending(&outbox, "outbox").await?, 1);
    let _again = relay(&outbox, "outbox").await?;
    all_published(&outbox, "outbox").await?;
    assert!(second.is_running(), "{}", second.last_lines());
    Ok(())
}
