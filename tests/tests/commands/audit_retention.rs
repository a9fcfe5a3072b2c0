//! `OUTBOX_AUDIT_RETENTION`: how long the audit table keeps what people did.

use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::relay_check::{check, mend};

/// Adds rows of this age, more than a statement deletes.
const ADD: &str = "INSERT INTO outbox_audit (actor, action, event_id, happened_at)
                   SELECT 'alice', 'discard', gen_random_uuid(), now() - $1::text::interval
                   FROM generate_series(1, 450)";

const ROWS: &str = "SELECT count(*) FROM outbox_audit";

const GRANT: &str = "GRANT DELETE ON outbox_audit TO outbox_relay";

const SETTING: [(&str, &str); 1] = [("OUTBOX_AUDIT_RETENTION", "1m")];

#[tokio::test]
async fn rows_are_deleted_after_their_time_and_commands_go_on() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute(GRANT).await?;
    outbox.sql.execute(ADD, &[&"2 minutes"]).await?;
    outbox.sql.execute(ADD, &[&"-1 hour"]).await?;
    let (relay, _) = outbox.joined_by(&SETTING).await?;
    eventually("the old ones are deleted", async || Ok(outbox.count(ROWS, &[]).await? == 450))
        .await?;
    relay.wait_for_line("pruned audit rows", PATIENCE).await?;
    let old = "SELECT count(*) FROM outbox_audit WHERE happened_at < now()";
    assert_eq!(outbox.count(old, &[]).await?, 0);

    // Also the latest one, which the relay has confirmed: it confirms the next one as well.
    outbox
        .sql
        .batch_execute("UPDATE outbox_audit SET happened_at = now() - interval '2 minutes'")
        .await?;
    eventually("all are deleted", async || Ok(outbox.count(ROWS, &[]).await? == 0)).await?;
    let stuck = add(&outbox, "1", Some("infinity")).await?;
    let ended = outbox.command(&["discard", "--reason", "x", &stuck]).await?;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_deleted_unless_it_is_wanted_and_one_relay_at_a_time_does_so()
-> anyhow::Result<()> {
    let kept = Outbox::new().await?;
    kept.sql.batch_execute(GRANT).await?;
    kept.sql.execute(ADD, &[&"100 years"]).await?;
    let (keeping, _) = kept.joined_by(&[]).await?;

    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(GRANT).await?;
    outbox.sql.execute(ADD, &[&"2 minutes"]).await?;
    // Whoever holds it prunes.
    let other = connect(&outbox.relay_url).await?;
    other
        .batch_execute(
            "SELECT pg_advisory_lock(1869968384 + 65, 'outbox_audit'::regclass::oid::integer)",
        )
        .await?;
    let (_relay, _) = outbox.joined_by(&SETTING).await?;
    let third = Outbox::new().await?;
    third.sql.batch_execute(GRANT).await?;
    third.sql.execute(ADD, &[&"2 minutes"]).await?;
    let (_third, _) = third.joined_by(&SETTING).await?;
    // It began later, and as often: the others would have deleted theirs by now.
    eventually("a third outbox is pruned", async || Ok(third.count(ROWS, &[]).await? == 0)).await?;
    assert_eq!(outbox.count(ROWS, &[]).await?, 450, "somebody else prunes");
    drop(other);
    eventually("it is its turn", async || Ok(outbox.count(ROWS, &[]).await? == 0)).await?;
    assert_eq!(kept.count(ROWS, &[]).await?, 450);
    assert!(keeping.is_running());
    Ok(())
}

#[tokio::test]
async fn a_relay_that_may_not_delete_says_so_and_goes_on() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.execute(ADD, &[&"2 minutes"]).await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert!(findings.is_empty(), "it is not needed: {findings:?}");
    let flags = ["--outbox-audit-retention", "1m"];
    let (_, findings) = check(&outbox, &outbox.relay_url, &flags).await?;
    let [(name, finding)] = &findings[..] else { anyhow::bail!("one finding: {findings:?}") };
    assert_eq!(name, "privileges");
    assert!(mend(finding)?.starts_with("GRANT DELETE ON \"outbox_audit\""), "{finding}");

    let relay = outbox.relay_process(&SETTING).await?;
    relay.wait_for_line("audit rows could not be pruned", PATIENCE).await?;
    assert!(relay.log().contains("permission denied for table outbox_audit"), "{}", relay.log());
    outbox.add("1", "order.created").await?;
    outbox.all_published().await?;
    outbox.sql.batch_execute(mend(finding)?).await?;
    eventually("they are deleted", async || Ok(outbox.count(ROWS, &[]).await? == 0)).await
}
