//! Another session's row locks and each statement of the services: which statements may wait.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, ensure};
use pipeline_tests::pipeline::connect;
use pipeline_tests::service_role::Migrated;
use pipeline_tests::service_statements::{Case, customer_cases, order_cases};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Rows that the statements' parameters name, and keys and events that are old.
const ORDER_ROWS: &str = "
    INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
    SELECT lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), 'Laptop', 1, 1200, 'Cra 7'
    FROM (VALUES (1), (100), (50000), (59999)) AS given (n);
    INSERT INTO idempotency_keys (key, order_id, created_at)
    SELECT n, gen_random_uuid(), now() - interval '1 hour' FROM (VALUES ('59998'), ('59999')) AS given (n);
    INSERT INTO idempotency_keys (key, order_id, created_at)
    SELECT 'old' || n, gen_random_uuid(), now() - interval '25 hours' FROM generate_series(1, 5) AS n";
const CUSTOMER_ROWS: &str = "
    INSERT INTO customers (id, name, address) VALUES (lpad(to_hex(30000), 32, '0')::uuid, 'Juan', 'Cra 7');
    INSERT INTO processed_events (event_id, processed_at)
    SELECT gen_random_uuid(), now() - interval '1 day' FROM generate_series(1, 5)";

/// The locks of each kind: of another one who writes, of a reader, of one who deletes.
const LOCKS: [&str; 3] =
    ["SELECT FROM {} FOR UPDATE", "SELECT FROM {} FOR SHARE", "DELETE FROM {}"];

/// Runs the statement and rolls it back. Returns whether it waited.
async fn waits(session: &Client, name: &str, values: &str) -> anyhow::Result<bool> {
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    session.batch_execute("BEGIN").await?;
    let done = session.batch_execute(&format!("EXECUTE {name} {values}")).await;
    session.batch_execute("ROLLBACK").await?;
    match done {
        Ok(()) => Ok(false),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(true),
        Err(error) => Err(error).with_context(|| format!("{name} {values}")),
    }
}

/// Tries each statement of the folder beside locks of all rows of each table. Fails unless exactly
/// those of `may_wait` wait, for rows of the table named beside them.
async fn check(
    migrated: &Migrated,
    folder: &str,
    cases: &BTreeMap<&'static str, Case>,
    tables: &[&str],
    may_wait: &[(&str, &str)],
) -> anyhow::Result<()> {
    let session = connect(&migrated.database.url).await?;
    for (name, (types, _)) in cases {
        let path = stack::root().join(folder).join(format!("{name}.sql"));
        let sql = fs::read_to_string(&path).with_context(|| (*name).to_owned())?;
        let types = if types.is_empty() { String::new() } else { format!("({types})") };
        session.batch_execute(&format!("PREPARE {name} {types} AS {sql}")).await.context(*name)?;
    }
    session.batch_execute("SET lock_timeout = '200ms'").await?;
    let mut wrong = Vec::new();
    for table in tables {
        for lock in LOCKS {
            let other = connect(&migrated.database.url).await?;
            other.batch_execute(&format!("BEGIN; {}", lock.replace("{}", table))).await?;
            for (name, (_, values)) in cases {
                let values = values.first().context("a case")?;
                let (waited, wanted) =
                    (waits(&session, name, values).await?, may_wait.contains(&(*name, *table)));
                if waited != wanted {
                    wrong.push(format!("{name} beside {lock} ({table}): waits {waited}"));
                }
            }
            other.batch_execute("ROLLBACK").await?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// A change waits for its order's row, and a new order for its key, for a limited time.
#[tokio::test]
async fn no_statement_of_the_order_service_waits_for_the_row_of_another_order() -> anyhow::Result<()>
{
    let migrated = Migrated::by("order-service").await?;
    migrated.owner.batch_execute(ORDER_ROWS).await?;
    let may_wait = [("change_status", "orders"), ("create_orders", "idempotency_keys")];
    let tables = ["orders", "idempotency_keys", "outbox"];
    check(&migrated, "sql/order/queries", &order_cases(), &tables, &may_wait).await
}

/// A batch waits for its customers for a limited time; pruning has a session of its own.
#[tokio::test]
async fn of_the_customer_services_statements_those_wait_that_change_the_row() -> anyhow::Result<()>
{
    let migrated = Migrated::by("customer-service").await?;
    migrated.owner.batch_execute(CUSTOMER_ROWS).await?;
    let may_wait = [
        ("lock_customers", "customers"),
        ("count_events", "customers"),
        ("prune_events", "processed_events"),
    ];
    let tables = ["customers", "processed_events"];
    check(&migrated, "sql/customer/queries", &customer_cases(), &tables, &may_wait).await
}
