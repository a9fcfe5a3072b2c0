//! Collectors that are killed: no dead letter is lost, and none becomes two rows unless its
//! acknowledgement is in doubt.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::{PATIENCE, connect};
use rand::RngExt as _;
use stack::Service;
use tokio::time::sleep;
use tokio_postgres::Client;

type Tested = anyhow::Result<()>;

/// The collectors' sessions, including those of dead processes that the server has not noticed.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'outbox-relay dead-letters collect'";

/// Rows that were released before the crash: their messages were acknowledged, unless that was
/// lost.
const RELEASED: &str = "SELECT count(*) FROM dead_letters AS row WHERE NOT EXISTS (
                            SELECT FROM dead_letters_sessions AS session
                            WHERE session.id = row.collector_session
                              AND row.delivery_tag > session.acknowledged_up_to)";

/// Kills a collector, and waits until both servers have noticed that. Returns how many messages are
/// in the queue.
async fn kill(desk: &DeadLetterQueue, collector: &Service) -> anyhow::Result<i64> {
    collector.sigkill()?;
    collector.wait_exit(PATIENCE).await?;
    eventually("the database has noticed", async || {
        number(&desk.sql, SESSIONS).await.map(|n| n == 0)
    })
    .await?;
    // The queue gets back what was not acknowledged when the consumer is gone.
    let mut before = None;
    eventually("the broker has noticed", async || {
        let (messages, consumers) = desk.depth().await?;
        let is_settled = consumers == 0 && before == Some(messages);
        before = Some(messages);
        sleep(Duration::from_millis(50)).await;
        Ok(is_settled)
    })
    .await?;
    Ok(i64::from(before.unwrap_or_default()))
}

async fn number(sql: &Client, query: &str) -> anyhow::Result<i64> {
    Ok(sql.query_one(query, &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_killed_at_random_points_leave_one_row_for_each_message() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    // Small batches, so that a kill hits one in each of its states.
    let settings = [("DEAD_LETTERS_PREFETCH", "40")];
    let (mut added, mut in_doubt, mut waiting) = (0, 0, 0);
    for turn in 0..20 {
        desk.add(300, b"all alike", BasicProperties::default()).await?;
        added += 300;
        let begun = desk.rows().await?;
        let collector = desk.follow(&settings).await?;
        eventually("it has begun", async || Ok(desk.rows().await? > begun)).await?;
        sleep(Duration::from_micros(rand::rng().random_range(0..60_000))).await;
        waiting = kill(&desk, &collector).await?;
        // A message whose acknowledgement was noted and then lost is still in the queue, and
        // becomes a second row. There is no other doubt.
        let (rows, released) = (desk.rows().await?, number(&desk.sql, RELEASED).await?);
        let lost = waiting - (added + in_doubt - released);
        ensure!(lost >= 0, "turn {turn}: {} messages have neither a row nor a place", -lost);
        ensure!(lost <= 10, "turn {turn}: more than a batch was in doubt: {lost}");
        in_doubt += lost;
        ensure!(rows <= added + in_doubt, "turn {turn}: {rows} rows of {added} + {in_doubt}");
    }
    assert!(waiting > 0, "every kill was in the middle of the work");
    desk.collect_all().await?;
    assert_eq!(desk.rows().await?, added + in_doubt, "of {added} messages, {in_doubt} in doubt");
    assert_eq!(desk.depth().await?, (0, 0));
    // Second rows are marked as redelivered.
    let marked = number(&desk.sql, "SELECT count(*) FROM dead_letters WHERE redelivered").await?;
    assert!(marked >= in_doubt, "{marked} marked, {in_doubt} in doubt");
    Ok(())
}

/// Adds a trigger that blocks the collector's statements on `dead_letters_sessions` or
/// `dead_letters`, from the first row for which `condition` holds.
async fn hold(sql: &Client, on: &str, condition: &str) -> anyhow::Result<()> {
    let trigger = format!(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN IF {condition} THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NULL; END $$;
         CREATE TRIGGER hold AFTER {on} FOR EACH ROW EXECUTE FUNCTION hold();
         SELECT pg_advisory_lock(4711)"
    );
    sql.batch_execute(&trigger).await?;
    Ok(())
}

async fn until_held(sql: &Client) -> anyhow::Result<()> {
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the collector is held up", async || Ok(number(sql, waits).await? > 0)).await
}

async fn let_go(sql: &Client) -> anyhow::Result<()> {
    // The statement of a collector that was killed while it waited ends before it commits.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'outbox-relay dead-letters collect'";
    sql.query(end, &[]).await?;
    eventually("it has ended", async || Ok(number(sql, SESSIONS).await? == 0)).await?;
    sql.batch_execute("SELECT pg_advisory_unlock_all(); DROP FUNCTION hold CASCADE").await?;
    Ok(())
}

/// Killed when rows are committed that are not acknowledged: each is recognised, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_not_acknowledged_are_recognised_by_count() -> Tested {
    for queue_type in ["quorum", "classic"] {
        rows_are_recognised(queue_type).await.context(queue_type)?;
    }
    Ok(())
}

async fn rows_are_recognised(queue_type: &str) -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.make_anew(queue_type).await?;
    let holder = connect(&desk.database.url).await?;
    desk.add(100, b"all alike", BasicProperties::default()).await?;
    // The first batch is committed, and its release is not.
    hold(&holder, "UPDATE ON dead_letters_sessions", "NEW.acknowledged_up_to > 0").await?;
    let settings = [("DEAD_LETTERS_PREFETCH", "40"), ("DEAD_LETTERS_STATEMENT_TIMEOUT", "60s")];
    let collector = desk.follow(&settings).await?;
    until_held(&holder).await?;
    let committed = desk.rows().await?;
    assert!((1..=10).contains(&committed), "{committed}");
    collector.sigkill()?;
    collector.wait_exit(PATIENCE).await?;
    let_go(&holder).await?;
    eventually("all are back", async || Ok(desk.depth().await? == (100, 0))).await?;

    let ended = desk.collect(&["--json"]).await?;
    let told = ended.json().with_context(|| format!("{ended:?}"))?;
    assert_eq!((&told["stored"], &told["known"]), (&(100 - committed).into(), &committed.into()));
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (100, 0));
    Ok(())
}

