//! Tables as object-relational mappers, other outboxes and tired people make them: what
//! `outbox-relay check` prints mends each, PostgreSQL refuses nothing of it, no row is lost, and
//! then a relay works.

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, connect};
use pipeline_tests::relay_check::{check, mend_all};

const SCHEMA: &str = include_str!("../../../sql/outbox/schema.sql");
const ROLES: &str = include_str!("../../../sql/roles.sql");

/// A published row, a failed one and a pending one.
const ROWS: &str = r#"
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, published_at, attempts, next_attempt_at, last_error)
    VALUES ('00000000-0000-4000-8000-000000000001', 'order', '7', 'order.created', '{"a": 1.50}', '{"x": "y"}', '2026-02-01 22:25:31.123456', '2026-02-01 22:25:32', 0, NULL, NULL),
           ('00000000-0000-4000-8000-000000000002', 'order', '7', 'order.shipped', '{"a": 2}', '{}', '2026-02-01 22:25:33', NULL, 3, 'infinity', 'no queue is bound'),
           ('00000000-0000-4000-8000-000000000003', 'order', '8', 'order.created', '[]', '{}', '2026-02-01 22:25:34', NULL, 0, NULL, NULL)"#;

/// The contents of the rows, as in the shipped table.
const SHOWN: &str = r#"
    SELECT string_agg(concat_ws('|', event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, published_at, attempts, next_attempt_at, last_error), E'\n' ORDER BY event_id)
    FROM outbox"#;

/// The schema with some words replaced, by line; without views, and indexes that compare numbers, if
/// `views` is false.
fn schema(changes: &[(&str, &str)], views: bool) -> String {
    let mut schema = SCHEMA.to_owned();
    for (from, to) in changes {
        let begin = schema.find(from).unwrap_or_else(|| panic!("the schema has no {from}"));
        schema.replace_range(begin..begin + from.len(), to);
    }
    if views {
        return schema;
    }
    let statements = schema.split_inclusive(";\n");
    let needs_types = ["CREATE VIEW ", "outbox_due", "outbox_failed_by_aggregate"];
    statements
        .filter(|statement| !needs_types.iter().any(|part| statement.contains(part)))
        .collect()
}

/// A column type other than the shipped one.
struct Damage {
    column: &'static str,
    shipped: &'static str,
    /// The other type.
    wrong: &'static str,
    /// Whether the views can be created on it.
    views: bool,
}

const fn of(
    column: &'static str,
    shipped: &'static str,
    wrong: &'static str,
    views: bool,
) -> Damage {
    Damage { column, shipped, wrong, views }
}

/// Recreates the table from `schema`, fills it, and runs `breaking` on it.
async fn damaged(outbox: &Outbox, schema: &str, breaking: &str) -> anyhow::Result<()> {
    let begin = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; SET TimeZone = 'UTC';
                 CREATE DOMAIN short AS text; CREATE DOMAIN shorter AS short CHECK (length(VALUE) < 100);";
    outbox.sql.batch_execute(begin).await?;
    outbox.sql.batch_execute(schema).await.context("the schema")?;
    outbox.sql.batch_execute(ROWS).await.context("the rows")?;
    if schema.contains("CREATE VIEW") {
        outbox.sql.batch_execute(ROLES).await?;
    } else {
        let grant = "GRANT USAGE ON SCHEMA public TO outbox_relay; GRANT ALL ON outbox, outbox_audit TO outbox_relay";
        outbox.sql.batch_execute(grant).await?;
    }
    outbox.sql.batch_execute(breaking).await.with_context(|| breaking.to_owned())
}

