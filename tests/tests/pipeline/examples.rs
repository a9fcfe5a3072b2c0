//! Services of others use the outbox with one INSERT: runs the programs in `examples/`.

use std::process::Output;

use anyhow::ensure;
use lapin::message::BasicGetMessage;
use pipeline_tests::example::{Example, build_rust};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use serde_json::{Value, json};
use stack::Service;
use tokio::task::spawn_blocking;

/// An outbox with a queue for `key`, and a user with the privileges to write events and those in
/// `grants`.
async fn outbox_for(key: &str, tables: &str, grants: &str) -> anyhow::Result<(Outbox, String)> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", key).await?;
    let path = stack::root().join("examples").join(tables);
    outbox.sql.batch_execute(&std::fs::read_to_string(&path)?).await?;
    outbox.sql.batch_execute(&format!("GRANT {grants} TO outbox_writer")).await?;
    let url = outbox.database.url_as("outbox_writer").await?;
    Ok((outbox, url))
}

fn succeeded(output: &Output) -> anyhow::Result<()> {
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", output.status);
    Ok(())
}

/// Checks that the example failed with an error after it had written its event.
async fn refused(outbox: &Outbox, output: &Output, why: &str) -> anyhow::Result<()> {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("nothing was saved") && said.contains(why), "{said}");
    // Sequence values are not returned: an event that was written and rolled back leaves a gap.
    let gap = "SELECT s.last_value - (SELECT max(id) FROM outbox) FROM pg_sequences AS s \
               WHERE s.sequencename = 'outbox_id_seq'";
    assert_eq!(outbox.count(gap, &[]).await?, 1, "the event was written and taken back");
    Ok(())
}

