//! The services as in a deployment: each logs in as its least-privilege role and migrates nothing.

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use pipeline_tests::blocked_order::KEY;
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::customer_api::CustomerApi;
use pipeline_tests::order_api::{CUSTOMER, OrderApi, accepted, order};
use pipeline_tests::pipeline::connect;
use pipeline_tests::service_role::{Migrated, migrate};
use reqwest::Response;
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const ORDER_ROLES: &str = include_str!("../../../sql/order/roles.sql");
const CUSTOMER_ROLES: &str = include_str!("../../../sql/customer/roles.sql");

type Tested = anyhow::Result<()>;

async fn refuses(session: &Client, statements: &[&str]) -> Tested {
    for statement in statements {
        let error = session.batch_execute(statement).await;
        let error = error.err().with_context(|| format!("it was allowed: {statement}"))?;
        ensure!(error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
    Ok(())
}

async fn show(session: &Client, setting: &str) -> anyhow::Result<String> {
    Ok(session.query_one(&format!("SHOW {setting}"), &[]).await?.get(0))
}

/// The body of a 200.
async fn good(answer: Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(status == 200, "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// An order database with its roles, created twice, and the URL for the order service.
async fn order_database() -> anyhow::Result<(Migrated, String)> {
    let migrated = Migrated::by("order-service").await?;
    for _ in 0..2 {
        migrated.owner.batch_execute(ORDER_ROLES).await?;
    }
    let url = migrated.database.url_as("order_service").await?;
    Ok((migrated, url))
}

async fn customer_database() -> anyhow::Result<(Migrated, String)> {
    let migrated = Migrated::by("customer-service").await?;
    for _ in 0..2 {
        migrated.owner.batch_execute(CUSTOMER_ROLES).await?;
    }
    let url = migrated.database.url_as("customer_api").await?;
    Ok((migrated, url))
}

#[tokio::test]
async fn the_order_service_does_all_its_work_as_its_role() -> Tested {
    let (migrated, url) = order_database().await?;
    let sql = &migrated.owner;
    let old = "INSERT INTO idempotency_keys SELECT $1::text, gen_random_uuid(), now() - interval '25 hours'";
    sql.execute(old, &[&"forgotten"]).await?;
    let settings = ["--customer-check", "off", "--migrate-on-start", "false"];
    let api = OrderApi::launch(&url, &settings).await?;
    api.ready().await?;
    let keys = "SELECT FROM idempotency_keys";
    until(async || Ok(sql.query(keys, &[]).await?.is_empty().then_some(()))).await?;

    // One alone and many at once, with and without keys, among them a key that is reused after a
    // day.
    let id = api.create().await?;
    let first = accepted(api.post(&order()).header(KEY, "k").send().await?).await?;
    let again = api.post(&order()).header(KEY, "k").send().await?;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(accepted(again).await?, first);
    sql.execute(old, &[&"used-again"]).await?;
    accepted(api.post(&order()).header(KEY, "used-again").send().await?).await?;
    let crowd = (0..40).map(|number| {
        let post = api.post(&order());
        if number % 2 == 0 { post.header(KEY, format!("crowd-{number}")) } else { post }.send()
    });
    for answer in try_join_all(crowd).await? {
        accepted(answer).await?;
    }

    good(api.patch(&id, "processing").await?).await?;
    assert_eq!(api.patch(&id, "created").await?.status(), 409);
    assert_eq!(good(api.get(&format!("/api/orders/{id}")).await?).await?["status"], "processing");
    for (query, expected) in [
        ("limit=500", 43),
        (&*format!("limit=500&customer_public_id={CUSTOMER}"), 43),
        ("limit=500&status=created", 42),
        (&*format!("limit=500&customer_public_id={CUSTOMER}&status=processing"), 1),
    ] {
        let listed = good(api.get(&format!("/api/orders?{query}")).await?).await?;
        assert_eq!(listed.as_array().map(Vec::len), Some(expected), "{query}");
    }
    let events = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    assert_eq!(sql.query_one(events, &[]).await?.get::<_, i64>(0), 44);
    api.stop().await
}

#[tokio::test]
async fn the_order_service_may_do_nothing_else() -> Tested {
    let (migrated, url) = order_database().await?;
    assert_eq!(
        migrated.grants("order_service").await?,
        [
            "database CONNECT",
            "idempotency_keys DELETE",
            "idempotency_keys INSERT key, order_id",
            "idempotency_keys SELECT",
            "idempotency_keys UPDATE order_id, created_at",
            "orders INSERT id, customer_public_id, product_name, quantity, price, delivery_address",
            "orders SELECT",
            "orders UPDATE status, updated_at",
            "outbox INSERT event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at",
            "schema public USAGE",
        ]
    );
    let session = connect(&url).await?;
    refuses(
        &session,
        &[
            "SELECT FROM outbox",
            "UPDATE outbox SET published_at = now()",
            "DELETE FROM outbox",
            "TRUNCATE outbox",
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
             VALUES ('order', '7', 'order.created', '{}', now())",
            "SELECT FROM outbox_pending",
            "SELECT FROM outbox_audit",
            "SELECT nextval('outbox_id_seq')",
            "UPDATE orders SET price = 0",
            "DELETE FROM orders",
            "ALTER TABLE orders ADD COLUMN x integer",
            "DROP TABLE orders",
            "CREATE SCHEMA x",
            "CREATE ROLE x",
            "SELECT FROM refinery_schema_history",
        ],
    )
    .await?;

    // It knows customers only through the customer service.
    let (customers, _) = customer_database().await?;
    let session = connect(&customers.database.url_as("order_service").await?).await?;
    refuses(&session, &["SELECT FROM customers", "SELECT FROM processed_events"]).await
}

#[tokio::test]
async fn the_customer_api_does_all_its_work_as_its_role() -> Tested {
    let (migrated, url) = customer_database().await?;
    let settings = ["--migrate-on-start", "false", "--seed-customers", "true"];
    let api = CustomerApi::start(&url, &settings).await?;
    let listed = async || good(api.get("/api/customers?limit=2").await?).await;
    until(async || Ok((listed().await?.as_array().map(Vec::len) == Some(2)).then_some(()))).await?;
    let made = api.create("Ana").await?;
    let id = made["id"].as_str().context("an id")?;
    assert_eq!(good(api.get(&format!("/api/customers/{id}")).await?).await?, made);
    let known = "SELECT count(*) FROM customers";
    assert_eq!(migrated.owner.query_one(known, &[]).await?.get::<_, i64>(0), 4);
    let answer = api.get("/api/customers?limit=3").await?;
    let link = answer.headers()["link"].to_str()?.to_owned();
    let next = link.strip_prefix('<').and_then(|link| link.split_once('>')).context("a link")?.0;
    assert_eq!(good(api.get(next).await?).await?.as_array().map(Vec::len), Some(1));
    api.stop().await
}

#[tokio::test]
async fn the_customer_service_may_do_nothing_else() -> Tested {
    let (migrated, url) = customer_database().await?;
    assert_eq!(
        migrated.grants("customer_api").await?,
        [
            "customers INSERT id, name, address",
            "customers SELECT id, name, address, orders_count",
            "database CONNECT",
            "schema public USAGE",
        ]
    );
    assert_eq!(
        migrated.grants("customer_consumer").await?,
        [
            "customers SELECT id, orders_count",
            "customers UPDATE orders_count",
            "database CONNECT",
            "processed_events DELETE",
            "processed_events INSERT event_id",
            "processed_events SELECT",
            "schema public USAGE",
        ]
    );
    assert_eq!(
        migrated.grants("customer_inbox").await?,
        ["database CONNECT", "processed_events SELECT event_id", "schema public USAGE"]
    );
    let session = connect(&url).await?;
    refuses(
        &session,
        &[
            "UPDATE customers SET orders_count = 0",
            "INSERT INTO customers (id, name, address, orders_count) VALUES (gen_random_uuid(), 'x', 'x', 7)",
            "DELETE FROM customers",
            "TRUNCATE customers",
            "SELECT FROM processed_events",
            "INSERT INTO processed_events (event_id) VALUES (gen_random_uuid())",
            "ALTER TABLE customers ADD COLUMN x integer",
            "CREATE SCHEMA x",
            "SELECT FROM refinery_schema_history",
        ],
    )
    .await
}

#[tokio::test]
async fn sessions_of_the_apis_roles_are_limited_without_startup_options() -> Tested {
    let ((_orders, orders_url), (_customers, customers_url)) =
        (order_database().await?, customer_database().await?);
    for url in [&orders_url, &customers_url] {
        let session = connect(url).await?;
        for setting in ["statement_timeout", "idle_in_transaction_session_timeout"] {
            assert_eq!(show(&session, setting).await?, "5s");
        }
    }
    // A service's settings take precedence.
    let session = connect(&format!("{orders_url}?options=-c%20statement_timeout%3D7s")).await?;
    assert_eq!(show(&session, "statement_timeout").await?, "7s");
    Ok(())
}

/// As with an operator that creates the roles: the owner may grant privileges but not alter roles.
#[tokio::test]
async fn an_owner_who_may_make_no_roles_grants_their_rights() -> Tested {
    let server = stack::PostgresServer::start_temporary().await?;
    let admin = connect(&server.url("postgres")).await?;
    let all = ["order_service", "customer_api", "customer_consumer", "customer_inbox", "app"];
    for role in all {
        admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await?;
    }
    for (program, sql, role, database) in [
        ("order-service", ORDER_ROLES, "order_service", "orders"),
        ("customer-service", CUSTOMER_ROLES, "customer_api", "customers"),
    ] {
        admin.batch_execute(&format!("CREATE DATABASE {database} OWNER app")).await?;
        // The default since PostgreSQL 15.
        let shared = connect(&server.url(database)).await?;
        shared.batch_execute("ALTER SCHEMA public OWNER TO app").await?;
        let url = |role| server.access().url_as(role, "secret", database);
        migrate(program, &url("app")).await?;
        let owner = connect(&url("app")).await?;
        owner.batch_execute(sql).await?;
        // The Job of the Kubernetes manifests.
        connect(&url(role))
            .await?
            .batch_execute(&format!(
                "ALTER ROLE CURRENT_USER IN DATABASE {database} SET statement_timeout = '5s'"
            ))
            .await?;
        let session = connect(&url(role)).await?;
        assert_eq!(show(&session, "statement_timeout").await?, "5s");
        session.batch_execute(&format!("SELECT id FROM {database} LIMIT 1")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_programs_print_the_roles() -> Tested {
    for (program, sql) in [("order-service", ORDER_ROLES), ("customer-service", CUSTOMER_ROLES)] {
        let printed =
            std::process::Command::new(stack::binary(program).await?).arg("roles").output()?;
        ensure!(printed.status.success(), "{printed:?}");
        assert_eq!(String::from_utf8(printed.stdout)?, sql);
    }
    Ok(())
}
