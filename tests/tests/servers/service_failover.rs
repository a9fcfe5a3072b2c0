//! Failover between several databases or brokers in a service's settings.

use std::net::TcpListener;
use std::time::Duration;

use amqp::BrokerUrl;
use amqp::{Channel, Connection, QueueDepth};
use lapin::types::FieldTable;
use pipeline_tests::consumer_fixture::{ConsumerFixture, QUEUE, orders_of, until};
use pipeline_tests::pipeline::{PATIENCE, connect};
use service_kit::postgres::{
    Database, DatabaseError, DatabaseUrl, Pool, PoolArgs, PreparedStatements,
};
use stack::{PostgresServer, RabbitServer, Service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_broker_is_killed_the_consumer_goes_on_with_the_next_one_of_its_file()
-> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let mut killed = RabbitServer::start_temporary().await?;
    let first =
        ConsumerFixture::with(servers.database("first").await?, killed.vhost("first").await?)
            .await?;
    // Its database is not used: the consumer writes to the first one's.
    let next = ConsumerFixture::with(servers.database("next").await?, servers.vhost("next").await?)
        .await?;
    let customer = first.customer().await?;
    let file = stack::stack_dir()?.join(format!("brokers-{}", std::process::id()));
    let urls = format!("{},\n{}\n", first.broker.amqp_url, next.broker.amqp_url);
    stack::write_private(&file, &urls)?;
    let settings = [
        ("DATABASE_URL", first.database.url.as_str()),
        ("RABBITMQ_URL_FILE", file.to_str().expect("a path in UTF-8")),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let program = stack::binary("customer-service").await?;
    let consumer = Service::spawn(program, ["consumer"], settings).await?;
    pipeline_tests::pipeline::ready(&consumer).await?;
    std::fs::remove_file(&file)?;
    first.publish_all(orders_of(10, customer)).await?;
    first.counted(customer, 10).await?;

    killed.kill().await?;
    // Once connected, it declares its queue there and then binds it.
    until(async || Ok(next.waiting(QUEUE).await.ok())).await?;
    until(async || Ok(next.publish_all(orders_of(1, customer)).await.ok())).await?;
    first.counted(customer, 11).await?;
    assert!(consumer.is_running(), "{}", consumer.last_lines());
    Ok(())
}

#[tokio::test]
async fn after_a_connection_was_lost_the_next_broker_is_tried_first_though_the_other_one_answers()
-> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (one, two) = tokio::try_join!(servers.vhost("one"), servers.vhost("two"))?;
    for vhost in [&one, &two] {
        let connection = connection(&vhost.amqp_url.parse().map_err(anyhow::Error::msg)?).await?;
        let channel = channel(&connection).await?;
        channel.declare_queue(&vhost.name, FieldTable::default()).await?;
        connection.close().await;
    }

    let urls = format!("{},{}", one.amqp_url, two.amqp_url);
    let urls: BrokerUrl = urls.parse().map_err(anyhow::Error::msg)?;
    let first = connection(&urls).await?;
    let second = connection(&urls).await?;
    for connection in [&first, &second] {
        let there = channel(connection).await?.depth(&one.name).await;
        let there = there.map(|depth| depth.messages);
        assert_eq!(there, Ok(0), "all to the same one");
    }
    for connection in [first, second] {
        connection.close().await;
    }
    let third = connection(&urls).await?;
    assert_eq!(channel(&third).await?.depth(&two.name).await, Ok(QueueDepth::default()));
    Ok(())
}

async fn connection(url: &BrokerUrl) -> anyhow::Result<Connection> {
    Connection::open(url, "test", 128 << 10).await
}

async fn channel(connection: &Connection) -> anyhow::Result<Channel> {
    Ok(Channel::open(connection).await?)
}

/// A server with the table `written` and a role that writes to it.
async fn server() -> anyhow::Result<PostgresServer> {
    let server = PostgresServer::start_temporary().await?;
    let sql = connect(&server.url("postgres")).await?;
    sql.batch_execute(
        "CREATE TABLE written (); CREATE ROLE app LOGIN PASSWORD 'app'; GRANT INSERT, SELECT ON written TO app",
    )
    .await?;
    Ok(server)
}

async fn set_read_only(server: &PostgresServer, to: &str) -> anyhow::Result<()> {
    let sql = connect(&server.url("postgres")).await?;
    sql.batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {to}")).await?;
    sql.batch_execute("SELECT pg_reload_conf()").await?;
    let app = server.access().url_as("app", "app", "postgres");
    // Each session reloads the settings before its next statement; this one shows that they are in
    // effect.
    until(async || {
        let row = connect(&app).await?.query_one("SHOW transaction_read_only", &[]).await?;
        Ok((row.get::<_, &str>(0) == to).then_some(()))
    })
    .await
}

async fn rows(server: &PostgresServer) -> anyhow::Result<i64> {
    let sql = connect(&server.url("postgres")).await?;
    Ok(sql.query_one("SELECT count(*) FROM written", &[]).await?.get(0))
}

#[tokio::test]
async fn a_pool_passes_over_servers_that_are_silent_or_read_only_and_follows_a_switch()
-> anyhow::Result<()> {
    let (first, second) = tokio::try_join!(server(), server())?;
    set_read_only(&second, "on").await?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let ports = [silent.local_addr()?.port(), second.access().port, first.access().port];
    let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let url: DatabaseUrl = format!(
        "postgres://app:app@{hosts}/postgres?target_session_attrs=read-write&connect_timeout=3"
    )
    .parse()
    .map_err(anyhow::Error::msg)?;
    let limit = Duration::from_secs(5);
    let args = PoolArgs {
        database_pool_size: 2,
        database_pool_wait: PATIENCE,
        database_statement_timeout: limit,
        database_prepared_statements: PreparedStatements::Auto,
    };
    let database = Database::new(Pool::new(&url, &args, "test")?, limit);
    let write = async || {
        database
            .write("insert", async |connection| {
                connection.execute("INSERT INTO written DEFAULT VALUES", &[]).await
            })
            .await
    };
    write().await?;
    assert_eq!((rows(&first).await?, rows(&second).await?), (1, 0));

    // As in a switchover in which sessions survive.
    set_read_only(&first, "on").await?;
    set_read_only(&second, "off").await?;
    let refused = write().await;
    assert!(matches!(refused, Err(DatabaseError::Unavailable(_))), "{refused:?}");
    write().await?;
    assert_eq!((rows(&first).await?, rows(&second).await?), (1, 1));

    set_read_only(&second, "on").await?;
    until(async || match write().await {
        Err(DatabaseError::Unavailable(reason)) => Ok((reason.matches("127.0.0.1:").count() == 3
            && reason.contains("it does not answer within 3s")
            && reason.matches("database does not allow writes").count() == 2)
            .then_some(())),
        other => anyhow::bail!("{other:?}"),
    })
    .await
}
