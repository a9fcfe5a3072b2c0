//! `dead-letters collect --follow` as a process: health, metrics, outages, a clean end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::metrics::shows;
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::{PATIENCE, address, connect, ready};
use pipeline_tests::readiness::{of_postgresql, readiness};
use stack::{PostgresServer, RabbitServer, Service};

type Tested = anyhow::Result<()>;

fn plain() -> BasicProperties {
    BasicProperties::default()
}

/// Waits until `/readyz` says why a dependency is down.
async fn down(collector: &Service, dependency: &str) -> anyhow::Result<()> {
    eventually(&format!("{dependency} is down"), async || {
        let told = readiness(collector).await?;
        Ok(told["ready"] == false && told["dependencies"][dependency]["reason"].is_string())
    })
    .await
}

/// Returns the maximum number of redeliveries of one message.
async fn redeliveries(desk: &DeadLetterQueue) -> anyhow::Result<i64> {
    let most =
        "SELECT coalesce(max((headers ->> 'x-delivery-count')::bigint), 0) FROM dead_letters";
    Ok(desk.sql.query_one(most, &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_shows_what_it_has_collected_and_what_waits() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let collector = desk.follow(&[]).await?;
    ready(&collector).await?;
    let ops = address(&collector, "operations port is open").await?;
    let live = stack::http_client()?.get(format!("{ops}/livez")).send().await?;
    assert!(live.status().is_success());
    let zeros = [
        r#"dead_letters_collected_total{queue="billing.dlq"} 0"#,
        r#"dead_letters_refused{queue="billing.dlq"} 0"#,
        r#"dead_letters_open{queue="billing.dlq"} 0"#,
    ];
    shows(&collector, &zeros).await?;
    desk.add(50, b"x", plain()).await?;
    desk.collected(50).await?;
    let lines = [
        r#"dead_letters_collected_total{queue="billing.dlq"} 50"#,
        r#"dead_letters_known_total{queue="billing.dlq"} 0"#,
        r#"dead_letters_pruned_total{queue="billing.dlq"} 0"#,
        r#"dead_letters_queue_messages{queue="billing.dlq"} 0"#,
        r#"dead_letters_open{queue="billing.dlq"} 50"#,
        r#"dependency_up{dependency="postgresql"} 1"#,
        r#"dependency_up{dependency="rabbitmq"} 1"#,
    ];
    shows(&collector, &lines).await?;
    desk.sql
        .batch_execute("UPDATE dead_letters SET collected_at = now() - interval '2 days'")
        .await?;
    eventually("it tells how old they are", async || {
        let shown = pipeline_tests::metrics::metrics(&collector).await?;
        let oldest = r#"dead_letters_oldest_open_seconds{queue="billing.dlq"} "#;
        let age = shown.lines().find_map(|line| line.strip_prefix(oldest));
        Ok(age.context("the age")?.parse::<f64>()? > 172_000.0)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_acknowledges_what_it_has_stored() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.add(3000, b"x", plain()).await?;
    let collector = desk.follow(&[("DEAD_LETTERS_PREFETCH", "40")]).await?;
    eventually("it collects", async || Ok(desk.rows().await? > 0)).await?;
    collector.sigterm()?;
    let status = collector.wait_exit(PATIENCE).await?;
    assert!(status.success(), "{}", collector.last_lines());
    let rows = desk.rows().await?;
    let left = u32::try_from(3000 - rows)?;
    eventually("the rest is back", async || Ok(desk.depth().await? == (left, 0))).await?;
    let sessions = "SELECT count(*) FROM dead_letters_sessions";
    let sessions: i64 = desk.sql.query_one(sessions, &[]).await?.get(0);
    assert_eq!(sessions, 0, "its session has ended in order");
    desk.collect_all().await?;
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (3000, 0));
    Ok(())
}

/// Somebody holds the table for longer than the collector may take to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_while_it_can_not_store_it_leaves_the_messages_in_the_queue() -> Tested {
    for arguments in [&["--follow"][..], &[]] {
        let desk = DeadLetterQueue::start().await?;
        desk.add(500, b"x", plain()).await?;
        let other = connect(&desk.database.url).await?;
        other.batch_execute("BEGIN; LOCK TABLE dead_letters IN SHARE MODE").await?;
        let collector = desk.spawn_collect(arguments, &[("SHUTDOWN_GRACE", "8s")]).await?;
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'dead_letters'::regclass
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        eventually("it waits", async || Ok(desk.count(waits).await? == 1)).await?;
        let begun = Instant::now();
        collector.sigterm()?;
        collector.wait_exit(PATIENCE).await?;
        ensure!(begun.elapsed() < Duration::from_secs(9), "it took {:?}", begun.elapsed());
        eventually("all are back", async || Ok(desk.depth().await? == (500, 0))).await?;
        other.batch_execute("COMMIT").await?;
        // Its statement ends with its session.
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'outbox-relay dead-letters collect'";
        eventually("it is gone", async || Ok(desk.count(sessions).await? == 0)).await?;
        desk.collect_all().await?;
        assert_eq!((desk.rows().await?, desk.depth().await?.0), (500, 0), "{arguments:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_down_the_messages_wait_in_the_queue() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let broker = stack::shared().await?.vhost("desk").await?;
    let mut desk = DeadLetterQueue::with(postgres.database("desk").await?, broker).await?;
    desk.add(3000, b"x", plain()).await?;
    let collector = desk.follow(&[("DEAD_LETTERS_PREFETCH", "40")]).await?;
    eventually("it collects", async || Ok(desk.rows().await? > 0)).await?;
    postgres.stop_immediately().await?;
    down(&collector, "postgresql").await?;
    eventually("nothing is held back", async || Ok(desk.depth().await?.1 == 0)).await?;
    desk.add(100, b"x", plain()).await?;

    postgres.start().await?;
    desk.sql = connect(&desk.database.url).await?;
    ready(&collector).await?;
    // The outage may have hit between the note of a release and its acknowledgement.
    eventually("all is collected", async || {
        Ok(desk.rows().await? >= 3100 && desk.depth().await?.0 == 0)
    })
    .await?;
    let rows = desk.rows().await?;
    ensure!((3100..=3110).contains(&rows), "{rows} rows: more than one batch was in doubt");
    assert!(redeliveries(&desk).await? <= 1, "requeued more than once");
    Ok(())
}

/// The database answers, but can store nothing, as when its disk is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_can_store_nothing_the_messages_are_not_requeued_in_a_loop() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.sql
        .batch_execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
             CREATE TRIGGER no_room BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION no_room()",
        )
        .await?;
    desk.add(100, b"x", plain()).await?;
    let collector = desk.follow(&[]).await?;
    eventually("it says why", async || {
        Ok(of_postgresql(&collector).await?.1.contains("no space left"))
    })
    .await?;
    // It tries again some times, without receiving anything.
    let tries = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let begun: i64 = desk.sql.query_one(tries, &[]).await?.get(0);
    eventually("it tries again", async || {
        ensure!(desk.depth().await?.1 == 0, "it consumes");
        Ok(desk.sql.query_one(tries, &[]).await?.get::<_, i64>(0) >= begun + 5)
    })
    .await?;
    desk.sql.batch_execute("DROP FUNCTION no_room CASCADE").await?;
    desk.collected(100).await?;
    assert!(redeliveries(&desk).await? <= 1, "requeued more than once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_down_the_collector_waits_for_it() -> Tested {
    let mut rabbit = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("desk").await?;
    let mut desk = DeadLetterQueue::with(database, rabbit.vhost("desk").await?).await?;
    let collector = desk.follow(&[]).await?;
    desk.add(100, b"x", plain()).await?;
    desk.collected(100).await?;
    let released = "SELECT max(acknowledged_up_to) FROM dead_letters_sessions";
    eventually("it has acknowledged them", async || {
        Ok(desk.sql.query_one(released, &[]).await?.get::<_, Option<i64>>(0) == Some(100))
    })
    .await?;
    rabbit.stop_gracefully().await?;
    down(&collector, "rabbitmq").await?;
    rabbit.start().await?;
    ready(&collector).await?;
    desk.reconnect().await?;
    desk.add(50, b"x", plain()).await?;
    desk.collected(150).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_collector_takes_over_when_the_first_dies() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let first = desk.follow(&[]).await?;
    ready(&first).await?;
    let second = desk.follow(&[]).await?;
    ready(&second).await?;
    let note = readiness(&second).await?.to_string();
    assert!(note.contains(&format!("another collector collects {QUEUE}")), "{note}");
    desk.add(20, b"x", plain()).await?;
    desk.collected(20).await?;
    let released = "SELECT max(acknowledged_up_to) FROM dead_letters_sessions";
    eventually("the first one has acknowledged them", async || {
        Ok(desk.sql.query_one(released, &[]).await?.get::<_, Option<i64>>(0) == Some(20))
    })
    .await?;
    first.sigkill()?;
    eventually("the second one takes over", async || {
        Ok(!readiness(&second).await?.to_string().contains("another collector"))
    })
    .await?;
    desk.add(20, b"x", plain()).await?;
    desk.collected(40).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_is_held_and_shown_while_the_others_go_on() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let constraint =
        "ALTER TABLE dead_letters ADD CONSTRAINT no_bad CHECK (message_id IS DISTINCT FROM 'bad')";
    desk.sql.batch_execute(constraint).await?;
    let collector = desk.follow(&[]).await?;
    desk.add(1, b"x", plain().with_message_id("bad".into())).await?;
    desk.add(20, b"x", plain()).await?;
    desk.collected(20).await?;
    shows(&collector, &[r#"dead_letters_refused{queue="billing.dlq"} 1"#]).await?;
    let told = readiness(&collector).await?;
    assert!(told["ready"] == true, "{told}");
    assert!(told.to_string().contains("the database refuses 1 messages"), "{told}");
    collector.wait_for_line("message_id bad", PATIENCE).await?;
    // The others are acknowledged.
    collector.sigterm()?;
    collector.wait_exit(PATIENCE).await?;
    eventually("it is back", async || Ok(desk.depth().await? == (1, 0))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_rows_are_deleted_after_their_retention() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.add(6, b"x", plain()).await?;
    desk.collect_all().await?;
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET state = 'returned', settled_at = now() - interval '2 minutes' WHERE id = 1;
             UPDATE dead_letters SET state = 'discarded', settled_at = now() - interval '2 minutes' WHERE id = 2;
             UPDATE dead_letters SET state = 'returned', settled_at = now() WHERE id = 3;
             UPDATE dead_letters SET collected_at = now() - interval '1 year' WHERE id IN (4, 5);
             UPDATE dead_letters SET state = 'returning' WHERE id = 5;
             UPDATE dead_letters SET queue = 'another.dlq', state = 'returned', settled_at = now() - interval '1 year' WHERE id = 6",
        )
        .await?;
    let collector = desk.follow(&[("DEAD_LETTERS_RETENTION", "90s")]).await?;
    shows(&collector, &[r#"dead_letters_pruned_total{queue="billing.dlq"} 2"#]).await?;
    let ids: Vec<i64> = desk.letters().await?.iter().filter_map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids, [3, 4, 5, 6]);
    Ok(())
}

/// What people settle is counted once each, in the process that measures it, ten seconds later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_counts_what_people_return_and_discard() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.add(6, b"x", plain()).await?;
    desk.collect_all().await?;
    let settle = "UPDATE dead_letters SET state = $1, settled_at = now() - $2::text::interval WHERE id = ANY ($3)";
    // Before the collector began.
    desk.sql.execute(settle, &[&"returned", &"1 hour", &[1_i64].as_slice()]).await?;
    let collector = desk.follow(&[]).await?;
    shows(&collector, &[r#"dead_letters_open{queue="billing.dlq"} 5"#]).await?;
    desk.sql.execute(settle, &[&"returned", &"0", &[2_i64, 3, 4].as_slice()]).await?;
    desk.sql.execute(settle, &[&"discarded", &"0", &[5_i64].as_slice()]).await?;
    let lines = [
        r#"dead_letters_settled_total{queue="billing.dlq",state="returned"} 3"#,
        r#"dead_letters_settled_total{queue="billing.dlq",state="discarded"} 1"#,
        r#"dead_letters_open{queue="billing.dlq"} 1"#,
    ];
    shows(&collector, &lines).await?;
    // A later measurement counts none of them again.
    desk.sql.execute(settle, &[&"discarded", &"0", &[6_i64].as_slice()]).await?;
    let lines =
        [lines[0], r#"dead_letters_settled_total{queue="billing.dlq",state="discarded"} 2"#];
    shows(&collector, &lines).await
}