/// Mends the table by what is printed; then all rows are there, the views can be read by whom they
/// could, and a relay publishes.
async fn mended(outbox: &Outbox, views: bool) -> anyhow::Result<()> {
    mend_all(outbox, &[]).await?;
    let shown: String = outbox.sql.query_one(SHOWN, &[]).await?.get(0);
    let expected = "\
00000000-0000-4000-8000-000000000001|order|7|order.created|{\"a\": 1.50}|{\"x\": \"y\"}|2026-02-01 22:25:31.123456+00|2026-02-01 22:25:32+00|0
00000000-0000-4000-8000-000000000002|order|7|order.shipped|{\"a\": 2}|{}|2026-02-01 22:25:33+00|3|infinity|no queue is bound
00000000-0000-4000-8000-000000000003|order|8|order.created|[]|{}|2026-02-01 22:25:34+00|0";
    ensure!(shown == expected, "the rows are now\n{shown}");
    if views {
        let look = "SELECT (SELECT count(*) FROM outbox_pending), (SELECT stuck FROM outbox_lag), (SELECT count(*) FROM outbox_stuck)";
        let row = connect(&outbox.relay_url).await?.query_one(look, &[]).await?;
        ensure!((row.get(0), row.get(1), row.get(2)) == (2_i64, 1_i64, 1_i64), "{row:?}");
    }
    // As a service adds one, with the required columns.
    outbox.add("9", "order.created").await?;
    outbox.relay(&[])?.until_idle().await?;
    ensure!(outbox.pending().await? == 1, "all but the stuck one are published");
    Ok(())
}

async fn mends_types(damages: &[Damage]) -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for Damage { column, shipped, wrong, views } in damages {
        let line = |kind: &str| format!("\n    {column:<15} {kind}");
        let (from, to) = (line(shipped), line(wrong));
        let name = format!("{column} {wrong}");
        damaged(&outbox, &schema(&[(&from, &to)], *views), "").await.context(name.clone())?;
        let (ended, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
        ensure!(!findings.is_empty(), "{name} is taken for well: {}", ended.out);
        mended(&outbox, *views).await.context(name)?;
    }
    Ok(())
}

#[tokio::test]
async fn texts_of_another_type_are_fixed() -> anyhow::Result<()> {
    mends_types(&[
        of("aggregate_type", "text        ", "char(20)", true),
        of("aggregate_id", "text        ", "char(20)", true),
        of("event_type", "text        ", "char(40)", true),
        of("last_error", "text", "char(40)", true),
    ])
    .await
}

#[tokio::test]
async fn event_ids_of_another_type_are_fixed() -> anyhow::Result<()> {
    let shipped = "uuid        NOT NULL UNIQUE DEFAULT gen_random_uuid()";
    mends_types(&[
        of(
            "event_id",
            shipped,
            "varchar(36) NOT NULL UNIQUE DEFAULT gen_random_uuid()::text",
            false,
        ),
        of("event_id", shipped, "text NOT NULL UNIQUE DEFAULT gen_random_uuid()", true),
        of("event_id", shipped, "char(40) NOT NULL UNIQUE DEFAULT gen_random_uuid()", true),
    ])
    .await
}

#[tokio::test]
async fn payloads_and_headers_of_another_type_are_fixed() -> anyhow::Result<()> {
    mends_types(&[
        of("payload", "jsonb       NOT NULL", "text NOT NULL", true),
        of("payload", "jsonb       NOT NULL", "json NOT NULL DEFAULT '{}'", true),
        of("payload", "jsonb       NOT NULL", "varchar NOT NULL DEFAULT '{}'", false),
        of("headers", "jsonb       NOT NULL DEFAULT '{}'", "text NOT NULL DEFAULT '{}'", true),
        of("headers", "jsonb       NOT NULL DEFAULT '{}'", "json DEFAULT '{}'", true),
    ])
    .await
}

#[tokio::test]
async fn numbers_of_another_type_are_fixed() -> anyhow::Result<()> {
    let id = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
    mends_types(&[
        of("id", id, "integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY", true),
        of("id", id, "serial PRIMARY KEY", true),
        of("id", id, "smallint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", false),
        of("attempts", "integer     NOT NULL DEFAULT 0", "bigint NOT NULL DEFAULT 0", true),
        of("attempts", "integer     NOT NULL DEFAULT 0", "smallint NOT NULL DEFAULT 0", true),
        of("attempts", "integer     NOT NULL DEFAULT 0", "text NOT NULL DEFAULT '0'", false),
    ])
    .await
}

#[tokio::test]
async fn times_of_another_type_are_fixed() -> anyhow::Result<()> {
    let created = "timestamptz NOT NULL DEFAULT now()";
    mends_types(&[
        of("created_at", created, "timestamp NOT NULL DEFAULT now()", true),
        of("created_at", created, "timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc')", true),
        of("published_at", "timestamptz", "timestamp", true),
        of("next_attempt_at", "timestamptz", "timestamp", true),
        of("next_attempt_at", "timestamptz", "text", false),
    ])
    .await
}

/// Lets `breaking` happen to a table of `schema` and mends it; then no row is lost, and a relay
/// works.
async fn mends(outbox: &Outbox, schema: &str, breaking: &str) -> anyhow::Result<()> {
    damaged(outbox, schema, breaking).await?;
    let (ended, findings) = check(outbox, &outbox.relay_url, &[]).await?;
    ensure!(!findings.is_empty(), "{breaking} is taken for well: {}", ended.out);
    mend_all(outbox, &[]).await.with_context(|| breaking.to_owned())?;
    ensure!(outbox.count("SELECT count(*) FROM outbox", &[]).await? == 3, "{breaking}");
    outbox.add("9", "order.created").await.with_context(|| breaking.to_owned())?;
    outbox.relay(&[])?.until_idle().await.with_context(|| breaking.to_owned())
}

#[tokio::test]
async fn missing_columns_are_fixed_in_a_table_with_rows() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for column in [
        "id",
        "event_id",
        "aggregate_type",
        "aggregate_id",
        "event_type",
        "payload",
        "headers",
        "created_at",
        "published_at",
        "attempts",
        "next_attempt_at",
        "last_error",
        "error_kind",
        "error_fingerprint",
    ] {
        let breaking = format!("ALTER TABLE outbox DROP COLUMN {column} CASCADE");
        mends(&outbox, &schema(&[], true), &breaking).await?;
    }
    Ok(())
}

