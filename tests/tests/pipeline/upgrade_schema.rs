//! Upgrades without downtime: programs on a newer schema, and on an older one.

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::order_api::{CUSTOMER, accepted, order};
use pipeline_tests::pipeline::{
    PATIENCE, Pipeline, address, connect, orders_count, ready, start_customer_api,
    start_order_service, start_relay,
};
use pipeline_tests::relay_command::outbox_relay;
use refinery::{Migration, Runner, Target};
use serde_json::{Value, json};
use service_kit::postgres::migrate;
use stack::Service;

/// Changes that a later release may make to the order database: additions that older programs can
/// ignore.
const LATER_ORDERS: &str = "
    ALTER TABLE orders ADD COLUMN note text, ADD COLUMN currency text NOT NULL DEFAULT 'USD';
    ALTER TABLE idempotency_keys ADD COLUMN caller text;
    ALTER TABLE outbox ADD COLUMN tenant text, ADD COLUMN region text NOT NULL DEFAULT 'eu';
    CREATE INDEX orders_by_day ON orders (created_at);
    CREATE INDEX outbox_by_tenant ON outbox (tenant) WHERE published_at IS NULL;
    CREATE TABLE order_lines (order_id uuid NOT NULL REFERENCES orders (id), product_name text NOT NULL);
    CREATE VIEW outbox_by_region AS SELECT region, count(*) AS events FROM outbox GROUP BY region";

/// The same for the customer database.
const LATER_CUSTOMERS: &str = "
    ALTER TABLE customers ADD COLUMN email text, ADD COLUMN cancelled_count bigint NOT NULL DEFAULT 0;
    ALTER TABLE processed_events ADD COLUMN effect text NOT NULL DEFAULT 'orders_count';
    CREATE INDEX customers_by_email ON customers (email);
    CREATE TABLE processed_payments (event_id uuid PRIMARY KEY, customer_id uuid REFERENCES customers (id))";

/// Applies these migrations, as a program that contains them does.
async fn apply(database: &str, migrations: Runner) -> anyhow::Result<()> {
    let url = database.parse().map_err(anyhow::Error::msg)?;
    migrate(&url, migrations).await?;
    Ok(())
}

async fn make_later(database: &str, sql: &str) -> anyhow::Result<()> {
    apply(database, Runner::new(&[Migration::unapplied("V999__of_a_later_release", sql)?])).await
}

async fn place(order_url: &str) -> anyhow::Result<Value> {
    let calls = stack::http_client()?;
    accepted(calls.post(format!("{order_url}/api/orders")).json(&order()).send().await?).await
}

async fn counted(customer_url: &str, orders: i64) -> anyhow::Result<()> {
    let count = until(async || {
        let count = orders_count(customer_url, CUSTOMER).await?;
        Ok((count >= orders).then_some(count))
    });
    ensure!(count.await.context("all orders are counted")? == orders, "counted twice");
    Ok(())
}

/// Uses every function of the order service once.
async fn use_everything(order_url: &str) -> anyhow::Result<()> {
    let id = place(order_url).await?["id"].as_str().context("an id")?.to_owned();
    let calls = stack::http_client()?;
    let one = format!("{order_url}/api/orders/{id}");
    let change = json!({"order": {"status": "processing"}});
    for (call, expected) in [
        (calls.patch(&one).json(&change), "processing"),
        (calls.get(&one), "Juan Perez"),
        (calls.get(format!("{order_url}/api/orders?status=processing&limit=1")), id.as_str()),
        (calls.get(format!("{order_url}/api/orders?customer_public_id={CUSTOMER}&limit=1")), &id),
    ] {
        let told = call.send().await?.error_for_status()?.text().await?;
        ensure!(told.contains(expected), "{expected} is not in {told}");
    }
    for _ in 0..2 {
        let once = calls.post(format!("{order_url}/api/orders")).header("idempotency-key", &id);
        accepted(once.json(&order()).send().await?).await?;
    }
    Ok(())
}

/// The number of orders that [`use_everything`] creates.
const MADE: i64 = 2;

async fn replace(old: &Service, new: Service) -> anyhow::Result<Service> {
    old.sigkill()?;
    old.wait_exit(PATIENCE).await?;
    ready(&new).await?;
    new.wait_for_line("the database's schema is newer than this program", PATIENCE).await?;
    Ok(new)
}

