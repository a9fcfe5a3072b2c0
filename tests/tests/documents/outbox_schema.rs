//! The outbox is defined in one place, `sql/outbox/schema.sql`, and has views for people.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use pipeline_tests::command::psql;
use tokio_postgres::{Client, NoTls};

fn sql(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql").join(folder)
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The migrations of a folder, in the order of their versions.
fn migrations(folder: &str) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(sql(folder))? {
        let path = entry?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).context("a name in UTF-8")?.to_owned();
        let version: u32 =
            name.trim_start_matches('V').split("__").next().context("V1__name.sql")?.parse()?;
        files.push((version, std::fs::read_to_string(path)?));
    }
    files.sort();
    ensure!(!files.is_empty(), "no migrations in {folder}");
    Ok(files.into_iter().map(|(_, text)| text).collect())
}

/// The catalogue's description of the outbox and its views, as sorted lines.
async fn describe(client: &Client) -> anyhow::Result<Vec<String>> {
    let rows = client
        .query(
            "SELECT 'column ' || c.relname || '.' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                    || ' ' || a.attnotnull || ' ' || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
                    || ' ' || coalesce(col_description(c.oid, a.attnum), '') AS line
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
             WHERE c.relname LIKE 'outbox%' AND c.relkind IN ('r', 'v')
             UNION ALL SELECT 'statistics ' || a.attrelid::regclass || '.' || a.attnum || ' ' || coalesce(a.attstattarget, -1)
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname LIKE 'outbox%' AND a.attnum > 0
             UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE tablename LIKE 'outbox%'
             UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(o.oid)
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE c.relname LIKE 'outbox%'
             UNION ALL SELECT 'view ' || viewname || ' ' || definition FROM pg_views WHERE viewname LIKE 'outbox%'
             UNION ALL SELECT 'sequence ' || sequencename || ' ' || cache_size || ' ' || increment_by FROM pg_sequences
             WHERE sequencename LIKE 'outbox%'
             UNION ALL SELECT 'options ' || relname || ' ' || array_to_string(reloptions, ',') || ' '
                    || coalesce(obj_description(oid), '')
             FROM pg_class WHERE relname LIKE 'outbox%' AND reloptions IS NOT NULL
             ORDER BY line",
            &[],
        )
        .await?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn the_order_databases_migrations_make_the_outbox_of_schema_sql() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (alone, migrated) =
        (servers.database("outbox_alone").await?, servers.database("outbox_migrated").await?);
    let (alone, migrated) = (connect(&alone.url).await?, connect(&migrated.url).await?);
    alone.batch_execute(&std::fs::read_to_string(sql("outbox/schema.sql"))?).await?;
    for migration in migrations("order/migrations")? {
        migrated.batch_execute(&migration).await?;
    }
    let (alone, migrated) = (describe(&alone).await?, describe(&migrated).await?);
    ensure!(alone.len() > 20, "the description is too short to compare: {alone:#?}");
    assert_eq!(alone, migrated);
    Ok(())
}

/// The default sample is ten times as large, and a single column or indexed expression without a
/// number of its own asks for it (`std_typanalyze` and `do_analyze_rel` in PostgreSQL's analyze.c).
#[tokio::test]
async fn an_analysis_of_the_outbox_looks_at_3000_rows() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("outbox_statistics").await?;
    let client = connect(&database.url).await?;
    client.batch_execute(&std::fs::read_to_string(sql("outbox/schema.sql"))?).await?;
    let targets = client
        .query(
            "SELECT a.attrelid::regclass || '.' || a.attname, a.attstattarget::integer
             FROM pg_attribute a WHERE a.attrelid = 'outbox'::regclass AND a.attnum > 0
             UNION ALL SELECT a.attrelid::regclass || '.' || a.attname, a.attstattarget::integer
             FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
             WHERE i.indrelid = 'outbox'::regclass AND a.attnum > 0 AND i.indkey[a.attnum - 1] = 0",
            &[],
        )
        .await?;
    assert_eq!(
        targets.len(),
        19,
        "14 columns, the aggregate's hash in three indexes, the kind and the beginning of the type in one each"
    );
    for target in targets {
        let (column, rows): (String, Option<i32>) = (target.get(0), target.get(1));
        assert_eq!(rows.map(|target| target * 300), Some(3000), "{column}");
    }
    Ok(())
}

/// They are analyzed beside the outbox.
#[tokio::test]
async fn an_analysis_of_the_orders_looks_at_3000_rows() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("orders_statistics").await?;
    let client = connect(&database.url).await?;
    for migration in migrations("order/migrations")? {
        client.batch_execute(&migration).await?;
    }
    let targets = client
        .query(
            "SELECT attname::text, attstattarget::integer FROM pg_attribute
             WHERE attrelid = 'orders'::regclass AND attnum > 0",
            &[],
        )
        .await?;
    assert_eq!(targets.len(), 9);
    for target in targets {
        let (column, rows): (String, Option<i32>) = (target.get(0), target.get(1));
        assert_eq!(rows.map(|target| target * 300), Some(3000), "{column}");
    }
    Ok(())
}

