//! The relay's statements on a table of which the statistics know nothing yet: it is new, or a burst of failures has only just begun.

use anyhow::ensure;
use pipeline_tests::outbox::Outbox;
use tokio_postgres::SimpleQueryMessage;

const PREPARE_SESSION: &str = include_str!("../../sql/relay/queries/prepare_session.sql");

/// A name, the statement, its parameters' types and some of their values.
type Statement = [&'static str; 4];

/// Those that look for events.
const LOOKS: [Statement; 3] = [
    [
        "look_ahead",
        include_str!("../../sql/relay/queries/look_ahead.sql"),
        "bigint, bigint[], bigint[], bigint, bigint, boolean, boolean, text[]",
        "0, '{}', '{}', -1, 2000, true, true, '{}'",
    ],
    [
        "look_due",
        include_str!("../../sql/relay/queries/look_due.sql"),
        "bigint, bigint, boolean, boolean",
        "-1, 1000, true, true",
    ],
    [
        "look_behind",
        include_str!("../../sql/relay/queries/look_behind.sql"),
        "bigint[], bigint[], bigint, boolean",
        "'{1}', '{0}', 1000, true",
    ],
];

/// Those that are given the ids of events.
const BY_ID: [Statement; 7] = [
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
        "bigint[], uuid[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}'",
    ],
    [
        "settle_deleted",
        include_str!("../../sql/relay/queries/settle_deleted.sql"),
        "bigint[], uuid[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}'",
    ],
    [
        "settle_failed",
        include_str!("../../sql/relay/queries/settle_failed.sql"),
        "bigint[], uuid[], text[], double precision[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}', '{refused}', '{1}'",
    ],
    [
        "still_pending",
        include_str!("../../sql/relay/queries/still_pending.sql"),
        "bigint[], uuid[]",
        "'{1}', '{00000000-0000-0000-0000-000000000001}'",
    ],
];

/// The plan that a relay's session makes of it, by lines.
async fn plan(
    outbox: &Outbox,
    [name, statement, types, values]: Statement,
) -> anyhow::Result<Vec<String>> {
    let statement = statement.replace("{outbox}", "outbox").replace("{audit}", "outbox_audit");
    let prepare = format!("PREPARE {name} ({types}) AS {statement}");
    outbox.sql.batch_execute(&prepare).await?;
    let plan = outbox.sql.simple_query(&format!("EXPLAIN EXECUTE {name} ({values})")).await?;
    let lines = plan.iter().filter_map(|line| match line {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(lines.collect())
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
