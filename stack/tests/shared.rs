//! The shared servers, as tests of the pipeline use them.

use tokio_postgres::NoTls;

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("the URL was just handed out");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn two_databases_of_one_hint_are_distinct_and_empty() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (one, two) = tokio::try_join!(servers.database("orders"), servers.database("orders"))?;
    assert_ne!(one.url, two.url);

    connect(&one.url).await.batch_execute("CREATE TABLE only_here ()").await?;
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'";
    let in_two: i64 = connect(&two.url).await.query_one(tables, &[]).await?.get(0);
    assert_eq!(in_two, 0);
    Ok(())
}

#[tokio::test]
async fn a_dropped_database_is_gone_soon_even_while_someone_is_connected() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (kept, dropped) = (servers.database("kept").await?, servers.database("dropped").await?);
    let _connected = connect(&dropped.url).await;
    let name = dropped.name.clone();
    drop(dropped);

    let client = connect(&kept.url).await;
    let find = "SELECT FROM pg_database WHERE datname = $1";
    for _ in 0..200 {
        if client.query_opt(find, &[&name]).await?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{name} is still there after 10 s");
}

#[tokio::test]
async fn the_shared_server_skips_fsync_and_temporary_ones_do_not() -> anyhow::Result<()> {
    let shared = stack::shared().await?.database("settings").await?;
    assert_eq!(durability(&shared.url).await?, ["off", "on", "on"]);
    let temporary = stack::PostgresServer::start_temporary().await?;
    assert_eq!(durability(&temporary.url("postgres")).await?, ["on", "on", "on"]);
    Ok(())
}

async fn durability(url: &str) -> anyhow::Result<Vec<String>> {
    let client = connect(url).await;
    let mut values = Vec::new();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        values.push(client.query_one(&format!("SHOW {setting}"), &[]).await?.get(0));
    }
    Ok(values)
}

#[tokio::test]
async fn a_virtual_host_is_reachable_by_its_management_url_and_gone_after_drop()
-> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let vhost = servers.vhost("relay").await?;
    let management = stack::Management::new(&vhost.management_url)?;
    let path = format!("/api/queues/{}", vhost.name);
    assert_eq!(management.get(&path).await?, Some(serde_json::json!([])));

    drop(vhost);
    for _ in 0..200 {
        // RabbitMQ answers 500 during the deletion.
        if let Ok(None) = management.get(&path).await {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the virtual host is still there after 10 s");
}
