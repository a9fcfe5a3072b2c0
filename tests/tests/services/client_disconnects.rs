//! Clients that disconnect: a write is completed, a read is cancelled, and neither affects other
//! clients.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use pipeline_tests::blocked_order::PATIENT;
use pipeline_tests::customer_api::CustomerApi;
use pipeline_tests::disconnecting_client::{send_request, until_waiting, waiting_for};
use pipeline_tests::order_api::{CUSTOMER, OrderApi, count, status};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::{PATIENCE, connect};
use serde_json::json;
use stack::Database;
use tokio::time::timeout;
use tokio_postgres::Client;

/// A statement timeout longer than any test: a client that waits for the statement fails the test.
fn patient(more: &[&'static str]) -> Vec<&'static str> {
    let mut settings = PATIENT.to_vec();
    settings[5] = "10m";
    settings.extend(more);
    settings
}

/// Other clients create, read and list orders.
async fn others_are_served(api: &OrderApi, id: &str) -> anyhow::Result<()> {
    let served = async {
        for _ in 0..3 {
            try_join_all((0..6).map(|_| api.create())).await?;
            for path in [format!("/api/orders/{id}"), "/api/orders".to_owned()] {
                let answer = api.get(&path).await?;
                ensure!(answer.status() == 200, "{path}: {}", answer.text().await?);
            }
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, served).await.context("others wait")?
}

#[tokio::test]
async fn a_change_is_seen_through_though_its_client_hung_up_and_nobody_waits_behind_it()
-> anyhow::Result<()> {
    let api = OrderApi::start_with(&patient(&["--database-pool-size", "2"])).await?;
    let mut sql = api.sql().await?;
    let watching = api.sql().await?;
    let id = api.create().await?;
    others_are_served(&api, &id).await?;

    let lock = sql.transaction().await?;
    lock.execute("SELECT FROM orders WHERE id = $1::text::uuid FOR UPDATE", &[&id]).await?;
    let body = json!({"order": {"status": "processing"}});
    let client = send_request(&api.url, "PATCH", &format!("/api/orders/{id}"), Some(&body)).await?;
    until_waiting(&watching, "Lock", 1).await?;
    drop(client);
    others_are_served(&api, &id).await?;
    assert_eq!(waiting_for(&watching, "Lock").await?, 1, "the change was given up");
    lock.rollback().await?;
    eventually("it is made", async || Ok(status(&sql, &id).await? == "processing")).await?;
    let events = "SELECT count(*) FROM outbox WHERE event_type = 'order.processing'";
    assert_eq!(sql.query_one(events, &[]).await?.get::<_, i64>(0), 1);
    Ok(())
}

#[tokio::test]
async fn a_stop_waits_for_the_change_of_a_client_who_hung_up() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&patient(&["--shutdown-grace", "60s"])).await?;
    let mut sql = api.sql().await?;
    let watching = api.sql().await?;
    let id = api.create().await?;
    let lock = sql.transaction().await?;
    lock.execute("SELECT FROM orders WHERE id = $1::text::uuid FOR UPDATE", &[&id]).await?;
    let body = json!({"order": {"status": "processing"}});
    let client = send_request(&api.url, "PATCH", &format!("/api/orders/{id}"), Some(&body)).await?;
    until_waiting(&watching, "Lock", 1).await?;
    drop(client);
    let letting_go = async {
        // The service has closed its port, so it is stopping.
        let peer = api.url.trim_start_matches("http://").to_owned();
        api.sigterm()?;
        while tokio::net::TcpStream::connect(&peer).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        lock.rollback().await?;
        anyhow::Ok(())
    };
    letting_go.await?;
    api.ended_well().await?;
    assert_eq!(status(&watching, &id).await?, "processing");
    Ok(())
}

/// A service on a database where reading one customer's orders is slow.
struct SlowReads {
    api: OrderApi,
    sql: Client,
    _database: Database,
}

impl SlowReads {
    async fn of(seconds: f64) -> anyhow::Result<Self> {
        let database = stack::shared().await?.database("slow").await?;
        let migrating = OrderApi::launch(&database.url, &[]).await?;
        migrating.ready().await?;
        migrating.stop().await?;
        let sql = connect(&database.url).await?;
        // Row-level security applies to roles other than the table's owner.
        let role = format!("{}_slow", database.name);
        sql.batch_execute(&format!(
            "INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
             VALUES (gen_random_uuid(), '{SLOW}', 'Laptop', 1, 1200, 'Cra 7');
             CREATE FUNCTION slowly(customer uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 IF customer = '{SLOW}' THEN PERFORM pg_sleep({seconds}); END IF;
                 RETURN true;
             END $$;
             ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
             CREATE POLICY everybody ON orders USING (slowly(customer_public_id)) WITH CHECK (true);
             CREATE ROLE {role} LOGIN PASSWORD 'slow';
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .await?;
        let (_, address) = database.url.split_once('@').context("an address")?;
        let url = format!("postgres://{role}:slow@{address}");
        let api = OrderApi::launch(&url, &patient(&["--database-pool-size", "2"])).await?;
        api.ready().await?;
        Ok(Self { api, sql, _database: database })
    }
}

/// The customer whose orders are slow to read.
const SLOW: &str = "99999999-9999-9999-9999-999999999999";

fn slow_list() -> String {
    format!("/api/orders?customer_public_id={SLOW}")
}

#[tokio::test]
async fn a_read_whose_client_hung_up_is_given_up() -> anyhow::Result<()> {
    let SlowReads { api, sql, _database } = SlowReads::of(600.0).await?;
    for _ in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..12 {
            clients.push(send_request(&api.url, "GET", &slow_list(), None).await?);
        }
        until_waiting(&sql, "PgSleep", 2).await?;
        drop(clients);
        until_waiting(&sql, "PgSleep", 0).await?;
        let list = format!("/api/orders?customer_public_id={CUSTOMER}");
        let answer = timeout(PATIENCE, api.get(&list)).await.context("others wait")??;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_hang_up_cancels_no_other_clients_statement() -> anyhow::Result<()> {
    // Slow enough for a client to disconnect at any moment of the statement, including its end.
    let SlowReads { api, _database, .. } = SlowReads::of(0.002).await?;
    let list = format!("/api/orders?customer_public_id={CUSTOMER}");
    let hanging_up = async {
        for round in 0..600_u64 {
            let client = send_request(&api.url, "GET", &slow_list(), None).await?;
            tokio::time::sleep(Duration::from_micros(round * 13 % 7000)).await;
            drop(client);
        }
        anyhow::Ok(())
    };
    let mut hanging_up = std::pin::pin!(hanging_up);
    let mut answers = 0;
    loop {
        let answer = tokio::select! {
            done = &mut hanging_up => break done?,
            answer = api.get(&list) => answer?,
        };
        ensure!(answer.status() == 200, "after {answers}: {}", answer.text().await?);
        answers += 1;
    }
    ensure!(answers > 50, "only {answers} others");
    Ok(())
}

#[tokio::test]
async fn changes_that_wait_make_nobody_else_wait_nor_the_service_unready() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&patient(&["--database-pool-size", "2"])).await?;
    let mut sql = api.sql().await?;
    let watching = api.sql().await?;
    let (id, other) = (api.create().await?, api.create().await?);
    let lock = sql.transaction().await?;
    lock.execute("SELECT FROM orders WHERE id = $1::text::uuid FOR UPDATE", &[&id]).await?;
    let body = json!({"order": {"status": "processing"}});
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(
            send_request(&api.url, "PATCH", &format!("/api/orders/{id}"), Some(&body)).await?,
        );
    }
    until_waiting(&watching, "Lock", 2).await?;
    let served = async {
        let ready = format!("{}/readyz", api.ops_url);
        for _ in 0..5 {
            api.create().await?;
            assert_eq!(api.get(&format!("/api/orders/{other}")).await?.status(), 200);
            assert_eq!(api.http.get(&ready).send().await?.status(), 200);
            // The next readiness probe.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, served).await.context("others wait")??;
    lock.rollback().await?;
    eventually("it is made", async || Ok(status(&sql, &id).await? == "processing")).await?;
    drop(clients);
    Ok(())
}

#[tokio::test]
async fn a_customer_is_made_though_the_client_hung_up() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("customers").await?;
    let api = CustomerApi::start(&database.url, &["--database-statement-timeout", "10m"]).await?;
    let mut sql = connect(&database.url).await?;
    let watching = connect(&database.url).await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE customers IN SHARE MODE").await?;
    let body = json!({"customer": {"name": "Ana", "address": "Calle 1"}});
    let client = send_request(&api.url, "POST", "/api/customers", Some(&body)).await?;
    until_waiting(&watching, "Lock", 1).await?;
    drop(client);
    assert_eq!(api.get("/api/customers").await?.status(), 200);
    lock.rollback().await?;
    let made = "customers WHERE name = 'Ana'";
    eventually("the customer is there", async || Ok(count(&watching, made).await? == 1)).await
}
