//! Limits of the platform: no database connection is left, no file descriptor is left.

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::{ConsumerFixture, order_created};
use pipeline_tests::metrics::shows;
use pipeline_tests::order_api::{OrderApi, accepted, order};
use pipeline_tests::outbox::{Outbox, connect, eventually};
use pipeline_tests::pipeline::{PATIENCE, address, ready};
use pipeline_tests::raw_http::connect_to;
use pipeline_tests::readiness::of_postgresql;
use pipeline_tests::service_role::Migrated;
use stack::{Database, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

const ORDER_ROLES: &str = include_str!("../../../sql/order/roles.sql");
const CUSTOMER_ROLES: &str = include_str!("../../../sql/customer/roles.sql");

/// Sets how many sessions the database has for roles that are no superuser, as `max_connections`
/// does for a whole server.
async fn limit_connections(database: &Database, connections: i32) -> anyhow::Result<()> {
    let sql = connect(&database.url).await?;
    let limit = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT {connections}", database.name);
    Ok(sql.batch_execute(&limit).await?)
}

/// Waits until the program says why it is not ready, makes room, and waits until it is.
async fn waits_for_room(program: &Service, database: &Database) -> anyhow::Result<()> {
    let mut said = String::new();
    eventually("the reason is told", async || {
        let (is_ready, reason) = of_postgresql(program).await?;
        said = reason;
        Ok(!is_ready && said.contains("too many connections for database"))
    })
    .await
    .with_context(|| format!("it says {said:?}: {}", program.log()))?;
    ensure!(program.is_running(), "{}", program.last_lines());
    limit_connections(database, -1).await?;
    ready(program).await
}

#[tokio::test]
async fn an_order_service_that_gets_no_connection_waits_for_one() -> anyhow::Result<()> {
    let migrated = Migrated::by("order-service").await?;
    migrated.owner.batch_execute(ORDER_ROLES).await?;
    let url = migrated.database.url_as("order_service").await?;
    limit_connections(&migrated.database, 0).await?;
    let settings = ["--customer-check", "off", "--migrate-on-start", "false"];
    let api = OrderApi::launch(&url, &settings).await?;
    waits_for_room(api.service(), &migrated.database).await?;
    api.create().await?;

    // As many as there are, fewer than the pool would have.
    limit_connections(&migrated.database, 4).await?;
    for _ in 0..5 {
        api.create().await?;
    }
    api.stop().await
}

#[tokio::test]
async fn a_relay_that_gets_no_connection_waits_for_one() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;
    limit_connections(&outbox.database, 0).await?;
    let relay = outbox.relay_process(&[]).await?;
    waits_for_room(&relay, &outbox.database).await?;
    outbox.all_published().await.with_context(|| relay.log())
}

#[tokio::test]
async fn a_consumer_that_gets_no_connection_waits_for_one() -> anyhow::Result<()> {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.sql.batch_execute(CUSTOMER_ROLES).await?;
    fixture.publish(&order_created(Uuid::now_v7(), customer)).await?;
    let url = fixture.database.url_as("customer_consumer").await?;
    limit_connections(&fixture.database, 0).await?;
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("MIGRATE_ON_START", "false"),
        ("RABBITMQ_MAX_RETRIES", "0"),
    ];
    let consumer = fixture.consumer_process(&settings).await?;
    waits_for_room(&consumer, &fixture.database).await?;
    fixture.counted(customer, 1).await
}

/// An order service whose process may have this many files open, and its database.
async fn with_few_files(files: u32) -> anyhow::Result<(Service, Database)> {
    let database = stack::shared().await?.database("files").await?;
    let program = stack::binary("order-service").await?;
    let script = format!("ulimit -n {files} && exec \"$@\"");
    let program = program.to_str().context("a path in UTF-8")?;
    let arguments = ["-c", script.as_str(), "sh", program, "serve"];
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("CUSTOMER_CHECK", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let service = Service::spawn("/bin/sh", arguments, settings).await?;
    ready(&service).await?;
    Ok((service, database))
}

/// Asks `/up` on an open connection and reads the beginning of the answer.
async fn is_served(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(b"GET /up HTTP/1.1\r\nhost: h\r\n\r\n").await?;
    let mut answer = [0; 1024];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.context("no answer")??;
    let answer = String::from_utf8_lossy(&answer[..read]);
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_service_without_a_file_descriptor_serves_who_is_there_and_then_all() -> anyhow::Result<()>
{
    let (service, _database) = with_few_files(64).await?;
    let url = address(&service, "HTTP port is open").await?;
    let http = stack::http_client()?;
    let post = || http.post(format!("{url}/api/orders")).json(&order()).send();
    accepted(post().await?).await?;
    let mut early = connect_to(&url).await?;
    is_served(&mut early).await?;

    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(connect_to(&url).await?);
    }
    service.wait_for_line("can't accept a connection", PATIENCE).await?;
    is_served(&mut early).await.with_context(|| service.last_lines())?;
    ensure!(service.is_running(), "{}", service.last_lines());

    drop(crowd);
    eventually("it takes connections again", async || {
        is_served(&mut connect_to(&url).await?).await?;
        Ok(true)
    })
    .await?;
    accepted(post().await?).await?;
    shows(&service, &["database_pool_waiting 0"]).await
}
