//! A transaction pooler between the relay and the database: the relay's locks and settings would
//! end up in other clients' sessions.

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::pipeline::address;
use pipeline_tests::pooler::Pooler;
use tokio_postgres::SimpleQueryMessage;

/// Checks that each idle connection has its default settings.
async fn is_as_it_was(pooler: &Pooler, url: &str) -> anyhow::Result<()> {
    // Each transaction of another session takes the connection that was returned last, so that all
    // are checked.
    let mut sessions = Vec::new();
    for _ in 0..pooler.idle() {
        let session = connect(url).await?;
        session.batch_execute("BEGIN").await?;
        for (setting, usual) in [
            ("enable_seqscan", "on"),
            ("statement_timeout", "0"),
            ("idle_session_timeout", "0"),
            ("plan_cache_mode", "auto"),
        ] {
            let row = session.simple_query(&format!("SHOW {setting}")).await?;
            let value = row.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            ensure!(value == Some(usual), "{setting} is {value:?}");
        }
        sessions.push(session);
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_behind_a_pool_says_so_again_and_again_and_does_nothing_through_it()
-> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;
    let (pooler, pooled) = Pooler::before(&outbox.relay_url).await?;
    let direct = std::mem::replace(&mut outbox.relay_url, pooled.clone());
    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "1s")]).await?;
    let said = relay.wait_for_line("postgresql is not reachable", PATIENCE).await?;
    ensure!(said.contains("a pooler in transaction mode stands before it"), "{said}");
    ensure!(said.contains("pool_mode=session"), "{said}");
    // Pruning has a separate session.
    let said = relay.wait_for_line("could not be pruned", PATIENCE).await?;
    ensure!(said.contains("pool_mode=session"), "{said}");
    let ready = format!("{}/readyz", address(&relay, "operations port is open").await?);
    let answer = stack::http_client()?.get(&ready).send().await?;
    assert_eq!(answer.status().as_u16(), 503);
    let answer = answer.text().await?;
    ensure!(answer.contains("pool_mode=session"), "{answer}");
    // Each attempt opens a new connection.
    let before = pooler.idle();
    eventually("it tries again", async || Ok(pooler.idle() > before + 4)).await?;
    drop(relay);

    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (1, 0));
    let locks = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()";
    assert_eq!(outbox.count(locks, &[]).await?, 0, "locks that nobody would give back");
    is_as_it_was(&pooler, &pooled).await?;

    outbox.relay_url = direct;
    outbox.relay(&[])?.until_idle().await?;
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_pool_of_one_connection_is_taken_for_what_it_is_and_not_for_a_slow_server()
-> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;
    let (_pooler, pooled) = Pooler::of_one_before(&outbox.relay_url).await?;
    outbox.relay_url = pooled;
    let mut relay = outbox.relay(&[])?;
    let mut reason = None;
    eventually("the relay says why it does not work", async || {
        Box::pin(relay.relay.tick()).await;
        reason = relay.health.statuses()["postgresql"].reason.clone();
        Ok(reason.as_deref() != Some("not connected yet"))
    })
    .await?;
    let reason = reason.context("it works")?;
    ensure!(reason.contains("pool_mode=session"), "{reason}");
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (1, 0));
    Ok(())
}
