//! Temporary servers, stopped and restarted.

use serde_json::json;
use stack::{Management, PostgresServer, RabbitServer};
use tokio_postgres::NoTls;

async fn connect(url: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn what_postgres_committed_survives_every_way_of_stopping() -> anyhow::Result<()> {
    let mut server = PostgresServer::start_temporary().await?;
    let database = server.database("faults").await?;
    let client = connect(&database.url).await?;
    client.batch_execute("CREATE TABLE committed (stopped text)").await?;

    for way in ["gracefully", "immediately", "killed"] {
        let client = connect(&database.url).await?;
        client.execute("INSERT INTO committed VALUES ($1)", &[&way]).await?;
        match way {
            "gracefully" => server.stop_gracefully().await?,
            "immediately" => server.stop_immediately().await?,
            _ => server.kill().await?,
        }
        assert!(server.process().is_none());
        assert!(connect(&database.url).await.is_err(), "stopped {way}, yet it answers");
        server.start().await?;
    }

    let client = connect(&database.url).await?;
    let count: i64 = client.query_one("SELECT count(*) FROM committed", &[]).await?.get(0);
    assert_eq!(count, 3);
    Ok(())
}

#[tokio::test]
async fn a_restarted_rabbitmq_keeps_its_ports_and_durable_queues() -> anyhow::Result<()> {
    let mut server = RabbitServer::start_temporary().await?;
    let vhost = server.vhost("faults").await?;
    let management = Management::new(&vhost.management_url)?;
    let queue = format!("/api/queues/{}/orders", vhost.name);
    let quorum = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    management.put(&queue, &quorum).await?;

    for graceful in [true, false] {
        let before = server.access().amqp_url(&vhost.name);
        if graceful {
            server.stop_gracefully().await?;
        } else {
            server.kill().await?;
        }
        assert!(server.process().is_none());
        assert!(management.get("/api/overview").await.is_err());

        server.start().await?;
        assert_eq!(before, server.access().amqp_url(&vhost.name));
        assert!(management.get(&queue).await?.is_some(), "graceful: {graceful}");
    }
    Ok(())
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_and_no_folder() -> anyhow::Result<()> {
    let server = PostgresServer::start_temporary().await?;
    let process = server.process().cloned().expect("it was just started");
    let folder = server.log().parent().expect("the log lies in the server's folder").to_owned();
    assert!(folder.exists());
    drop(server);
    assert!(!process.is_alive());
    assert!(!folder.exists());
    Ok(())
}
