//! An outbox whose columns have other types than the schema's, as an ORM or an older service
//! created them.

use anyhow::ensure;
use pipeline_tests::outbox::{Outbox, eventually};

/// The table with altered columns, without the views, which would prevent that.
async fn altered(alter: &str) -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox
        .sql
        .batch_execute(&format!(
            "DROP VIEW outbox_pending, outbox_stuck, outbox_failures, outbox_lag, outbox_published_last_minute;
             {alter}"
        ))
        .await?;
    Ok(outbox)
}

#[tokio::test]
async fn text_columns_may_be_of_any_type_for_text() -> anyhow::Result<()> {
    for kind in ["varchar", "varchar(255)", "char(40)", "citext", "name", "words"] {
        let outbox = altered(&format!(
            "CREATE EXTENSION citext;
             CREATE DOMAIN word AS varchar(100);
             CREATE DOMAIN words AS word;
             ALTER TABLE outbox
                 ALTER aggregate_type TYPE {kind}, ALTER aggregate_id TYPE {kind}, ALTER event_type TYPE {kind},
                 ALTER payload TYPE json, ALTER headers DROP DEFAULT, ALTER headers TYPE json, ALTER headers SET DEFAULT '{{}}'"
        ))
        .await?;
        outbox.sql.batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('order', '7', 'order.created', '{}')",
        ).await?;
        let mut relay = outbox.relay(&[])?;
        relay.until_idle().await?;
        assert_eq!(outbox.pending().await?, 0, "{kind}");
        let message = outbox.take_all("all").await?.remove(0);
        assert_eq!(message.delivery.routing_key.as_str().trim_end(), "order.created", "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn a_column_of_a_type_that_does_not_work_is_named() -> anyhow::Result<()> {
    for (alter, named) in [
        (
            "ALTER event_id DROP DEFAULT, ALTER event_id TYPE varchar(36)",
            "the outbox's column event_id is of type character varying, not uuid",
        ),
        ("ALTER payload TYPE text", "the outbox's column payload is of type text, not jsonb"),
        ("ALTER id TYPE integer", "the outbox's column id is of type integer, not bigint"),
        (
            "ALTER created_at TYPE timestamp",
            "the outbox's column created_at is of type timestamp without time zone, not timestamp with time zone",
        ),
    ] {
        let outbox = altered(&format!("ALTER TABLE outbox {alter}")).await?;
        let mut relay = outbox.relay(&[])?;
        eventually("it says what is wrong", async || {
            relay.relay.tick().await;
            let said = format!("{:?}", relay.health.statuses());
            ensure!(said.contains(named) && said.contains("`outbox-relay check`"), "{said}");
            Ok(true)
        })
        .await?;
    }
    Ok(())
}
