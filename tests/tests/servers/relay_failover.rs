//! Failover between several databases or brokers in the relay's settings.

use std::net::TcpListener;

use anyhow::Context as _;
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use stack::{PostgresAccess, PostgresServer, RabbitServer};

const ADD_200: &str = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
     SELECT 'order', (n % 50)::text, 'order.created', '{}' FROM generate_series(1, 200) AS n";

/// `DATABASE_URL` of a relay for a database that exists on each of the servers.
fn url_of(ports: &[u16], password: &str, database: &str, more: &str) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let hosts = hosts.join(",");
    format!(
        "postgres://outbox_relay:{password}@{hosts}/{database}?target_session_attrs=read-write{more}"
    )
}

/// A read-only server with an outbox of the same name and one event, like a lagging standby.
async fn read_only_twin(outbox: &Outbox, password: &str) -> anyhow::Result<PostgresServer> {
    let server = PostgresServer::start_temporary().await?;
    server.access().create_if_missing(&outbox.database.name).await?;
    let sql = connect(&server.url(&outbox.database.name)).await?;
    sql.batch_execute(include_str!("../../../sql/outbox/schema.sql")).await?;
    sql.batch_execute(include_str!("../../../sql/roles.sql")).await?;
    sql.batch_execute(ADD_200).await?;
    server.access().set_password("outbox_relay", password).await?;
    sql.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    sql.batch_execute("SELECT pg_reload_conf()").await?;
    Ok(server)
}

#[tokio::test]
async fn databases_that_are_down_or_silent_or_can_not_be_written_to_are_passed_over()
-> anyhow::Result<()> {
    let PostgresAccess { port, password, .. } = stack::shared().await?.postgres;
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let read_only = read_only_twin(&outbox, &password).await?;
    // It accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let closed = ClosedPort::reserve()?;
    let ports = [closed.port(), silent.local_addr()?.port(), read_only.access().port, port];
    let url = url_of(&ports, &password, &outbox.database.name, "&connect_timeout=1");
    outbox.add("7", "order.created").await?;
    let relay = outbox.relay_process(&[("DATABASE_URL", &url)]).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.depth("all").await?, 1, "and nothing of the other database");
    let said = format!("connected to 127.0.0.1:{port}, one of 4 hosts");
    relay.wait_for_line(&said, PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn it_tells_of_each_database_why_it_can_not_be_used() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let password = stack::shared().await?.postgres.password;
    let read_only = read_only_twin(&outbox, &password).await?;
    let (closed, port) = (ClosedPort::reserve()?, read_only.access().port);
    let url = url_of(&[closed.port(), port], &password, &outbox.database.name, "");
    let relay = outbox.relay_process(&[("DATABASE_URL", &url)]).await?;
    let said = relay.wait_for_line("postgresql is not reachable", PATIENCE).await?;
    for part in [
        format!("{}: error connecting to server: Connection refused", closed.address()),
        format!("127.0.0.1:{port}: the database is read-only: default_transaction_read_only is on"),
    ] {
        assert!(said.contains(&part), "{said}");
    }
    assert!(!relay.log().contains(&password), "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn after_a_failover_of_the_database_the_relay_goes_on_with_the_one_that_took_over()
-> anyhow::Result<()> {
    let mut primary = PostgresServer::start_temporary().await?;
    let vhost = stack::shared().await?.vhost("outbox").await?;
    let mut outbox = Outbox::on(primary.database("outbox").await?, vhost).await?;
    outbox.queue("all", "#").await?;
    let standby = primary.start_standby().await?;
    // Commits are replicated synchronously.
    outbox.sql.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
    outbox.sql.batch_execute("SELECT pg_reload_conf()").await?;
    let ports = [primary.access().port, standby.access().port];
    let name = outbox.database.name.clone();
    let url = url_of(&ports, &primary.access().password, &name, "");
    let relay = outbox.relay_process(&[("DATABASE_URL", &url)]).await?;
    outbox.sql.batch_execute(ADD_200).await?;
    outbox.all_published().await.with_context(|| relay.log())?;

    primary.kill().await?;
    let said = relay.wait_for_line("postgresql is not reachable", PATIENCE).await?;
    standby.promote().await?;
    outbox.sql = connect(&standby.url(&name)).await?;
    outbox.sql.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await?;
    outbox.sql.batch_execute("SELECT pg_reload_conf()").await?;
    outbox.sql.batch_execute(ADD_200).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert!(relay.is_running(), "{said}");
    let messages = outbox.take_all("all").await?;
    let ids = messages.iter().map(pipeline_tests::outbox::event_id);
    let ids: std::collections::HashSet<_> = ids.collect::<anyhow::Result<_>>()?;
    assert_eq!(ids, outbox.event_ids().await?, "each event at least once");
    assert_eq!(ids.len(), 400);
    Ok(())
}

#[tokio::test]
async fn when_its_broker_is_killed_the_relay_goes_on_with_the_next_one() -> anyhow::Result<()> {
    let (mut first, second) =
        tokio::try_join!(RabbitServer::start_temporary(), RabbitServer::start_temporary())?;
    let servers = stack::shared().await?;
    let outbox = Outbox::on(servers.database("outbox").await?, first.vhost("first").await?).await?;
    let other = Outbox::on(servers.database("other").await?, second.vhost("second").await?).await?;
    for outbox in [&outbox, &other] {
        outbox.queue("all", "#").await?;
    }
    let urls = format!("{},{}", outbox.vhost.amqp_url, other.vhost.amqp_url);
    let relay = outbox.relay_process(&[("RABBITMQ_URL", &urls)]).await?;
    outbox.add("7", "order.created").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!((outbox.depth("all").await?, other.depth("all").await?), (1, 0));

    first.kill().await?;
    outbox.add("7", "order.shipped").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    eventually("the next broker has it", async || Ok(other.depth("all").await? == 1)).await?;
    assert!(relay.is_running(), "{}", relay.last_lines());
    let said = format!("connected to 127.0.0.1:{}, one of 2 brokers", second.access().amqp_port);
    relay.wait_for_line(&said, PATIENCE).await?;
    Ok(())
}
