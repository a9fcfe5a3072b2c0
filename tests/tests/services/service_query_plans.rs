//! The plans of the services' statements on large tables: no sequential scans, whatever the
//! statistics say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, ensure};
use pipeline_tests::pipeline::{PATIENCE, connect};
use pipeline_tests::service_statements::{CUSTOMERS, Case, ORDERS, customer_cases, order_cases};
use stack::{Database, Service};
use tokio_postgres::{Client, SimpleQueryMessage};

/// The limit of pages that a statement may read: its rows', their indexes' and some for its writes,
/// of about 1,000 pages of a table.
const PAGES: u64 = 350;

/// A migrated database of a service.
async fn migrated(program: &str) -> anyhow::Result<(Database, Client)> {
    let database = stack::shared().await?.database("plans").await?;
    let binary = stack::binary(program).await?;
    let migrate = Service::spawn(binary, ["migrate"], [("DATABASE_URL", &database.url)]).await?;
    ensure!(migrate.wait_exit(PATIENCE).await?.success(), "{}", migrate.last_lines());
    let sql = connect(&database.url).await?;
    // Keeps autovacuum from analysing them meanwhile.
    sql.batch_execute(
        "DO $$ DECLARE t regclass; BEGIN
             FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
                 EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t);
             END LOOP;
         END $$",
    )
    .await?;
    Ok((database, sql))
}

/// The output of `EXPLAIN ANALYZE`, rolled back.
async fn explain(sql: &Client, name: &str, values: &str) -> anyhow::Result<String> {
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    let text = format!(
        "BEGIN; EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE {name} {values}; ROLLBACK"
    );
    let answer = sql.simple_query(&text).await?;
    let lines = answer.iter().filter_map(|line| match line {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Every file of the folder, by name.
fn queries(folder: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(stack::root().join(folder))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name")?;
        found.insert(name.to_owned(), fs::read_to_string(&path)?);
    }
    Ok(found)
}

/// Checks each statement of the folder against its limits, with a custom and a generic plan.
async fn check(
    sql: &Client,
    folder: &str,
    cases: &BTreeMap<&'static str, Case>,
    statistics: &str,
) -> anyhow::Result<()> {
    let statements = queries(folder)?;
    let known: BTreeSet<&str> = cases.keys().copied().collect();
    let there: BTreeSet<&str> = statements.keys().map(String::as_str).collect();
    assert_eq!(known, there, "each file of {folder} has its case");
    let mut wrong = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        for (name, (types, values)) in cases {
            let types = if types.is_empty() { String::new() } else { format!("({types})") };
            sql.batch_execute("DEALLOCATE ALL; RESET ALL").await?;
            sql.batch_execute(&session(name)?).await?;
            sql.batch_execute(&format!("SET plan_cache_mode = {mode}")).await?;
            sql.batch_execute(&format!("PREPARE {name} {types} AS {}", statements[*name])).await?;
            for values in values {
                let plan = explain(sql, name, values)
                    .await
                    .with_context(|| format!("{name} ({values})"))?;
                let pages =
                    plan.lines().find_map(|line| line.trim().strip_prefix("Buffers: shared "));
                let pages: u64 = pages.map_or(0, |line| {
                    let read = line.split(" dirtied").next().unwrap_or_default();
                    read.split([' ', '=']).filter_map(|word| word.parse::<u64>().ok()).sum()
                });
                if plan.contains("Seq Scan") || pages > PAGES {
                    wrong.push(format!(
                        "{statistics}, {mode}: {name} ({values}), {pages} pages\n{plan}"
                    ));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{} plans:\n{}", wrong.len(), wrong.join("\n\n"));
    Ok(())
}

/// The settings of the session that runs a statement, if any.
fn session(name: &str) -> anyhow::Result<String> {
    let of_counting = ["count_events", "find_locked_customers", "lock_customers"];
    Ok(match name {
        _ if of_counting.contains(&name) => {
            let text = &queries("sql/customer/queries")?["prepare_session"];
            text.replace("$1", "'5s'").replace("$2", "'250ms'")
        }
        "prune_events" => "SET enable_seqscan = off; SET enable_bitmapscan = off".to_owned(),
        _ => "RESET ALL".to_owned(),
    })
}

#[tokio::test]
async fn no_statement_of_the_order_service_walks_through_a_table() -> anyhow::Result<()> {
    let (_database, sql) = migrated("order-service").await?;
    sql.batch_execute(ORDERS).await?;
    check(&sql, "sql/order/queries", &order_cases(), "never analysed").await?;
    sql.batch_execute("ANALYZE").await?;
    check(&sql, "sql/order/queries", &order_cases(), "analysed").await
}

#[tokio::test]
async fn no_statement_walks_through_a_table_with_the_statistics_of_a_small_one()
-> anyhow::Result<()> {
    for (program, folder, rows, cases, tables) in [
        (
            "order-service",
            "sql/order/queries",
            ORDERS,
            order_cases(),
            ["orders", "idempotency_keys"],
        ),
        (
            "customer-service",
            "sql/customer/queries",
            CUSTOMERS,
            customer_cases(),
            ["customers", "processed_events"],
        ),
    ] {
        let (_database, sql) = migrated(program).await?;
        let [first, second] = tables;
        let few = rows.replace("generate_series(1, 60000)", "generate_series(1, 50)");
        sql.batch_execute(&few).await?;
        sql.batch_execute(&format!("ANALYZE; DELETE FROM {first}; DELETE FROM {second}")).await?;
        sql.batch_execute(rows).await?;
        check(&sql, folder, &cases, "analysed when it was small").await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_statement_of_the_customer_service_walks_through_a_table() -> anyhow::Result<()> {
    let (_database, sql) = migrated("customer-service").await?;
    sql.batch_execute(CUSTOMERS).await?;
    check(&sql, "sql/customer/queries", &customer_cases(), "never analysed").await?;
    sql.batch_execute("ANALYZE").await?;
    check(&sql, "sql/customer/queries", &customer_cases(), "analysed").await
}
