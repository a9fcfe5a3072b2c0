//! `outbox-relay check`: finds what keeps a relay from working, and says what mends it.

use anyhow::Context as _;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{ExchangeKind, options::ExchangeDeleteOptions};
use pipeline_tests::outbox::{EXCHANGE, Outbox};
use pipeline_tests::pooler::Pooler;
use pipeline_tests::relay_check::{check, mend, mend_all, names};
use pipeline_tests::relay_command::outbox_relay;

#[tokio::test]
async fn a_fresh_outbox_and_the_least_privileged_role_are_ok() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (ended, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert!(findings.is_empty(), "{}", ended.out);
    let exchange = "the relay declares it when it starts";
    assert!(ended.out.contains(exchange), "{}", ended.out);
    let page = outbox.command(&["check"]).await?;
    assert_eq!(page.code, Some(0));
    assert!(page.out.ends_with("\nA relay can work here.\n"), "{}", page.out);
    // Nothing was created, not even the exchange.
    let missing = check(&outbox, &outbox.relay_url, &["--relay-declare", "false"]).await?.1;
    assert_eq!(names(&missing), ["exchange"]);
    Ok(())
}

/// Breaks something, finds it under the names of these checks, and fixes it with the printed SQL.
async fn found_and_mended(breaking: &str, expected: &[&str]) -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(breaking).await.context(breaking.to_owned())?;
    let table: &[&str] =
        if breaking.contains("SCHEMA") { &["--outbox-table", "public.outbox"] } else { &[] };
    let (ended, findings) = check(&outbox, &outbox.relay_url, table).await?;
    assert_eq!(names(&findings), expected, "{breaking}: {}", ended.out);
    mend_all(&outbox, table).await.context(breaking.to_owned())
}

#[tokio::test]
async fn wrong_columns_and_indexes_are_found_and_fixed_by_the_printed_sql() -> anyhow::Result<()> {
    for (breaking, expected) in [
        ("ALTER TABLE outbox DROP COLUMN last_error CASCADE", &["table"][..]),
        (
            "DROP VIEW outbox_pending, outbox_stuck, outbox_failures; ALTER TABLE outbox ALTER COLUMN aggregate_id TYPE char(10)",
            &["table"],
        ),
        ("DROP TABLE outbox_audit", &["audit table"]),
        ("ALTER TABLE outbox_audit DROP COLUMN detail", &["audit table"]),
        ("DROP INDEX outbox_pending_by_id", &["indexes"]),
        (
            "DROP INDEX outbox_held_back, outbox_held_back_by_aggregate, outbox_pending_by_aggregate",
            &["indexes"; 3],
        ),
        (
            "DROP INDEX outbox_held_back; CREATE INDEX outbox_held_back ON outbox (attempts)",
            &["indexes"],
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'outbox_held_back'::regclass",
            &["indexes"],
        ),
        ("ALTER TABLE outbox DROP CONSTRAINT outbox_event_id_key", &["indexes"]),
    ] {
        found_and_mended(breaking, expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wrong_sequences_and_privileges_are_found_and_fixed_by_the_printed_sql()
-> anyhow::Result<()> {
    for (breaking, expected) in [
        ("ALTER SEQUENCE outbox_id_seq CACHE 20", &["sequence"][..]),
        ("ALTER SEQUENCE outbox_id_seq INCREMENT BY -1 MINVALUE -10 START 1", &["sequence"]),
        ("ALTER TABLE outbox ALTER COLUMN id DROP IDENTITY", &["sequence"]),
        ("REVOKE SELECT, DELETE ON outbox FROM outbox_relay", &["privileges"]),
        ("REVOKE UPDATE (attempts) ON outbox FROM outbox_relay", &["privileges"]),
        ("REVOKE INSERT ON outbox_audit FROM outbox_relay", &["privileges"]),
        ("REVOKE USAGE ON SCHEMA public FROM outbox_relay, public", &["table"]),
    ] {
        found_and_mended(breaking, expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hidden_rows_are_found() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute("ALTER TABLE outbox ENABLE ROW LEVEL SECURITY").await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert_eq!(names(&findings), ["privileges"]);
    assert_eq!(mend(&findings[0].1)?, "ALTER ROLE \"outbox_relay\" BYPASSRLS;");
    Ok(())
}

#[tokio::test]
async fn a_relay_that_never_prunes_needs_not_delete() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute("REVOKE DELETE ON outbox FROM outbox_relay").await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert_eq!(names(&findings), ["privileges"]);
    let (_, findings) = check(&outbox, &outbox.relay_url, &["--outbox-retention", "off"]).await?;
    assert!(findings.is_empty(), "{findings:?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_table_is_told_with_the_command_that_adds_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &["--outbox-table", "events"]).await?;
    assert_eq!(names(&findings), ["table"]);
    let command = mend(&findings[0].1)?;
    let begin = "outbox-relay schema --outbox-table events | psql \"$DATABASE_URL\"";
    assert!(command.starts_with(begin), "{command}");

    outbox.sql.batch_execute("CREATE VIEW events AS SELECT * FROM outbox").await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &["--outbox-table", "events"]).await?;
    assert_eq!(findings[0].1["finding"], "events is not a table");
    Ok(())
}

#[tokio::test]
async fn a_pooler_that_hands_out_connections_by_transaction_is_found() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (_pooler, url) = Pooler::before(&outbox.relay_url).await?;
    let (ended, findings) = check(&outbox, &url, &[]).await?;
    assert_eq!(names(&findings), ["pooler"], "{}", ended.out);
    assert!(mend(&findings[0].1)?.contains("pool_mode=session"), "{}", ended.out);
    Ok(())
}

#[tokio::test]
async fn a_database_that_can_not_be_reached_is_one_finding() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let unknown = outbox.relay_url.replace(&outbox.database.name, "nowhere");
    for url in ["postgres://u:p@127.0.0.1:1/d", &unknown] {
        let (ended, findings) = check(&outbox, url, &[]).await?;
        assert_eq!(names(&findings), ["database"], "{}", ended.out);
    }
    Ok(())
}

#[tokio::test]
async fn servers_that_can_not_be_reached_are_told_together() -> anyhow::Result<()> {
    let settings = [
        ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d"),
        ("RABBITMQ_URL", "amqp://u:hunter2@127.0.0.1:1/v"),
    ];
    let ended = outbox_relay(&["check"], &settings).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for said in ["FAIL database", "FAIL broker", "-    table", "2 problems found"] {
        assert!(ended.out.contains(said), "{said}: {}", ended.out);
    }
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
    // The relay's settings are checked as by `run`.
    let wrong = [settings[0], settings[1], ("RELAY_EXCHANGE", "")];
    assert_eq!(outbox_relay(&["check"], &wrong).await?.code, Some(64));
    Ok(())
}

#[tokio::test]
async fn an_exchange_that_the_relay_can_not_use_is_found() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declare = async |kind: ExchangeKind| {
        let table = FieldTable::default();
        outbox.channel.exchange_declare(EXCHANGE.into(), kind, durable, table).await
    };
    declare(ExchangeKind::Fanout).await?;
    let (ended, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert_eq!(names(&findings), ["exchange"], "{}", ended.out);
    assert!(mend(&findings[0].1)?.contains("RELAY_DECLARE=false"), "{}", ended.out);
    let (_, findings) = check(&outbox, &outbox.relay_url, &["--relay-declare", "false"]).await?;
    assert!(findings.is_empty(), "{findings:?}");

    outbox.channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
    declare(ExchangeKind::Topic).await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert!(findings.is_empty(), "{findings:?}");
    Ok(())
}
