//! The statements of `docs/from-debezium.md`, in the order of the guide: what is written for
//! Debezium is published by the relay, each event once and in order.

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, connect, event_id};
use stack::PostgresServer;
use tokio_postgres::Client;
use uuid::Uuid;

/// Debezium's table, as its documentation has it.
const OUTBOXEVENT: &str = "
    CREATE TABLE outboxevent (
        id uuid PRIMARY KEY,
        aggregatetype varchar(255) NOT NULL,
        aggregateid varchar(255) NOT NULL,
        type varchar(255) NOT NULL,
        payload text
    )";
const WRITE: &str = "INSERT INTO outboxevent VALUES ($1, 'order', '7', $2, $3)";
const PUBLISHED: &str = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";

/// The guide's statements, block by block.
fn of_the_guide() -> anyhow::Result<[String; 7]> {
    let guide = std::fs::read_to_string(stack::root().join("docs/from-debezium.md"))?;
    let blocks = guide.split("\n```sql\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("\n```")?.0.to_owned()));
    let blocks: Vec<String> = blocks.collect();
    blocks.try_into().map_err(|blocks: Vec<_>| anyhow::anyhow!("{} blocks", blocks.len()))
}

/// The service, which may write events and read none.
async fn service(outbox: &Outbox) -> anyhow::Result<Client> {
    let service = connect(&outbox.person("outbox_writer").await?).await?;
    let grant = "GRANT SELECT, INSERT, DELETE ON outboxevent TO outbox_writer";
    outbox.sql.batch_execute(grant).await?;
    Ok(service)
}

/// Writes an event for Debezium. Returns its id.
async fn write(service: &Client, kind: &str, payload: Option<&str>) -> anyhow::Result<Uuid> {
    let id = Uuid::now_v7();
    service.execute(WRITE, &[&id, &kind, &payload]).await?;
    Ok(id)
}

/// What the guide's comparison finds, where Debezium has published these.
async fn differences(
    outbox: &Outbox,
    compare: &str,
    published: &[Uuid],
) -> anyhow::Result<Vec<(Uuid, String)>> {
    let (make, query) = compare.split_once("\\copy").context("it copies a file")?;
    let (_, query) = query.split_once('\n').context("and then compares")?;
    outbox.sql.batch_execute("DROP TABLE IF EXISTS published_by_debezium").await?;
    outbox.sql.batch_execute(make).await?;
    let add = "INSERT INTO published_by_debezium SELECT unnest($1::uuid[])";
    outbox.sql.execute(add, &[&published]).await?;
    let rows = outbox.sql.query(query.trim().trim_end_matches(';'), &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

#[tokio::test]
async fn a_service_of_debezium_moves_to_the_relay_and_away_again() -> anyhow::Result<()> {
    // A server of its own: roles and replication slots belong to the server.
    let server = PostgresServer::start_temporary().await?;
    let vhost = stack::shared().await?.vhost("outbox").await?;
    let outbox = Outbox::on(server.database("shop").await?, vhost).await?;
    let [copy, compare, strict, drop_slot, drop_copy, drop_outbox, drop_roles] = of_the_guide()?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute(OUTBOXEVENT).await?;
    let mut service = service(&outbox).await?;
    let mut relay = outbox.relay(&[])?;

    outbox.sql.batch_execute(&copy).await?;
    let mut written = Vec::new();
    for number in 0..20 {
        written.push(write(&service, "created", Some(&format!("{{\"n\": {number}}}"))).await?);
    }
    written.push(write(&service, "closed", None).await?);
    let deleted_at_once = service.transaction().await?;
    let id = Uuid::now_v7();
    deleted_at_once.execute(WRITE, &[&id, &"shipped", &Some("{}")]).await?;
    deleted_at_once.execute("DELETE FROM outboxevent WHERE id = $1", &[&id]).await?;
    deleted_at_once.commit().await?;
    written.push(id);
    let rolled_back = service.transaction().await?;
    rolled_back.execute(WRITE, &[&Uuid::now_v7(), &"created", &Some("{}")]).await?;
    rolled_back.rollback().await?;
    // The copy fails, and the service goes on.
    let no_json = write(&service, "created", Some("no JSON")).await?;
    relay.until_idle().await?;
    let messages = outbox.take_all("all").await?;
    let published: Vec<Uuid> = messages.iter().map(event_id).collect::<anyhow::Result<_>>()?;
    assert_eq!(published, written, "each once, in order");

    let debezium = [&written[..], &[no_json]].concat();
    let missing = differences(&outbox, &compare, &debezium).await?;
    assert_eq!(missing, [(no_json, "the relay has not published it".to_owned())]);
    let more = differences(&outbox, &compare, &debezium[1..]).await?;
    assert!(more.contains(&(written[0], "Debezium has not published it".to_owned())), "{more:?}");

    outbox.sql.batch_execute(&strict).await?;
    let refused = write(&service, "created", Some("no JSON")).await;
    ensure!(refused.is_err(), "nobody else would publish it");
    let last = write(&service, "created", Some("{}")).await?;
    relay.until_idle().await?;
    assert_eq!(event_id(&outbox.take_all("all").await?[0])?, last);
    assert_eq!(outbox.count(PUBLISHED, &[]).await?, 23);

    let slot = "SELECT FROM pg_create_physical_replication_slot('debezium')";
    outbox.sql.batch_execute(slot).await?;
    outbox.sql.batch_execute("CREATE PUBLICATION dbz_publication FOR TABLE outboxevent").await?;
    outbox.sql.batch_execute(&drop_slot).await?;
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)";
    assert_eq!(outbox.count(left, &[]).await?, 0);
    drop(service);
    outbox.sql.batch_execute(&drop_copy).await?;
    outbox.add("7", "order.created").await?;
    relay.until_idle().await?;

    relay.stop.cancel();
    drop(relay);
    outbox.sql.batch_execute(&drop_outbox).await?;
    outbox.sql.batch_execute(&drop_roles).await?;
    let left = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'outbox%') + (SELECT count(*) FROM pg_class WHERE relname LIKE 'outbox%')";
    assert_eq!(outbox.count(left, &[]).await?, 0);
    Ok(())
}
