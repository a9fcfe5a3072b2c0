//! The plans of the relay's statements without up-to-date statistics: on a new table, or after a
//! sudden burst of failures.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::Outbox;
use tokio_postgres::SimpleQueryMessage;

const PREPARE_SESSION: &str = include_str!("../../sql/relay/queries/prepare_session.sql");

/// A name, the statement, its parameters' types and values.
type Statement = [&'static str; 4];

/// The statements that poll for events.
const LOOKS: [Statement; 3] = [
    [
        "scan_new",
        include_str!("../../sql/relay/queries/scan_new.sql"),
        "bigint, bigint[], bigint[], bigint, bigint, boolean, boolean, text[]",
        "0, '{}', '{}', -1, 2000, true, true, '{}'",
    ],
    [
        "scan_due_retries",
        include_str!("../../sql/relay/queries/scan_due_retries.sql"),
        "bigint, bigint, boolean, boolean",
        "-1, 1000, true, true",
    ],
    [
        "scan_successors",
        include_str!("../../sql/relay/queries/scan_successors.sql"),
        "bigint[], bigint[], bigint, boolean",
        "'{1}', '{0}', 1000, true",
    ],
];

/// The statements that take ids of events.
const BY_ID: [Statement; 6] = [
    [
        "load",
        include_str!("../../sql/relay/queries/load.sql"),
        "bigint[], bigint, bigint, bigint",
        "'{1}', 1000, 1000, 1000",
    ],
    ["identify", include_str!("../../sql/relay/queries/identify.sql"), "bigint[]", "'{1}'"],
    [
        "count_digits",
        include_str!("../../sql/relay/queries/count_digits.sql"),
        "bigint[], bigint",
        "'{1}', 1000",
    ],
    [
        "settle_published",
        include_str!("../../sql/relay/queries/settle_published.sql"),
        "bigint[], uuid[], integer[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{0}'",
    ],
    [
        "settle_deleted",
        include_str!("../../sql/relay/queries/settle_deleted.sql"),
        "bigint[], uuid[], integer[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{0}'",
    ],
    [
        "settle_failed",
        include_str!("../../sql/relay/queries/settle_failed.sql"),
        "bigint[], uuid[], text[], double precision[], integer[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{refused}', '{1}', '{0}'",
    ],
];

async fn prepare(
    outbox: &Outbox,
    [name, statement, types, _]: Statement,
) -> Result<(), tokio_postgres::Error> {
    let statement = statement.replace("{outbox}", "outbox").replace("{audit}", "outbox_audit");
    outbox.sql.batch_execute(&format!("PREPARE {name} ({types}) AS {statement}")).await
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
    for statement in LOOKS {
        let (name, plan) = (statement[0], plan(&outbox, statement).await?);
        let scan = plan.iter().position(|line| line.contains(" on outbox ahead "));
        let plan_text = plan.join("\n");
        let Some(scan) = scan else { anyhow::bail!("{name} asks nothing:\n{plan_text}") };
        ensure!(
            plan[scan].contains("outbox_held_back_by_aggregate")
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

/// One event is stuck; one aggregate has 30,000 pending events, and 200,000 others have one each.
/// There are no statistics.
const BACKFILL: &str = "
    ALTER TABLE outbox SET (autovacuum_enabled = off);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
    VALUES ('order', 'stuck', 'order.created', '{}', 1, 'infinity');
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', 'busy', 'order.created', '{}' FROM generate_series(1, 30000);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, 200000) AS n";

#[tokio::test]
async fn a_poll_reads_a_few_pages_for_each_row_of_a_table_that_was_never_analysed()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(BACKFILL).await?;
    outbox.sql.batch_execute(PREPARE_SESSION).await?;
    for statement in LOOKS {
        prepare(&outbox, statement).await?;
    }
    let busy = "SELECT hashtextextended('busy', hashtextextended('order', 0))";
    let busy = outbox.count(busy, &[]).await?;
    for (execute, rows) in [
        ("scan_new (0, '{}', '{}', -1, 2000, true, true, '{}')".to_owned(), 2000),
        ("scan_new (30001, '{}', '{}', -1, 2000, true, true, '{}')".to_owned(), 2000),
        ("scan_due_retries (-1, 1000, true, true)".to_owned(), 1),
        (format!("scan_successors ('{{{busy}}}', '{{129}}', 128, true)"), 128),
    ] {
        let pages = pages_read(&outbox, &execute).await?;
        ensure!(pages <= 5 * rows + 20, "{pages} pages for {rows} rows: {execute}");
    }
    Ok(())
}
