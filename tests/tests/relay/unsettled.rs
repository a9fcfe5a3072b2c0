//! Rows that can't be updated when their outcome is known, because they are locked or the database
//! rejects the update. All others continue.

use anyhow::Context as _;
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::unsettled_event::{
    ADD_OTHERS, FIRST, GUARD, NOTED, open_transaction, outbox_with_one_event, sent,
    step_until_others_published, until_noted,
};

#[tokio::test]
async fn a_row_that_somebody_has_locked_holds_up_its_own_aggregate_only() -> anyhow::Result<()> {
    for lock in ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE"] {
        let outbox = outbox_with_one_event().await?;
        let other =
            open_transaction(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} {lock}")).await?;
        let mut relay = outbox.relay(&[])?;
        assert_eq!(until_noted(&outbox, &mut relay).await?, ("locked".to_owned(), None), "{lock}");
        step_until_others_published(&outbox, &mut relay).await?;
        let note = relay.health.notes().remove("unsettled");
        assert!(note.is_some_and(|note| note.contains("another session holds the row's lock")));
        let (hindered, others) = sent(&outbox).await?;
        assert_eq!((hindered.len(), others), (1, 200), "{lock}: the aggregate waits, sent once");

        other.batch_execute("ROLLBACK").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{lock}");
        assert_eq!(relay.health.notes().get("unsettled"), None);
        let (hindered, others) = sent(&outbox).await?;
        assert_eq!((hindered.len(), others), (1, 0), "{lock}: only the one behind it");
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_check_hinders_nothing() -> anyhow::Result<()> {
    let outbox = outbox_with_one_event().await?;
    let _other =
        open_transaction(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR KEY SHARE"))
            .await?;
    outbox.relay(&[])?.until_idle().await?;
    assert_eq!((outbox.pending().await?, outbox.count(NOTED, &[]).await?), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_row_that_somebody_has_deleted_without_a_commit_is_settled_or_forgotten_with_it()
-> anyhow::Result<()> {
    for (end, left) in [("ROLLBACK", 2), ("COMMIT", 1)] {
        let outbox = outbox_with_one_event().await?;
        let other = open_transaction(&outbox, &format!("DELETE FROM outbox WHERE {FIRST}")).await?;
        let mut relay = outbox.relay(&[])?;
        until_noted(&outbox, &mut relay).await?;
        step_until_others_published(&outbox, &mut relay).await?;
        other.batch_execute(end).await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{end}");
        let rows = "SELECT count(*) FROM outbox WHERE aggregate_id = 'hindered'";
        assert_eq!(outbox.count(rows, &[]).await?, left, "{end}");
        assert_eq!(outbox.take_all("all").await?.len(), 202, "{end}: each once");
    }
    Ok(())
}

#[tokio::test]
async fn a_row_that_a_trigger_guards_holds_up_its_own_aggregate_only() -> anyhow::Result<()> {
    for (does, reason) in [
        ("RAISE EXCEPTION 'this event is under audit';", "this event is under audit"),
        ("RETURN NULL;", "keeps the row from being changed"),
        // Longer than the statement timeout.
        ("PERFORM pg_sleep(60);", "statement timeout"),
        ("PERFORM 1 / 0;", "division by zero"),
    ] {
        let outbox = outbox_with_one_event().await?;
        outbox.sql.batch_execute(&GUARD.replace("{}", does)).await?;
        let mut relay = outbox.relay(&[])?;
        let (kind, said) = until_noted(&outbox, &mut relay).await?;
        assert_eq!(kind, "refused", "{does}");
        assert!(said.as_ref().is_some_and(|said| said.contains(reason)), "{does}: {said:?}");
        step_until_others_published(&outbox, &mut relay).await?;
        assert_eq!(sent(&outbox).await?.0.len(), 1, "{does}: sent once, and the next one waits");

        outbox.sql.batch_execute("DROP TRIGGER guard ON outbox").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{does}");
    }
    Ok(())
}

/// The server would refuse to change any row.
#[tokio::test]
async fn an_error_of_the_server_is_blamed_on_no_row() -> anyhow::Result<()> {
    // Connection exception, read-only transaction, disk full, shutdown.
    for code in ["08006", "25006", "53100", "57P01"] {
        let outbox = outbox_with_one_event().await?;
        let refuses = format!("RAISE EXCEPTION 'refused' USING ERRCODE = '{code}';");
        outbox.sql.batch_execute(&GUARD.replace("{}", &refuses)).await?;
        let mut relay = outbox.relay(&[])?;
        let health = relay.health.clone();
        let reported = eventually("it is reported", async || {
            let status = &health.statuses()["postgresql"];
            let reason = status.reason.as_deref().unwrap_or_default();
            Ok(!status.up && reason.contains("can't be noted in the outbox: "))
        });
        relay.work_until(reported).await.with_context(|| code)?;
        assert_eq!(outbox.count(NOTED, &[]).await?, 0, "{code}");

        outbox.sql.batch_execute("DROP TRIGGER guard ON outbox").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.depth("all").await?, 1, "{code}: sent once");
    }
    Ok(())
}

#[tokio::test]
async fn a_published_row_that_can_not_be_deleted_is_marked() -> anyhow::Result<()> {
    let outbox = outbox_with_one_event().await?;
    outbox
        .sql
        .batch_execute(
            "CREATE TABLE shipment (event_id uuid NOT NULL REFERENCES outbox (event_id));
             INSERT INTO shipment SELECT event_id FROM outbox ORDER BY id LIMIT 1",
        )
        .await?;
    outbox.sql.batch_execute(ADD_OTHERS).await?;
    outbox.relay(&["--outbox-retention", "0"])?.until_idle().await?;
    let marked = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
    assert_eq!((outbox.count(marked, &[]).await?, outbox.pending().await?), (1, 0));
    assert_eq!(outbox.count(NOTED, &[]).await?, 0);
    assert_eq!(outbox.take_all("all").await?.len(), 201, "each once");
    Ok(())
}

#[tokio::test]
async fn a_locked_row_holds_up_no_deleting_of_others() -> anyhow::Result<()> {
    for lock in ["FOR UPDATE", "FOR SHARE", "FOR KEY SHARE"] {
        let outbox = outbox_with_one_event().await?;
        outbox.sql.batch_execute(ADD_OTHERS).await?;
        let other =
            open_transaction(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} {lock}")).await?;
        let mut relay = outbox.relay(&["--outbox-retention", "0"])?;
        relay
            .work_until(eventually("all others are deleted", async || {
                Ok(outbox.count("SELECT count(*) FROM outbox", &[]).await? == 1)
            }))
            .await?;
        assert!(relay.health.is_ready(), "{lock}: {:?}", relay.health.statuses());
        other.batch_execute("ROLLBACK").await?;
        relay.work_until(outbox.all_published()).await?;
        relay.until_idle().await?;
        assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 0, "{lock}");
        assert_eq!(outbox.take_all("all").await?.len(), 201, "{lock}: each once");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_attempt_that_can_not_be_noted_holds_up_its_own_aggregate_only()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.add("hindered", "order.unheard").await?;
    outbox.add("hindered", "order.created").await?;
    let other =
        open_transaction(&outbox, &format!("SELECT FROM outbox WHERE {FIRST} FOR UPDATE")).await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    step_until_others_published(&outbox, &mut relay).await?;
    assert_eq!(sent(&outbox).await?, (vec![], 200));
    assert_eq!(outbox.count(NOTED, &[]).await?, 0, "whoever takes over tries it again");
    let health = relay.health.clone();
    let told = eventually("people are told of it", async || {
        Ok(health.notes().get("unsettled").is_some_and(|note| note.starts_with("1 event")))
    });
    relay.work_until(told).await?;
    other.batch_execute("ROLLBACK").await?;
    let waits =
        "SELECT count(*) FROM outbox WHERE attempts = 1 AND last_error LIKE 'no queue is bound%'";
    relay
        .work_until(eventually("the failure is noted", async || {
            Ok(outbox.count(waits, &[]).await? == 1)
        }))
        .await
}
