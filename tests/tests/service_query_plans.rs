//! The plans of the services' statements on large tables: no sequential scans, whatever the
//! statistics say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, ensure};
use pipeline_tests::pipeline::{PATIENCE, connect};
use stack::{Database, Service};
use tokio_postgres::{Client, SimpleQueryMessage};

/// A customer with one old order, one with half of all, and one with none.
const RARE: &str = "'00000000-0000-0000-0000-000000000001'";
const LARGE: &str = "'00000000-0000-0000-0000-000000000002'";
const NOBODY: &str = "'00000000-0000-0000-0000-000000000003'";

/// Realistic orders: the newest are all `created`, most old ones `delivered`, a few in between.
const ORDERS: &str = "
    INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address, status)
    SELECT lpad(to_hex(n), 32, '0')::uuid,
           CASE WHEN n = 7 THEN '00000000-0000-0000-0000-000000000001'
                WHEN n % 2 = 0 THEN '00000000-0000-0000-0000-000000000002'
                ELSE md5((n / 5)::text)::uuid END,
           'Laptop', 1, 1200, 'Cra 7',
           CASE WHEN n > 40000 THEN 'created' WHEN n % 1000 = 1 THEN 'shipped' ELSE 'delivered' END
    FROM generate_series(1, 60000) AS n;
    INSERT INTO idempotency_keys (key, order_id, created_at)
    SELECT n::text, lpad(to_hex(n), 32, '0')::uuid, now() - interval '1 second' * (60000 - n) * 2
    FROM generate_series(1, 60000) AS n";

const CUSTOMERS: &str = "
    INSERT INTO customers (id, name, address)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'Juan', 'Cra 7' FROM generate_series(1, 60000) AS n;
    INSERT INTO processed_events (event_id, processed_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, now() - interval '1 second' * (60000 - n)
    FROM generate_series(1, 60000) AS n";

/// The types and values of a statement's parameters.
type Case = (&'static str, Vec<String>);

/// An order with the id `n`.
fn id(n: u32) -> String {
    format!("'{n:032x}'")
}

fn order_cases() -> BTreeMap<&'static str, Case> {
    let event = "gen_random_uuid()";
    let order = |id: &str| format!("{id}, {RARE}, 'Laptop', 1, 1200, 'Cra 7', {event}, '{{}}'");
    let (new, last) = ("gen_random_uuid()", id(u32::MAX));
    let all = "'{created,processing,shipped,delivered,cancelled}'";
    let mut lists = Vec::new();
    for customer in [RARE, LARGE, NOBODY] {
        for statuses in [all, "'{delivered}'", "'{shipped}'", "'{cancelled}'", "'{created}'"] {
            for before in [id(100), id(40_000), last.clone()] {
                lists.push(format!("{before}, 50, {customer}, {statuses}"));
            }
        }
    }
    let statuses = ["created", "delivered", "shipped", "cancelled"];
    BTreeMap::from([
        (
            "change_status",
            (
                "uuid, text, text[], uuid, jsonb",
                vec![
                    format!("{}, 'cancelled', '{{created}}', {event}, '{{}}'", id(50_000)),
                    format!("{new}, 'cancelled', '{{created}}', {event}, '{{}}'"),
                ],
            ),
        ),
        (
            "create_order",
            ("uuid, uuid, text, integer, numeric, text, uuid, jsonb", vec![order(new)]),
        ),
        (
            "create_order_once",
            (
                "uuid, uuid, text, integer, numeric, text, uuid, jsonb, text",
                vec![order(new) + ", 'new'", order(new) + ", '59999'", order(new) + ", '1'"],
            ),
        ),
        (
            "create_orders",
            (
                "uuid[], uuid[], text[], integer[], numeric[], text[], uuid[], jsonb[], text[]",
                vec![format!(
                    "ARRAY[{new}, {new}], ARRAY[{RARE}, {LARGE}]::uuid[], '{{a,b}}', '{{1,1}}', '{{1,2}}', '{{c,d}}', \
                 ARRAY[{new}, {new}], ARRAY['{{}}', '{{}}']::jsonb[], '{{59998,NULL}}'"
                )],
            ),
        ),
        ("find_order", ("uuid", vec![id(1), new.to_owned()])),
        ("find_order_by_key", ("text", vec!["'59999'".to_owned(), "'none'".to_owned()])),
        ("find_orders", ("uuid[]", vec![format!("ARRAY[{}, {}]::uuid[]", id(1), id(59_999))])),
        ("find_schema", ("", vec![String::new()])),
        ("list_orders", ("uuid, bigint", vec![format!("{last}, 50"), format!("{}, 50", id(100))])),
        ("list_orders_by_customer", ("uuid, bigint, uuid, text[]", lists)),
        (
            "list_orders_by_status",
            (
                "uuid, bigint, text",
                [id(100), id(40_000), last]
                    .iter()
                    .flat_map(|before| statuses.map(|status| format!("{before}, 50, '{status}'")))
                    .collect(),
            ),
        ),
        ("prune_idempotency_keys", ("bigint", vec!["10".to_owned()])),
    ])
}

fn customer_cases() -> BTreeMap<&'static str, Case> {
    let (some, new) = (id(30_000), "gen_random_uuid()");
    let both = format!("ARRAY[{some}, {new}]::uuid[]");
    BTreeMap::from([
        ("has_customers", ("", vec![String::new()])),
        ("find_missing_privileges", ("boolean", vec!["true".to_owned()])),
        ("find_missing_columns", ("", vec![String::new()])),
        ("get_server_info", ("", vec![String::new()])),
        (
            "count_events",
            (
                "uuid[], uuid[]",
                vec![format!("ARRAY[{some}, {new}]::uuid[], ARRAY[{some}, {some}]::uuid[]")],
            ),
        ),
        ("find_locked_customers", ("uuid[]", vec![both.clone()])),
        ("find_schema", ("", vec![String::new()])),
        ("get_customer", ("uuid", vec![some.clone(), new.to_owned()])),
        ("insert_customer", ("uuid, text, text", vec![format!("{new}, 'Juan', 'Cra 7'")])),
        (
            "list_customers",
            (
                "uuid, bigint",
                vec![
                    format!("{}, 50", id(0)),
                    format!("{some}, 50"),
                    format!("{}, 50", id(59_990)),
                ],
            ),
        ),
        ("lock_customers", ("uuid[]", vec![both])),
        ("lock_pruning", ("", vec![String::new()])),
        ("prepare_session", ("text, text", vec!["'5s', '250ms'".to_owned()])),
        (
            "prune_events",
            (
                "double precision, bigint, timestamptz",
                vec!["50000, 10, NULL".to_owned(), "100000, 10, NULL".to_owned()],
            ),
        ),
        ("seed_customers", ("", vec![String::new()])),
    ])
}

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
    let fixture = ["count_events", "find_locked_customers", "lock_customers"];
    Ok(match name {
        _ if fixture.contains(&name) => {
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
async fn nor_where_the_statistics_are_those_of_small_tables() -> anyhow::Result<()> {
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
