//! Row-level security: a relay works if it can access every row; otherwise it publishes nothing and
//! names the policy.

use anyhow::{Context as _, ensure};
use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{Outbox, Stepped, eventually};
use pipeline_tests::relay_check::{check, mend};

const ENABLE: &str = "ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;";

/// An outbox with a queue and a relay's role of its own, as roles are global on the server. Returns
/// the role's name.
async fn with_a_role() -> anyhow::Result<(Outbox, String)> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let role = format!("relay_of_{}", outbox.database.name);
    let create = format!("CREATE ROLE \"{role}\" LOGIN; GRANT outbox_relay TO \"{role}\"");
    outbox.sql.batch_execute(&create).await?;
    outbox.relay_url = outbox.database.url_as(&role).await?;
    Ok((outbox, role))
}

/// Steps until PostgreSQL is reported as down for this reason. Nothing may have been published.
async fn refuses(outbox: &Outbox, relay: &mut Stepped, parts: &[&str]) -> anyhow::Result<()> {
    let mut said = String::new();
    eventually("hidden rows are reported", async || {
        Box::pin(relay.relay.tick()).await;
        said = relay.health.statuses()["postgresql"].reason.clone().unwrap_or_default();
        Ok(!relay.health.is_ready() && said.starts_with("row-level security hides rows"))
    })
    .await
    .with_context(|| format!("it says {said:?}"))?;
    for part in parts {
        ensure!(said.contains(part), "{part} is not in {said}");
    }
    ensure!(outbox.depth("all").await? == 0, "something was sent");
    Ok(())
}

#[tokio::test]
async fn policies_that_may_hide_rows_are_named_and_nothing_is_sent() -> anyhow::Result<()> {
    let (outbox, role) = with_a_role().await?;
    outbox.add("7", "order.created").await?;
    for (policies, parts) in [
        ("", &["no policy lets it SELECT, UPDATE, DELETE"][..]),
        (
            "CREATE POLICY tenant ON outbox USING (aggregate_id = current_setting('app.tenant', true))",
            &["the policy tenant limits its SELECT, UPDATE, DELETE"],
        ),
        ("CREATE POLICY \"1=1\" ON outbox USING (1 = 1)", &["1=1"]),
        ("CREATE POLICY sees ON outbox FOR SELECT USING (true)", &["no policy lets it UPDATE, DELETE"]),
        (
            "CREATE POLICY sees ON outbox FOR SELECT USING (true);
             CREATE POLICY notes ON outbox FOR UPDATE USING (true)",
            &["no policy lets it DELETE"],
        ),
        (
            "CREATE POLICY every ON outbox USING (true) WITH CHECK (attempts < 3)",
            &["the policy every limits its UPDATE"],
        ),
        (
            "CREATE POLICY every ON outbox USING (true);
             CREATE POLICY office_hours ON outbox AS RESTRICTIVE USING (extract(hour FROM now()) < 25)",
            &["the policy office_hours limits its SELECT, UPDATE, DELETE"],
        ),
        ("CREATE POLICY others ON outbox TO outbox_writer USING (true)", &["no policy lets it SELECT"]),
    ] {
        outbox.sql.batch_execute(&format!("{ENABLE} {policies}")).await?;
        let mut relay = outbox.relay(&[])?;
        refuses(&outbox, &mut relay, parts).await.context(policies)?;
        // It works after the reported fix, without a restart.
        let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
        let sql = mend(&findings.first().context("a finding")?.1)?;
        ensure!(sql == format!("ALTER ROLE \"{role}\" BYPASSRLS;"), "{sql}");
        for part in parts {
            ensure!(findings[0].1["finding"].as_str().unwrap_or_default().contains(part));
        }
        let drop = "DO $$ DECLARE policy text; BEGIN
            FOR policy IN SELECT polname FROM pg_policy LOOP EXECUTE format('DROP POLICY %I ON outbox', policy); END LOOP;
        END $$";
        outbox.sql.batch_execute(drop).await?;
    }
    let mut relay = outbox.relay(&[])?;
    refuses(&outbox, &mut relay, &[&format!("ALTER ROLE \"{role}\" BYPASSRLS")]).await?;
    outbox.sql.batch_execute(&format!("ALTER ROLE \"{role}\" BYPASSRLS")).await?;
    relay.until_idle().await?;
    ensure!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (0, 1));
    Ok(())
}

