//! Published events that a consumer has missed.

use pipeline_tests::consumer_inbox::ConsumerInbox;

const PUBLISHED: &str = "published_at = now()";
const LONG_AGO: &str = "published_at = now() - interval '2 hours'";

#[tokio::test]
async fn events_that_a_consumer_has_missed_are_found() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let applied = inbox.add("order.created", LONG_AGO).await?;
    inbox.apply(applied).await?;
    let refused = inbox.add("order.created", LONG_AGO).await?;
    inbox.add_dead_letter(refused, "open").await?;
    inbox.add("order.created", PUBLISHED).await?;
    inbox.add("invoice.created", LONG_AGO).await?;
    inbox.add("order.created", "published_at = now() - interval '3 days'").await?;
    inbox.add("order.created", "published_at = 'infinity'").await?;
    let reconcile = ["reconcile", "--since", "1d", "--json"];
    let clean = inbox.command(&reconcile).await?;
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert_eq!(clean.json()?["consumers"][0]["checked"], 2);

    let missed = inbox.add("order.created", LONG_AGO).await?;
    let found = inbox.command(&reconcile).await?;
    assert_eq!(found.code, Some(1), "{found:?}");
    let found = found.json()?;
    assert_eq!(found["missing"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["missing"][0]["event_id"], missed.to_string());
    assert_eq!(found["missing"][0]["consumer"], "billing");

    let page = inbox.command(&["reconcile"]).await?;
    assert!(
        page.out.contains("billing: 3 events published, 1 neither applied nor a dead letter"),
        "{page:?}"
    );
    Ok(())
}

#[tokio::test]
async fn all_pages_of_the_outbox_are_read() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
                  SELECT 'order', i, 'order.created', '{}', now() - interval '2 hours' FROM generate_series(1, 25000) AS i;
                  INSERT INTO billing_inbox SELECT event_id FROM outbox WHERE aggregate_id NOT IN ('1', '10001', '25000')";
    inbox.outbox.sql.batch_execute(insert).await?;
    let found = inbox.command(&["reconcile", "--json"]).await?;
    assert_eq!(found.code, Some(1));
    let found = found.json()?;
    assert_eq!(found["consumers"][0]["checked"], 25_000);
    assert_eq!(found["consumers"][0]["missing"], 3);
    Ok(())
}

#[tokio::test]
async fn reconcile_needs_to_know_an_inbox() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let ended = inbox.outbox.command(&["reconcile"]).await?;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.err.contains("--inboxes"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_daily_reconcile_leaves_no_gap() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    // Too young for the run of yesterday.
    inbox.add("order.created", "published_at = now() - interval '24 hours 30 minutes'").await?;
    assert_eq!(inbox.command(&["reconcile", "--since", "1d"]).await?.code, Some(1));
    let at = time::OffsetDateTime::now_utc() - time::Duration::minutes(30);
    let at = at.format(&time::format_description::well_known::Rfc3339)?;
    let nothing = inbox.command(&["reconcile", "--since", &at]).await?;
    assert_eq!(nothing.code, Some(64), "{nothing:?}");
    assert!(nothing.err.contains("longest_retry"), "{nothing:?}");
    Ok(())
}