#[tokio::test]
async fn programs_go_on_and_start_again_on_the_schema_of_a_later_release() -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start().await?;
    // With all statements prepared before the schema changes.
    use_everything(&pipeline.order_url).await?;
    counted(&pipeline.customer_url, MADE).await?;

    make_later(&pipeline.orders.url, LATER_ORDERS).await?;
    make_later(&pipeline.customers.url, LATER_CUSTOMERS).await?;
    use_everything(&pipeline.order_url).await?;
    counted(&pipeline.customer_url, 2 * MADE).await?;

    // A program that crashes during the upgrade restarts in the old version.
    let api = start_customer_api(&pipeline.customers.url).await?;
    pipeline.customer_api = replace(&pipeline.customer_api, api).await?;
    let customer_url = address(&pipeline.customer_api, "HTTP port is open").await?;
    let service = start_order_service(&pipeline.orders.url, &customer_url).await?;
    pipeline.order_service = replace(&pipeline.order_service, service).await?;
    let order_url = address(&pipeline.order_service, "HTTP port is open").await?;
    pipeline.crash_relay().await?;
    pipeline.crash_consumer().await?;
    use_everything(&order_url).await?;
    counted(&customer_url, 3 * MADE).await?;

    let urls = [
        ("DATABASE_URL", pipeline.relay_url.as_str()),
        ("RABBITMQ_URL", pipeline.broker.amqp_url.as_str()),
    ];
    let checked = outbox_relay(&["check"], &urls).await?;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    Ok(())
}

/// Starts `program` as in a deployment with a separate migration job.
async fn start(program: &str, role: &str, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
    let usual = [
        ("MIGRATE_ON_START", "false"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("CUSTOMER_CHECK", "off"),
    ];
    let settings = usual.iter().chain(settings).copied();
    Service::spawn(stack::binary(program).await?, [role], settings).await
}

#[tokio::test]
async fn programs_that_come_before_their_schema_wait_for_it_and_lose_nothing() -> anyhow::Result<()>
{
    let servers = stack::shared().await?;
    let orders = servers.database("orders").await?;
    let customers = servers.database("customers").await?;
    let broker = servers.vhost("upgrade").await?;
    // As before several relays could share an outbox, and before counted events had a retention.
    let before = order_service::schema::migrations().set_target(Target::Version(2));
    apply(&orders.url, before).await?;
    let before = customer_service::schema::migrations().set_target(Target::Version(1));
    apply(&customers.url, before).await?;
    let seed = include_str!("../../../sql/customer/queries/seed_customers.sql");
    connect(&customers.url).await?.execute(seed, &[]).await?;

    let broker = ("RABBITMQ_URL", broker.amqp_url.as_str());
    let customer_db = ("DATABASE_URL", customers.url.as_str());
    let api = start("customer-service", "api", &[customer_db]).await?;
    let consumer = start("customer-service", "consumer", &[customer_db, broker]).await?;
    let service = start("order-service", "serve", &[("DATABASE_URL", &orders.url)]).await?;
    for process in [&api, &consumer, &service] {
        ready(process).await?;
    }
    let customer_url = address(&api, "HTTP port is open").await?;
    let order_url = address(&service, "HTTP port is open").await?;
    let relay = start_relay(&orders.url, broker.1).await?;
    relay.wait_for_line("the outbox is not there or not complete", PATIENCE).await?;
    for _ in 0..3 {
        place(&order_url).await?;
    }
    let published = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
    let sql = connect(&orders.url).await?;
    assert_eq!(sql.query_one(published, &[]).await?.get::<_, i64>(0), 0, "the relay waits");

    for (program, database) in [("order-service", &orders), ("customer-service", &customers)] {
        let migrated = start(program, "migrate", &[("DATABASE_URL", &database.url)]).await?;
        let status = migrated.wait_exit(PATIENCE).await?;
        ensure!(status.success(), "{program}: {}", migrated.last_lines());
    }
    place(&order_url).await?;
    counted(&customer_url, 4).await?;
    assert!(relay.is_running(), "{}", relay.last_lines());
    Ok(())
}