#[tokio::test]
async fn missing_views_and_causes_of_another_type_are_fixed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for breaking in [
        "DROP VIEW outbox_failures, outbox_lag",
        "DROP VIEW outbox_failures; ALTER TABLE outbox ALTER error_kind TYPE varchar(20)",
        "DROP VIEW outbox_failures; ALTER TABLE outbox ALTER error_fingerprint TYPE char(16)",
    ] {
        mends(&outbox, &schema(&[], true), breaking).await?;
        outbox.sql.batch_execute("SELECT FROM outbox_failures, outbox_lag").await?;
        let collated = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'outbox'::regclass AND attcollation = '\"C\"'::regcollation";
        ensure!(outbox.count(collated, &[]).await? == 2, "{breaking}");
    }
    Ok(())
}

#[tokio::test]
async fn missing_columns_of_the_audit_table_are_fixed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for column in
        ["id", "happened_at", "actor", "db_user", "action", "event", "detail", "operation_id"]
    {
        let breaking = format!(
            "INSERT INTO outbox_audit (actor, action) VALUES ('somebody', 'retry');
             ALTER TABLE outbox_audit DROP COLUMN {column} CASCADE"
        );
        mends(&outbox, &schema(&[], true), &breaking).await?;
    }
    Ok(())
}

#[tokio::test]
async fn missing_indexes_and_sequences_and_several_damages_at_once_are_fixed() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for breaking in [
        // The primary key is another column.
        "ALTER TABLE outbox DROP CONSTRAINT outbox_pkey, ADD PRIMARY KEY (event_id)",
        "ALTER TABLE outbox DROP COLUMN id CASCADE; ALTER TABLE outbox ADD PRIMARY KEY (event_id)",
        "ALTER TABLE outbox DROP CONSTRAINT outbox_pkey",
        // The index's name is taken by a table, or by the index of a constraint.
        "DROP INDEX outbox_held_back; CREATE TABLE outbox_held_back ()",
        "DROP INDEX outbox_pending_by_id; ALTER TABLE outbox ADD CONSTRAINT outbox_pending_by_id UNIQUE (id, event_id)",
        "DROP VIEW outbox_pending, outbox_stuck, outbox_failures; DROP INDEX outbox_pending_by_aggregate, outbox_failed_by_aggregate, outbox_held_back_by_aggregate;
         ALTER TABLE outbox ALTER COLUMN aggregate_id TYPE bigint USING aggregate_id::bigint",
        // The ids of the rows are not reused.
        "ALTER TABLE outbox ALTER COLUMN id DROP IDENTITY",
        "ALTER TABLE outbox ALTER COLUMN id DROP IDENTITY, ALTER COLUMN id SET DEFAULT 0",
        "DROP VIEW outbox_pending, outbox_stuck, outbox_failures, outbox_published_last_minute;
         ALTER TABLE outbox ALTER COLUMN aggregate_id TYPE char(9), ALTER COLUMN event_type TYPE char(20), ALTER COLUMN payload TYPE text;
         CREATE VIEW outbox_pending AS SELECT id, aggregate_id, event_type, payload FROM outbox;
         CREATE VIEW mine WITH (security_barrier) AS SELECT aggregate_id FROM outbox_pending WHERE event_type = 'order.created';
         GRANT SELECT ON mine TO PUBLIC; DROP INDEX outbox_held_back; DROP TABLE outbox_audit",
    ] {
        mends(&outbox, &schema(&[], true), breaking).await?;
    }
    let view = "SELECT reloptions::text || relacl::text FROM pg_class WHERE relname = 'mine'";
    let said: String = outbox.sql.query_one(view, &[]).await?.get(0);
    assert!(said.contains("security_barrier") && said.contains("=r/"), "{said}");
    Ok(())
}

#[tokio::test]
async fn texts_with_a_length_and_domains_of_the_right_type_are_ok() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for kind in ["varchar(255)", "varchar", "short", "shorter"] {
        let line = |column: &str, kind: &str| format!("\n    {column:<15} {kind}");
        let columns = ["aggregate_type", "aggregate_id", "event_type"];
        let changes =
            columns.map(|column| (line(column, "text "), line(column, &format!("{kind} "))));
        let changes: Vec<(&str, &str)> =
            changes.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        damaged(&outbox, &schema(&changes, true), "").await.context(kind)?;
        let (ended, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
        ensure!(findings.is_empty(), "{kind}: {}", ended.out);
    }
    Ok(())
}