/// Killed between a batch that is acknowledged and one that is not committed: the rows of the first
/// are not taken for those of the second, which looks the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_acknowledged_are_not_taken_for_other_messages() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let holder = connect(&desk.database.url).await?;
    desk.add(10, b"all alike", BasicProperties::default()).await?;
    let settings = [("DEAD_LETTERS_PREFETCH", "40"), ("DEAD_LETTERS_STATEMENT_TIMEOUT", "60s")];
    let collector = desk.follow(&settings).await?;
    desk.collected(10).await?;
    let released = "SELECT max(acknowledged_up_to) FROM dead_letters_sessions";
    eventually("they are released", async || Ok(number(&desk.sql, released).await? == 10)).await?;
    hold(&holder, "INSERT ON dead_letters", "true").await?;
    desk.add(7, b"all alike", BasicProperties::default()).await?;
    until_held(&holder).await?;
    collector.sigkill()?;
    collector.wait_exit(PATIENCE).await?;
    let_go(&holder).await?;
    eventually("seven are back", async || Ok(desk.depth().await? == (7, 0))).await?;
    assert_eq!(desk.rows().await?, 10);

    desk.collect_all().await?;
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (17, 0));
    Ok(())
}

/// What a dead collector had stored is not taken for a message that comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_messages_are_gone_do_not_hide_later_ones() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let holder = connect(&desk.database.url).await?;
    desk.add(10, b"all alike", BasicProperties::default()).await?;
    hold(&holder, "UPDATE ON dead_letters_sessions", "NEW.acknowledged_up_to > 0").await?;
    let settings = [("DEAD_LETTERS_PREFETCH", "40"), ("DEAD_LETTERS_STATEMENT_TIMEOUT", "60s")];
    let collector = desk.follow(&settings).await?;
    until_held(&holder).await?;
    collector.sigkill()?;
    collector.wait_exit(PATIENCE).await?;
    let_go(&holder).await?;
    eventually("all are back", async || Ok(desk.depth().await? == (10, 0))).await?;
    desk.purge().await?;
    // It finds the queue empty, and forgets the dead one's session.
    desk.collect_all().await?;
    let sessions = "SELECT count(*) FROM dead_letters_sessions";
    assert_eq!(number(&desk.sql, sessions).await?, 0);

    // The same message, delivered before: by a collector that died before it stored it.
    desk.add(5, b"all alike", BasicProperties::default()).await?;
    hold(&holder, "INSERT ON dead_letters", "true").await?;
    let collector = desk.follow(&settings).await?;
    until_held(&holder).await?;
    collector.sigkill()?;
    collector.wait_exit(PATIENCE).await?;
    let_go(&holder).await?;
    eventually("all are back", async || Ok(desk.depth().await? == (5, 0))).await?;
    desk.collect_all().await?;
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (15, 0));
    Ok(())
}
