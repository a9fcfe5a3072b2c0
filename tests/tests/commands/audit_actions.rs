//! An audit table that an older release has made, whose CHECK constraint does not know what people
//! do by now.

use anyhow::Context as _;
use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::relay_check::{check, mend};

const OLDER: &str = "
    ALTER TABLE outbox_audit DROP CONSTRAINT outbox_audit_action_check;
    ALTER TABLE outbox_audit ADD CONSTRAINT outbox_audit_action_check CHECK (action IN ('retry', 'discard', 'replay', 'ours'))";

#[tokio::test]
async fn the_check_prints_the_statement_that_mends_it_and_a_command_that_is_refused_says_so()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(OLDER).await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    let edit = ["edit", &id, "--reason", "x", "--type", "order.edited"];
    let refused = outbox.command_as(&operator, &edit).await?;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{refused:?}");
    let edited = "SELECT count(*) FROM outbox WHERE event_type = 'order.edited'";
    assert_eq!(outbox.count(edited, &[]).await?, 0);
    assert!(refused.err.contains("`outbox-relay check` prints the ALTER TABLE"), "{refused:?}");

    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    let [(name, finding)] = &findings[..] else { anyhow::bail!("one finding: {findings:?}") };
    assert_eq!(name, "audit table");
    let found = finding["finding"].as_str().context("a sentence")?;
    assert!(found.contains("edit, restore, forget, pause, resume"), "{found}");
    let statement = mend(finding)?;
    assert!(statement.contains("'ours'"), "what it takes already stays: {statement}");

    outbox.sql.batch_execute(statement).await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert!(findings.is_empty(), "{findings:?}");
    let ended = outbox.command_as(&operator, &edit).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Ok(())
}