#[tokio::test]
async fn the_outboxs_columns_are_those_that_others_bind_to() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("outbox_columns").await?;
    let client = connect(&database.url).await?;
    client.batch_execute(&std::fs::read_to_string(sql("outbox/schema.sql"))?).await?;
    let columns: Vec<(String, String, String, Option<String>)> = client
        .query(
            "SELECT column_name::text, data_type::text, is_nullable::text, column_default::text
             FROM information_schema.columns WHERE table_name = 'outbox' ORDER BY ordinal_position",
            &[],
        )
        .await?
        .into_iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    let columns: Vec<String> = columns
        .into_iter()
        .map(|(name, kind, nullable, default)| {
            format!("{name} {kind} {nullable} {}", default.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        columns,
        [
            "id bigint NO ",
            "event_id uuid NO gen_random_uuid()",
            "aggregate_type text NO ",
            "aggregate_id text NO ",
            "event_type text NO ",
            "payload jsonb NO ",
            "headers jsonb NO '{}'::jsonb",
            "created_at timestamp with time zone NO now()",
            "published_at timestamp with time zone YES ",
            "attempts integer NO 0",
            "next_attempt_at timestamp with time zone YES ",
            "last_error text YES ",
            "error_kind text YES ",
            "error_fingerprint text YES ",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_person_sees_what_is_ready_waiting_scheduled_and_stuck() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("outbox_views").await?;
    let client = connect(&database.url).await?;
    client.batch_execute(&std::fs::read_to_string(sql("outbox/schema.sql"))?).await?;
    client
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, created_at, published_at, attempts, next_attempt_at, last_error)
             VALUES ('order', 'a', 'order.created', '{}', now() - interval '1 hour', now(), 0, NULL, NULL),
                    ('order', 'b', 'order.created', '{}', now() - interval '2 minutes', NULL, 0, NULL, NULL),
                    ('order', 'c', 'order.created', '{}', now(), NULL, 1, now() + interval '1 hour', 'no queue'),
                    ('order', 'd', 'order.created', '{}', now(), NULL, 1, 'infinity', 'no object'),
                    ('order', 'e', 'order.created', '{}', 'infinity', NULL, 1, 'infinity', 'no time'),
                    ('order', 'f', 'order.created', '{}', now(), NULL, 0, now() + interval '1 hour', NULL),
                    ('order', 'g', 'order.created', '{}', now(), NULL, 0, 'infinity', NULL)",
        )
        .await?;
    let pending: Vec<(String, String)> = client
        .query("SELECT aggregate_id, state FROM outbox_pending", &[])
        .await?
        .into_iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let expected = [
        ("b", "ready"),
        ("c", "waiting"),
        ("d", "stuck"),
        ("e", "stuck"),
        ("f", "scheduled"),
        ("g", "parked"),
    ];
    assert_eq!(pending, expected.map(|(id, state)| (id.to_owned(), state.to_owned())));

    let stuck = client.query("SELECT aggregate_id, last_error FROM outbox_stuck", &[]).await?;
    assert_eq!((stuck[0].get::<_, &str>(0), stuck[0].get::<_, &str>(1)), ("d", "no object"));
    assert_eq!((stuck[1].get::<_, &str>(0), stuck[1].get::<_, &str>(1)), ("e", "no time"));
    assert_eq!(stuck.len(), 2);

    let lag = client
        .query_one("SELECT pending, waiting, stuck, oldest_pending_age >= interval '2 minutes', scheduled, parked FROM outbox_lag", &[])
        .await?;
    assert_eq!((lag.get::<_, i64>(0), lag.get::<_, i64>(1), lag.get::<_, i64>(2)), (6, 1, 2));
    assert_eq!((lag.get::<_, i64>(4), lag.get::<_, i64>(5)), (1, 1));
    assert!(lag.get::<_, bool>(3), "the oldest pending event is two minutes old");
    Ok(())
}

#[tokio::test]
async fn every_file_of_sql_inspect_runs_in_psql() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (orders, customers) =
        (servers.database("inspect_orders").await?, servers.database("inspect_customers").await?);
    for (database, folder) in [(&orders, "order/migrations"), (&customers, "customer/migrations")] {
        let client = connect(&database.url).await?;
        for migration in migrations(folder)? {
            client.batch_execute(&migration).await?;
        }
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(sql("inspect"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    ensure!(!files.is_empty(), "sql/inspect is empty");
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let url = if text.contains("(customer database)") { &customers.url } else { &orders.url };
        let output = psql()?
            .args(["-v", "event_id=00000000-0000-7000-8000-000000000000", "-f"])
            .arg(&file)
            .arg(url)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && errors.is_empty(), "{}: {errors}", file.display());
    }
    Ok(())
}