/// While another session holds the aggregate's row by `lock`, the example waits and has not written
/// its event.
async fn waits_its_turn<const N: usize>(
    outbox: &Outbox,
    lock: &str,
    example: &Example,
    url: &str,
    arguments: [&'static str; N],
) -> anyhow::Result<()> {
    let drawn = "SELECT last_value FROM pg_sequences WHERE sequencename = 'outbox_id_seq'";
    let before = outbox.count(drawn, &[]).await?;
    let other = connect(&outbox.database.url).await?;
    other.batch_execute(&format!("BEGIN; {lock}")).await?;
    let (example, url) = (example.clone(), url.to_owned());
    let running = spawn_blocking(move || example.run(&url, &arguments));
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND usename = 'outbox_writer' AND wait_event_type = 'Lock'";
    eventually("the example waits", async || Ok(outbox.count(waiting, &[]).await? == 1)).await?;
    assert_eq!(outbox.count(drawn, &[]).await?, before, "its event has to come after the other's");
    other.batch_execute("COMMIT").await?;
    succeeded(&running.await??)
}

/// Waits for `count` messages. Returns routing key, aggregate and data of each.
async fn arrived(outbox: &Outbox, count: usize) -> anyhow::Result<Vec<(String, String, Value)>> {
    let mut messages = Vec::new();
    eventually("all events have arrived", async || {
        messages.extend(outbox.take_all("all").await?);
        Ok(messages.len() >= count && outbox.pending().await? == 0)
    })
    .await?;
    messages.iter().map(described).collect()
}

fn described(message: &BasicGetMessage) -> anyhow::Result<(String, String, Value)> {
    let body: Value = serde_json::from_slice(&message.delivery.data)?;
    let aggregate = pipeline_tests::outbox::aggregate_id(message)?;
    Ok((message.delivery.routing_key.to_string(), aggregate, body["data"].clone()))
}

#[tokio::test]
async fn a_python_service_saves_an_invoice_with_its_event_or_neither() -> anyhow::Result<()> {
    let example = Example::python(env!("CARGO_TARGET_TMPDIR"))?;
    let grants = "SELECT, INSERT, UPDATE ON invoices";
    let (outbox, url) = outbox_for("invoice.*", "python/invoices.sql", grants).await?;
    let relay = outbox.relay_process(&[]).await?;

    succeeded(&example.run(&url, &["issue", "4711", "100.00"])?)?;
    succeeded(&example.run(&url, &["pay", "4711", "60.00"])?)?;
    let too_much = example.run(&url, &["pay", "4711", "60.01"])?;
    refused(&outbox, &too_much, "violates check constraint").await?;
    let unknown = example.run(&url, &["pay", "4712", "1.00"])?;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let lock = "SELECT FROM invoices WHERE number = 4711 FOR UPDATE";
    waits_its_turn(&outbox, lock, &example, &url, ["pay", "4711", "40.00"]).await?;

    let event = |kind: &str, amount: &str| {
        let data = json!({"amount": amount, "invoice": "4711"});
        (kind.to_owned(), "4711".to_owned(), data)
    };
    assert_eq!(
        arrived(&outbox, 3).await?,
        [
            event("invoice.issued", "100.00"),
            event("invoice.paid", "60.00"),
            event("invoice.paid", "40.00")
        ],
        "{}",
        relay.last_lines()
    );
    let paid = "SELECT count(*) FROM invoices WHERE number = 4711 AND paid = 100.00";
    assert_eq!(outbox.count(paid, &[]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_node_service_saves_a_change_of_stock_with_its_event_or_neither() -> anyhow::Result<()> {
    let example = Example::node(env!("CARGO_TARGET_TMPDIR"))?;
    let grants = "SELECT, INSERT, UPDATE ON stock, picks";
    let (outbox, url) = outbox_for("stock.*", "node/stock.sql", grants).await?;
    let relay = outbox.relay_process(&[]).await?;

    succeeded(&example.run(&url, &["receive", "chair", "5"])?)?;
    succeeded(&example.run(&url, &["pick", "chair", "2", "order-1"])?)?;
    let picked_before = example.run(&url, &["pick", "chair", "1", "order-1"])?;
    refused(&outbox, &picked_before, "duplicate key").await?;
    let too_many = example.run(&url, &["pick", "chair", "4", "order-2"])?;
    assert_eq!(too_many.status.code(), Some(1), "{too_many:?}");
    let lock = "SELECT FROM stock WHERE item = 'chair' FOR UPDATE";
    waits_its_turn(&outbox, lock, &example, &url, ["receive", "chair", "1"]).await?;
    waits_its_turn(&outbox, lock, &example, &url, ["pick", "chair", "3", "order-3"]).await?;

    let event = |kind: &str, data: Value| (kind.to_owned(), "chair".to_owned(), data);
    assert_eq!(
        arrived(&outbox, 4).await?,
        [
            event("stock.received", json!({"item": "chair", "quantity": 5})),
            event("stock.picked", json!({"item": "chair", "quantity": 2, "order": "order-1"})),
            event("stock.received", json!({"item": "chair", "quantity": 1})),
            event("stock.picked", json!({"item": "chair", "quantity": 3, "order": "order-3"}))
        ],
        "{}",
        relay.last_lines()
    );
    let left = "SELECT on_hand::bigint FROM stock WHERE item = 'chair'";
    assert_eq!(outbox.count(left, &[]).await?, 1);
    assert_eq!(outbox.count("SELECT count(*) FROM picks", &[]).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_rust_service_saves_a_shipment_with_its_event_or_neither() -> anyhow::Result<()> {
    let program = build_rust(env!("CARGO_TARGET_TMPDIR"))?;
    let grants = "SELECT, INSERT, UPDATE ON shipments, inbox";
    let (outbox, url) = outbox_for("shipment.*", "rust/shipments.sql", grants).await?;
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("RABBITMQ_URL", &outbox.vhost.amqp_url),
        ("LISTEN_ADDR", "127.0.0.1:0"),
    ];
    let service = Service::spawn(program, [""; 0], environment).await?;
    let line = service.wait_for_line("listening on ", PATIENCE).await?;
    let address = line.replace("listening on ", "");
    let client = stack::http_client()?;
    let create = async |order: &str| {
        let shipment = json!({"order": order, "address": "Cali"});
        let answer = client.post(format!("{address}/shipments")).json(&shipment).send().await?;
        anyhow::Ok(answer.status().as_u16())
    };

    assert_eq!(create("order-1").await?, 201);
    assert_eq!(create("order-1").await?, 409);
    outbox.sql.batch_execute("REVOKE INSERT ON outbox FROM outbox_writer").await?;
    assert_eq!(create("order-2").await?, 503);
    let shipments = "SELECT count(*) FROM shipments";
    assert_eq!(outbox.count(shipments, &[]).await?, 1, "none without its event");
    outbox.sql.batch_execute("GRANT INSERT ON outbox TO outbox_writer").await?;
    assert_eq!(create("order-2").await?, 201);

    let relay = outbox.relay_process(&[]).await?;
    let mut arrived = arrived(&outbox, 2).await?;
    arrived.sort_by(|one, other| one.1.cmp(&other.1));
    let event = |order: &str| {
        let data = json!({"address": "Cali", "order": order});
        ("shipment.created".to_owned(), order.to_owned(), data)
    };
    assert_eq!(arrived, [event("order-1"), event("order-2")], "{}", relay.last_lines());
    service.sigterm()?;
    let status = service.wait_exit(PATIENCE).await?;
    ensure!(status.success(), "{status}: {}", service.last_lines());
    Ok(())
}
