//! `outbox-relay prune`: deletes what was published long enough ago.

use pipeline_tests::outbox::Outbox;
use pipeline_tests::relay_command::outbox_relay;
use serde_json::{Value, json};

#[tokio::test]
async fn what_was_published_long_ago_is_pruned_and_nothing_else() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, created_at, published_at)
             SELECT 'order', i, 'order.created', '{}', now() - interval '1 year',
                    CASE i % 3 WHEN 0 THEN now() - interval '8 days' WHEN 1 THEN now() - interval '6 days' END
             FROM generate_series(1, 9000) AS i",
        )
        .await?;
    let prune = async |arguments: &[&str]| -> anyhow::Result<Value> {
        let ended = outbox.command(&[&["prune", "--json"], arguments].concat()).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()
    };
    let left = async |state: &str| {
        outbox.count(&format!("SELECT count(*) FROM outbox WHERE {state}"), &[]).await
    };
    assert_eq!(
        prune(&["--dry-run"]).await?,
        json!({ "pruned": 3000, "dry_run": true, "not_pruned": [] })
    );
    assert_eq!(left("true").await?, 9000);
    assert_eq!(prune(&[]).await?, json!({ "pruned": 3000, "dry_run": false, "not_pruned": [] }));
    assert_eq!(left("published_at < now() - interval '7 days'").await?, 0);
    assert_eq!(prune(&["--older-than", "5d"]).await?["pruned"], 3000);
    assert_eq!(left("published_at IS NULL").await?, 3000);
    assert_eq!(left("true").await?, 3000);

    let off = [("DATABASE_URL", outbox.relay_url.as_str()), ("OUTBOX_RETENTION", "off")];
    let refused = outbox_relay(&["prune"], &off).await?;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.err.contains("--older-than"), "{refused:?}");
    Ok(())
}
