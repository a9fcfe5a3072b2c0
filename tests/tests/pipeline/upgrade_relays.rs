//! Upgrading the relays under load: relays of the previous release and of this one share one
//! outbox, on the schema of either.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::load::{Load, at_work};
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::previous_release::PreviousRelease;
use pipeline_tests::relay_role::ROLES;
use stack::Service;
use uuid::Uuid;

const SCHEMA: &str = include_str!("../../../sql/outbox/schema.sql");

/// An outbox with the schema of the previous release, or of this one.
async fn outbox(before: &PreviousRelease, is_new: bool) -> anyhow::Result<Outbox> {
    let servers = stack::shared().await?;
    let (database, vhost) = tokio::try_join!(servers.database("outbox"), servers.vhost("outbox"))?;
    let outbox = if is_new {
        Outbox::with_schema(database, vhost, SCHEMA, ROLES).await?
    } else {
        let (schema, roles) =
            (before.file("sql/outbox/schema.sql")?, before.file("sql/roles.sql")?);
        Outbox::with_schema(database, vhost, &schema, &roles).await?
    };
    outbox.queue("all", "#").await?;
    Ok(outbox)
}

async fn relays_share_an_outbox(is_new: bool) -> anyhow::Result<()> {
    let before = PreviousRelease::get().await?;
    let outbox = outbox(&before, is_new).await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    let mut load = Load::default();
    let (old, new) = load.during(&outbox, replaced(&before, &outbox, &deliveries)).await?;
    // As long as there is progress: debug builds on a busy machine are slow.
    loop {
        let pending = outbox.pending().await?;
        if pending == 0 {
            break;
        }
        let fewer = eventually("more is published", async || Ok(outbox.pending().await? < pending));
        fewer.await.with_context(|| format!("{}\n{}", old.last_lines(), new.last_lines()))?;
    }
    load.arrived(&outbox, &deliveries).await
}

/// One relay of each release is killed or stopped, and restarted, while the other one continues.
async fn replaced(
    before: &PreviousRelease,
    outbox: &Outbox,
    deliveries: &Deliveries,
) -> anyhow::Result<(Service, Service)> {
    let old = before.relay_process(outbox).await?;
    outbox.shared_among(1).await?;
    let new = outbox.relay_process(&[]).await?;
    outbox.shared_among(2).await.context("they share the lanes")?;
    at_work(deliveries).await?;
    old.sigterm()?;
    let ended = old.wait_exit(PATIENCE).await?;
    ensure!(ended.success(), "{}", old.last_lines());
    outbox.shared_among(1).await.context("the new one has all lanes")?;
    at_work(deliveries).await?;
    let old = before.relay_process(outbox).await?;
    outbox.shared_among(2).await.context("the old one joins the new one")?;
    new.sigkill()?;
    outbox.shared_among(1).await.context("the old one takes over")?;
    at_work(deliveries).await?;
    let new = outbox.relay_process(&[]).await?;
    outbox.shared_among(2).await?;
    old.sigkill()?;
    outbox.shared_among(1).await.context("the new one takes over")?;
    at_work(deliveries).await?;
    let old = before.relay_process(outbox).await?;
    outbox.shared_among(2).await?;
    Ok((old, new))
}

#[tokio::test]
async fn relays_of_both_releases_share_an_outbox_of_the_last_release() -> anyhow::Result<()> {
    relays_share_an_outbox(false).await
}

#[tokio::test]
async fn relays_of_both_releases_share_an_outbox_of_this_release() -> anyhow::Result<()> {
    relays_share_an_outbox(true).await
}

/// The tables of a schema.
fn tables(schema: &str) -> Vec<&str> {
    schema
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split([' ', '(']).next())
        .collect()
}

#[tokio::test]
async fn check_names_what_the_schema_of_the_last_release_lacks() -> anyhow::Result<()> {
    let before = PreviousRelease::get().await?;
    let outbox = outbox(&before, false).await?;
    let old = before.file("sql/outbox/schema.sql")?;
    let old = tables(&old);
    let missing: Vec<&str> =
        tables(SCHEMA).into_iter().filter(|name| !old.contains(name)).collect();
    let checked = outbox.command(&["check"]).await?;
    for name in &missing {
        ensure!(checked.out.contains(name), "it does not name {name}: {checked:?}");
    }
    ensure!(checked.code == Some(i32::from(!missing.is_empty())), "{missing:?}: {checked:?}");
    Ok(())
}

#[tokio::test]
async fn commands_of_this_release_work_beside_relays_of_the_last_one() -> anyhow::Result<()> {
    let before = PreviousRelease::get().await?;
    for is_new in [false, true] {
        let outbox = outbox(&before, is_new).await?;
        let _old = before.relay_process(&outbox).await?;
        outbox.shared_among(1).await?;
        let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
                   VALUES ('order', $1, 'order.created', '{}', 1, 'infinity') RETURNING event_id";
        let mut ids = Vec::new();
        for aggregate in ["1", "2"] {
            let row = outbox.sql.query_one(add, &[&aggregate]).await?;
            ids.push(row.get::<_, Uuid>(0).to_string());
        }
        // It can't acknowledge the change, which is reported.
        for (arguments, done) in [
            (&["discard", "--reason", "x", &ids[0]][..], "1 event is discarded"),
            (&["retry", &ids[1]], "1 event is due again"),
        ] {
            let ended = outbox.command(arguments).await?;
            assert_eq!(ended.code, Some(3), "{ended:?}");
            assert!(ended.out.starts_with(done), "{ended:?}");
            assert!(ended.err.contains("(an older release?)"), "{ended:?}");
        }
        // It does not know pauses, which is reported; the older schema has no table for them.
        let paused = outbox.command(&["pause", "--type", "order.never"]).await?;
        let (code, told) =
            if is_new { (3, "does not respect pauses") } else { (1, "outbox-relay check") };
        assert_eq!(paused.code, Some(code), "{paused:?}");
        assert!(paused.err.contains(told), "{paused:?}");
        outbox.all_published().await?;
        assert_eq!(outbox.depth("all").await?, 1);
        let again = outbox.command(&["replay", &ids[1]]).await?;
        assert_eq!(again.code, Some(0), "{again:?}");
        tokio::time::timeout(
            Duration::from_secs(5),
            outbox.command(&["prune", "--older-than", "1ms"]),
        )
        .await??;
        assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 0);
    }
    Ok(())
}
