//! The plans of the relay's statements without up-to-date statistics: on a new table, or after a
//! sudden burst of failures.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use anyhow::{Context as _, ensure};
use outbox_relay::OutboxTable;
use pipeline_tests::outbox::Outbox;
use tokio_postgres::SimpleQueryMessage;

const PREPARE_SESSION: &str = include_str!("../../../sql/relay/queries/prepare_session.sql");

/// A name, the statement, its parameters' types and values.
type Statement = [&'static str; 4];

/// The statements that poll for events.
const SCANS: [Statement; 3] = [
    [
        "scan_new",
        include_str!("../../../sql/relay/queries/scan_new.sql"),
        "bigint, bigint, boolean, boolean, bigint, bigint[], bigint[], text[], boolean, text[], text[], text[]",
        "0, -1, true, true, 2000, '{}', '{}', '{}', true, '{}', '{}', '{}'",
    ],
    [
        "scan_due",
        include_str!("../../../sql/relay/queries/scan_due.sql"),
        "bigint, bigint, boolean, boolean, boolean[], boolean[], text[], bigint[], text[], bigint[], bigint, text[], text[], text[]",
        "-1, 1000, true, true, '{t,t,f,f}', '{t,f,t,f}', '{-infinity,-infinity,-infinity,-infinity}', '{0,0,0,0}',
         '{infinity,-infinity,infinity,-infinity}', '{1000000,0,1000000,0}', 1000000, '{}', '{}', '{}'",
    ],
    [
        "scan_successors",
        include_str!("../../../sql/relay/queries/scan_successors.sql"),
        "bigint[], bigint[], bigint, boolean, text[], text[], text[]",
        "'{1}', '{0}', 1000, true, '{}', '{}', '{}'",
    ],
];

/// The statements that take ids of events.
const BY_ID: [Statement; 6] = [
    [
        "load",
        include_str!("../../../sql/relay/queries/load.sql"),
        "bigint[], bigint, bigint, bigint",
        "'{1}', 1000, 1000, 1000",
    ],
    ["identify", include_str!("../../../sql/relay/queries/identify.sql"), "bigint[]", "'{1}'"],
    [
        "count_digits",
        include_str!("../../../sql/relay/queries/count_digits.sql"),
        "bigint[], bigint",
        "'{1}', 1000",
    ],
    [
        "settle_published",
        include_str!("../../../sql/relay/queries/settle_published.sql"),
        "bigint[], uuid[], integer[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{0}'",
    ],
    [
        "settle_deleted",
        include_str!("../../../sql/relay/queries/settle_deleted.sql"),
        "bigint[], uuid[], integer[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{0}'",
    ],
    [
        "settle_failed",
        include_str!("../../../sql/relay/queries/settle_failed.sql"),
        "bigint[], uuid[], text[], double precision[], integer[], text[], text[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{refused}', '{1}', '{0}', '{refused}', '{1}'",
    ],
];

/// The statements by which a command changes a batch of events, and looks for those that still match:
/// their names, their texts, and their parameters' types and values. `IDS` and `EVENT_IDS` are those
/// of a batch.
const CHANGES: [Statement; 3] = [
    [
        "retry_events",
        include_str!("../../../sql/relay/commands/retry_events.sql"),
        "text, bigint[], uuid[], boolean, text, text, uuid",
        "FILTER, IDS, EVENT_IDS, false, 'alice', NULL, gen_random_uuid()",
    ],
    [
        "discard_events",
        include_str!("../../../sql/relay/commands/discard_events.sql"),
        "text, bigint[], uuid[], boolean, text, text, uuid",
        "FILTER, IDS, EVENT_IDS, true, 'alice', NULL, gen_random_uuid()",
    ],
    [
        "find_matching",
        include_str!("../../../sql/relay/commands/find_matching.sql"),
        "text, uuid[], boolean, boolean",
        "FILTER, EVENT_IDS, true, true",
    ],
];

async fn prepare(outbox: &Outbox, [name, statement, types, _]: Statement) -> anyhow::Result<()> {
    let table: OutboxTable = "outbox".parse().map_err(anyhow::Error::msg)?;
    let statement = table.fill_in(statement);
    Ok(outbox.sql.batch_execute(&format!("PREPARE {name} ({types}) AS {statement}")).await?)
}

/// The output of `EXPLAIN` with these options, by lines.
async fn explain(
    outbox: &Outbox,
    options: &str,
    execute: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let plan = outbox.sql.simple_query(&format!("EXPLAIN ({options}) EXECUTE {execute}")).await?;
    let lines = plan.iter().filter_map(|line| match line {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(lines.collect())
}

/// The plan in a relay's session, by lines.
async fn plan(outbox: &Outbox, statement: Statement) -> anyhow::Result<Vec<String>> {
    prepare(outbox, statement).await?;
    let [name, .., values] = statement;
    Ok(explain(outbox, "COSTS ON", &format!("{name} ({values})")).await?)
}

/// The pages read by its execution, from memory or disk.
async fn pages_read(outbox: &Outbox, execute: &str) -> anyhow::Result<u64> {
    let plan = explain(outbox, "ANALYZE, BUFFERS, COSTS OFF, TIMING OFF", execute).await?;
    println!("{execute}: {}", plan.last().map_or("", String::as_str));
    let buffers = plan.iter().find_map(|line| line.trim().strip_prefix("Buffers: shared "));
    let buffers = buffers.with_context(|| plan.join("\n"))?;
    let pages = buffers.split([' ', '=']).filter_map(|word| word.parse::<u64>().ok());
    Ok(pages.sum())
}

#[tokio::test]
async fn what_holds_an_event_back_is_found_by_its_aggregate_whatever_the_statistics_say()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, 20000) AS n;
             ANALYZE outbox;
             UPDATE outbox SET attempts = 1, next_attempt_at = now() WHERE id % 10 = 0",
        )
        .await?;
    outbox.sql.batch_execute(PREPARE_SESSION).await?;
    for statement in SCANS {
        let (name, plan) = (statement[0], plan(&outbox, statement).await?);
        let scan = plan.iter().position(|line| line.contains(" on outbox ahead "));
        let plan_text = plan.join("\n");
        let Some(scan) = scan else { anyhow::bail!("{name} asks nothing:\n{plan_text}") };
        ensure!(
            plan[scan].contains("outbox_failed_by_aggregate")
                && plan[scan + 1].contains("Index Cond: ((hashtextextended"),
            "{name} looks through all that failed, for each event:\n{plan_text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn events_whose_ids_are_known_are_found_by_them_in_a_table_that_is_new() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(PREPARE_SESSION).await?;
    for statement in BY_ID {
        let (name, plan) = (statement[0], plan(&outbox, statement).await?);
        let scans: Vec<&String> = plan.iter().filter(|line| line.contains("Scan using")).collect();
        ensure!(
            !scans.is_empty()
                && scans.iter().all(|scan| {
                    scan.contains("outbox_pkey") || scan.contains("outbox_event_id_key")
                }),
            "{name} reads all that is pending, for each id:\n{}",
            plan.join("\n")
        );
    }
    Ok(())
}

/// One event is stuck; one aggregate has 30,000 pending events and then one that was scheduled and is
/// due, 200,000 others have one each, and one has 30,000 that are scheduled for tomorrow, and then
/// 2,000 more. There are no statistics.
const BACKFILL: &str = "
    ALTER TABLE outbox SET (autovacuum_enabled = off);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
    VALUES ('order', 'stuck', 'order.created', '{}', 1, 'infinity');
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', 'busy', 'order.created', '{}' FROM generate_series(1, 30000);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
    VALUES ('order', 'busy', 'order.created', '{}', now());
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, 200000) AS n;
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
    SELECT 'order', 'later', 'order.created', '{}', now() + interval '1 day' FROM generate_series(1, 30000);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', 'later', 'order.created', '{}' FROM generate_series(1, 2000)";

#[tokio::test]
async fn a_poll_reads_a_few_pages_for_each_row_of_a_table_that_was_never_analysed()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(BACKFILL).await?;
    outbox.sql.batch_execute(PREPARE_SESSION).await?;
    for statement in SCANS {
        prepare(&outbox, statement).await?;
    }
    let busy = "SELECT hashtextextended('busy', hashtextextended('order', 0))";
    let busy = outbox.count(busy, &[]).await?;
    let (none, paused) = ("'{}', '{}', '{}'", "'{order}', '{NULL}', '{order.shipped}'");
    let pages = "'{t,t,f,f}', '{t,f,t,f}', '{-infinity,-infinity,-infinity,-infinity}', '{0,0,0,0}', '{infinity,-infinity,infinity,-infinity}', '{1000000,0,1000000,0}'";
    for (execute, rows) in [
        (format!("scan_new (0, -1, true, true, 2000, {none}, true, {none})"), 2000),
        (format!("scan_new (30001, -1, true, true, 2000, {none}, true, {none})"), 2000),
        (format!("scan_new (0, -1, true, true, 2000, {none}, true, {paused})"), 2000),
        (format!("scan_new (260002, -1, true, true, 2000, {none}, true, {none})"), 2000),
        (format!("scan_due (-1, 1000, true, true, {pages}, 1000000, {none})"), 2),
        (format!("scan_due (-1, 1000, true, true, {pages}, 1000000, {paused})"), 2),
        (format!("scan_successors ('{{{busy}}}', '{{129}}', 128, true, {none})"), 128),
        (format!("scan_successors ('{{{busy}}}', '{{129}}', 128, true, {paused})"), 128),
    ] {
        let pages = pages_read(&outbox, &execute).await?;
        ensure!(pages <= 5 * rows + 20, "{pages} pages for {rows} rows: {execute}");
    }
    Ok(())
}