#[tokio::test]
async fn policies_that_are_true_hide_nothing() -> anyhow::Result<()> {
    let (outbox, role) = with_a_role().await?;
    for (policies, settings) in [
        ("CREATE POLICY every ON outbox USING (true)", &[][..]),
        (
            "CREATE POLICY sees ON outbox FOR SELECT USING (true);
             CREATE POLICY notes ON outbox FOR UPDATE USING (true) WITH CHECK (true);
             CREATE POLICY prunes ON outbox FOR DELETE USING (true)",
            &[],
        ),
        // There are other policies too, one of which can't even be evaluated.
        (
            "CREATE POLICY tenant ON outbox USING (aggregate_id = current_setting('app.tenant'));
             CREATE POLICY relay ON outbox TO outbox_relay USING (true);
             CREATE POLICY harmless ON outbox AS RESTRICTIVE USING (true)",
            &[],
        ),
        // Nothing is ever deleted.
        (
            "CREATE POLICY sees ON outbox FOR SELECT USING (true);
             CREATE POLICY notes ON outbox FOR UPDATE USING (true)",
            &["--outbox-retention", "off"],
        ),
    ] {
        outbox.sql.batch_execute(&format!("{ENABLE} {policies}")).await?;
        outbox.add("7", "order.created").await?;
        let mut relay = outbox.relay(settings)?;
        relay.until_idle().await.context(policies)?;
        ensure!(outbox.pending().await? == 0, "{policies}");
        let (ended, findings) = check(&outbox, &outbox.relay_url, settings).await?;
        ensure!(findings.is_empty(), "{policies}: {}", ended.out);
        outbox.sql.batch_execute(&format!("DROP OWNED BY \"{role}\"")).await?;
        let drop = "DO $$ DECLARE policy text; BEGIN
            FOR policy IN SELECT polname FROM pg_policy LOOP EXECUTE format('DROP POLICY %I ON outbox', policy); END LOOP;
        END $$";
        outbox.sql.batch_execute(drop).await?;
    }
    Ok(())
}

#[tokio::test]
async fn policies_that_are_switched_on_under_a_relay_are_noticed() -> anyhow::Result<()> {
    let (outbox, _) = with_a_role().await?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    outbox.sql.batch_execute(ENABLE).await?;
    refuses(&outbox, &mut relay, &["no policy lets it SELECT, UPDATE, DELETE"]).await?;
    outbox.add("7", "order.created").await?;
    assert_eq!(relay.relay.tick().await, TickOutcome::Unavailable);
    // A command's output would be wrong.
    let status = outbox.command(&["status"]).await?;
    ensure!(status.code == Some(1) && status.err.contains("row-level security"), "{status:?}");
    assert_eq!(outbox.depth("all").await?, 0);
    outbox.sql.batch_execute("CREATE POLICY every ON outbox USING (true)").await?;
    relay.until_idle().await?;
    ensure!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_role_that_owns_the_table_and_is_subject_to_policies_all_the_same_is_told_what_to_do()
-> anyhow::Result<()> {
    let (outbox, role) = with_a_role().await?;
    let force = format!(
        "ALTER TABLE outbox OWNER TO \"{role}\"; {ENABLE} ALTER TABLE outbox FORCE ROW LEVEL SECURITY"
    );
    outbox.sql.batch_execute(&force).await?;
    outbox.add("7", "order.created").await?;
    let mut relay = outbox.relay(&[])?;
    let remedy = "ALTER TABLE \"outbox\" NO FORCE ROW LEVEL SECURITY;";
    refuses(&outbox, &mut relay, &[remedy]).await?;
    let (_, findings) = check(&outbox, &outbox.relay_url, &[]).await?;
    assert_eq!(mend(&findings[0].1)?, remedy);
    outbox.sql.batch_execute(remedy).await?;
    relay.until_idle().await?;
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (0, 1));
    Ok(())
}
