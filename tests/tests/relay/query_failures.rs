//! The relay's queries may fail or be slow: the sweep and the backlog measurement without any
//! effect, a poll without the loss of the session.

use anyhow::{Context as _, ensure};
use pipeline_tests::metrics::metrics;
use pipeline_tests::outbox::{Outbox, connect, eventually};
use stack::Service;

const BACKLOG: &str = "outbox_relay_backlog_events ";

async fn tells_the_backlog(relay: &Service) -> anyhow::Result<bool> {
    Ok(metrics(relay).await?.lines().any(|line| line.starts_with(BACKLOG)))
}

/// Ends the session that measures the backlog. Returns whether there was one. It owns no lanes, and
/// its last statement was a query.
async fn end_inspection(outbox: &Outbox) -> anyhow::Result<bool> {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'outbox-relay'
                 AND query LIKE '-- %' AND (query LIKE '-- scan_new%' OR query LIKE '-- measure_backlog%')
                 AND pid NOT IN (SELECT pid FROM outbox_relays)";
    Ok(outbox.count(end, &[]).await? == 1)
}

#[tokio::test]
async fn the_session_that_measures_may_end_and_nothing_else_does() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (relay, session) = outbox.joined_by(&[]).await?;
    for _ in 0..3 {
        eventually("the session for it is there, and ended", || end_inspection(&outbox))
            .await
            .with_context(|| relay.log())?;
        outbox.add("7", "order.created").await?;
        outbox.all_published().await?;
    }
    let shares = outbox.shares().await?;
    ensure!(shares.len() == 1 && shares.contains_key(&session), "it kept its lanes: {shares:?}");
    let connected_once = "dependency_connects_total{dependency=\"postgresql\"} 1";
    let shown = metrics(&relay).await?;
    ensure!(shown.lines().any(|line| line == connected_once), "{shown}");
    ensure!(relay.log().contains("overlooked events is gone"), "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn a_relay_that_gets_no_connection_for_it_publishes_all_the_same() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // For this test's session and the two that the relay requires.
    let limit = |connections: i32| {
        let name = outbox.database.url.rsplit_once('/').map_or("", |(_, name)| name);
        format!("ALTER DATABASE \"{name}\" CONNECTION LIMIT {connections}")
    };
    outbox.sql.batch_execute(&limit(3)).await?;
    let relay = outbox.relay_process(&[]).await?;
    for _ in 0..3 {
        outbox.add("7", "order.created").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
    }
    eventually("it says what it can't do", async || {
        Ok(relay.log().contains("overlooked events is gone"))
    })
    .await?;
    ensure!(!tells_the_backlog(&relay).await?, "what was never measured is not shown");
    outbox.sql.batch_execute(&limit(-1)).await?;
    eventually("the backlog is measured again", || tells_the_backlog(&relay)).await
}

#[tokio::test]
async fn a_poll_that_times_out_costs_neither_the_session_nor_its_lanes() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (relay, session) = outbox.joined_by(&[]).await?;
    outbox.add("7", "order.created").await?;
    outbox.all_published().await?;
    let locks = connect(&outbox.database.url).await?;
    locks.batch_execute("BEGIN; LOCK TABLE outbox").await?;
    for _ in 0..3 {
        eventually("a look waits, and is given up", async || {
            let give_up = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
                           WHERE pid = $1 AND wait_event_type = 'Lock' AND query LIKE '-- scan_%'";
            Ok(outbox.count(give_up, &[&session]).await? == 1)
        })
        .await
        .with_context(|| relay.log())?;
    }
    eventually("it says so", async || Ok(relay.log().contains("canceling statement"))).await?;
    locks.batch_execute("COMMIT").await?;
    outbox.add("7", "order.created").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    let shares = outbox.shares().await?;
    ensure!(shares.get(&session).is_some_and(|lanes| lanes.len() == 64), "{shares:?}");
    Ok(())
}

#[tokio::test]
async fn a_measurement_that_times_out_does_not_cost_its_session() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (relay, _) = outbox.joined_by(&[]).await?;
    eventually("the backlog is measured", || tells_the_backlog(&relay)).await?;
    let locks = connect(&outbox.database.url).await?;
    locks.batch_execute("BEGIN; LOCK TABLE outbox").await?;
    let mut session = None;
    eventually("what the session for it does is given up", async || {
        let give_up = "SELECT pid, pg_cancel_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name LIKE 'outbox-relay%' AND wait_event_type = 'Lock'
                         AND (query LIKE '-- scan_new%' OR query LIKE '-- measure_backlog%')
                         AND pid NOT IN (SELECT pid FROM outbox_relays)";
        session = outbox.sql.query_opt(give_up, &[]).await?.map(|row| row.get::<_, i32>(0));
        Ok(session.is_some())
    })
    .await
    .with_context(|| relay.log())?;
    eventually("it says so", async || Ok(relay.log().contains("trying again later"))).await?;
    locks.batch_execute("COMMIT").await?;
    outbox.every_lane_is_served().await?;
    ensure!(!relay.log().contains("overlooked events is gone"), "{}", relay.log());
    let is_there = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
    ensure!(outbox.count(is_there, &[&session]).await? == 1, "{}", relay.log());
    Ok(())
}