/// The parts that commands put into their statements.
fn complete(statement: &str) -> String {
    [
        ("{matches}", include_str!("../../../sql/relay/fragments/matches.sql")),
        ("{matches_cause}", include_str!("../../../sql/relay/fragments/matches_cause.sql")),
        ("{operation_column}", ", operation_id"),
        ("{operation_value}", ", (SELECT id FROM operation)"),
    ]
    .into_iter()
    .fold(statement.to_owned(), |statement, (name, part)| statement.replace(name, part))
}

/// The beginning of each line, without a thousand ids.
fn without_values(plan: &[String]) -> String {
    plan.iter().fold(String::new(), |text, line| format!("{text}{line:.120}\n"))
}

#[tokio::test]
async fn a_batch_of_a_bulk_change_is_found_by_its_ids_right_after_a_burst_of_failures()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox
        .sql
        .batch_execute(
            "ALTER TABLE outbox SET (autovacuum_enabled = off);
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, 20000) AS n;
             ANALYZE outbox;
             UPDATE outbox
             SET attempts = 1, next_attempt_at = 'infinity', error_kind = 'returned', error_fingerprint = '00000000000000aa'",
        )
        .await?;
    let batch = "SELECT string_agg(id::text, ','), string_agg(event_id::text, ',') FROM outbox WHERE id <= 1000";
    let batch = outbox.sql.query_one(batch, &[]).await?;
    let (ids, event_ids): (String, String) = (batch.get(0), batch.get(1));
    outbox.sql.batch_execute("BEGIN").await?;
    let prepare_transaction = include_str!("../../../sql/relay/commands/prepare_transaction.sql");
    outbox.sql.query(prepare_transaction, &[&"30000", &None::<&str>]).await?;
    for [name, statement, types, values] in CHANGES {
        let table: OutboxTable = "outbox".parse().map_err(anyhow::Error::msg)?;
        let statement = table.fill_in(&complete(statement));
        outbox.sql.batch_execute(&format!("PREPARE {name} ({types}) AS {statement}")).await?;
        let values = values
            .replace("EVENT_IDS", &format!("'{{{event_ids}}}'"))
            .replace("IDS", &format!("'{{{ids}}}'"))
            .replace("FILTER", r#"'{"kind": "returned", "fingerprint": "00000000000000aa"}'"#);
        let plan = explain(&outbox, "COSTS ON", &format!("{name} ({values})")).await?;
        let by_state = ["Seq Scan on outbox", "_held_back", "_by_cause", "_by_aggregate"];
        ensure!(
            !plan.iter().any(|line| by_state.iter().any(|scan| line.contains(scan))),
            "{name} looks through all that failed, for each batch:\n{}",
            without_values(&plan)
        );
    }
    Ok(())
}
