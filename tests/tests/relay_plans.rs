//! The relay's looks at a table of which the statistics know nothing yet: a burst of failures has only just begun.

use anyhow::ensure;
use pipeline_tests::outbox::Outbox;
use tokio_postgres::SimpleQueryMessage;

const PREPARE_SESSION: &str = include_str!("../../sql/relay/queries/prepare_session.sql");

/// A name, the statement, its parameters' types and some of their values.
const LOOKS: [[&str; 4]; 3] = [
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
    for [name, statement, types, values] in LOOKS {
        let statement = statement.replace("{outbox}", "outbox").replace("{audit}", "outbox_audit");
        let prepare = format!("PREPARE {name} ({types}) AS {statement}");
        outbox.sql.batch_execute(&prepare).await?;
        let plan = outbox.sql.simple_query(&format!("EXPLAIN EXECUTE {name} ({values})")).await?;
        let lines = plan.iter().filter_map(|line| match line {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan: Vec<&str> = lines.collect();
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
