//! A read-only database, because its disk is full or it is a standby: nothing is published that
//! can't be settled.

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, connect, eventually};
use pipeline_tests::readiness::of_postgresql;
use stack::{PostgresServer, Service};

/// Waits until the relay is not ready and reports this about PostgreSQL.
async fn says(relay: &Service, part: &str) -> anyhow::Result<()> {
    let mut said = String::new();
    eventually("the reason is told", async || {
        let (ready, reason) = of_postgresql(relay).await?;
        said = reason;
        Ok(!ready && said.contains(part))
    })
    .await
    .with_context(|| format!("it says {said:?}: {}", relay.log()))
}

/// An outbox on a private server, with a queue.
async fn on_its_own_server() -> anyhow::Result<(Outbox, PostgresServer)> {
    let server = PostgresServer::start_temporary().await?;
    let vhost = stack::shared().await?.vhost("outbox").await?;
    let outbox = Outbox::on(server.database("outbox").await?, vhost).await?;
    outbox.queue("all", "#").await?;
    Ok((outbox, server))
}

async fn set_read_only(outbox: &Outbox, to: &str) -> anyhow::Result<()> {
    let alter = format!("ALTER SYSTEM SET default_transaction_read_only = {to}");
    // This session is then read-only too.
    outbox.sql.batch_execute("SET default_transaction_read_only = off").await?;
    outbox.sql.batch_execute(&alter).await?;
    outbox.sql.batch_execute("SELECT pg_reload_conf()").await?;
    let seen = connect(&outbox.database.url).await?;
    eventually("the setting is in force", async || {
        let row = seen.query_one("SHOW default_transaction_read_only", &[]).await?;
        Ok(row.get::<_, &str>(0) == to)
    })
    .await
}

#[tokio::test]
async fn a_database_that_becomes_read_only_under_a_relay_is_reported_and_nothing_is_sent()
-> anyhow::Result<()> {
    let (outbox, _server) = on_its_own_server().await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.add("7", "order.created").await?;
    outbox.all_published().await.with_context(|| relay.log())?;

    set_read_only(&outbox, "on").await?;
    says(&relay, "the database is read-only: default_transaction_read_only is on").await?;
    outbox.add("7", "order.shipped").await?;
    let sessions = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
    let before = outbox.count(sessions, &[]).await?;
    eventually("it tries again", async || Ok(outbox.count(sessions, &[]).await? >= before + 3))
        .await?;
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (1, 1));
    let refused = outbox.command(&["retry", "--stuck", "--yes"]).await?;
    ensure!(refused.code == Some(69) && refused.err.contains("read-only"), "{refused:?}");
    let looked = outbox.command(&["status"]).await?;
    ensure!(looked.code == Some(0), "{looked:?}");

    set_read_only(&outbox, "off").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.depth("all").await?, 2, "nothing was sent twice");
    Ok(())
}

#[tokio::test]
async fn a_standby_is_reported_before_anything_is_sent_and_used_once_it_is_promoted()
-> anyhow::Result<()> {
    let (mut outbox, primary) = on_its_own_server().await?;
    outbox.add("7", "order.created").await?;
    let standby = primary.start_standby().await?;
    eventually("the standby has the event", async || {
        let seen = connect(&standby.url(&outbox.database.name)).await?;
        let row = seen.query_one("SELECT count(*) FROM outbox", &[]).await?;
        Ok(row.get::<_, i64>(0) == 1)
    })
    .await?;
    let port = |server: &PostgresServer| format!(":{}/", server.access().port);
    outbox.relay_url = outbox.relay_url.replace(&port(&primary), &port(&standby));
    // The URL does not require a writable host.
    ensure!(!outbox.relay_url.contains("target_session_attrs"));
    let relay = outbox.relay_process(&[]).await?;
    says(&relay, "the server is a standby, which takes no writes").await?;
    let checked = outbox.command(&["check"]).await?;
    ensure!(checked.out.contains("the server is a standby"), "{}", checked.out);
    let refused = outbox.command(&["prune"]).await?;
    ensure!(refused.code == Some(69) && refused.err.contains("a standby"), "{refused:?}");
    assert_eq!(outbox.depth("all").await?, 0);

    standby.promote().await?;
    outbox.sql = connect(&standby.url(&outbox.database.name)).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.depth("all").await?, 1);
    Ok(())
}

#[tokio::test]
async fn of_several_hosts_the_writable_one_is_found_by_default() -> anyhow::Result<()> {
    let (mut outbox, primary) = on_its_own_server().await?;
    let standby = primary.start_standby().await?;
    let (first, second) = (standby.access().port, primary.access().port);
    let hosts = format!("127.0.0.1:{first},127.0.0.1:{second}");
    outbox.relay_url = outbox.relay_url.replace(&format!("127.0.0.1:{second}"), &hosts);
    outbox.add("7", "order.created").await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    for arguments in [&["check"][..], &["retry", "--stuck", "--yes"]] {
        let ended = outbox.command(arguments).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
    }
    Ok(())
}
