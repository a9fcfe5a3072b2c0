//! Locks and slow statements in the consumer's database: other events are counted, and no event is
//! charged a retry.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, RETRY_QUEUE, orders_of, until,
};
use pipeline_tests::pipeline::connect;

type Tested = anyhow::Result<()>;

/// Without retries a message that is charged goes to the dead-letter queue at once.
const SOON: [&str; 4] = ["--rabbitmq-max-retries", "0", "--rabbitmq-retry-ttl-ms", "100"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_that_somebody_has_locked_delays_nobody_elses_events() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let (locked, free) = (fixture.customer().await?, fixture.customer().await?);
    let consumer = fixture.consumer(&SOON).await?;
    let other = connect(&fixture.database.url).await?;
    for lock in ["FOR UPDATE", "FOR SHARE"] {
        let before = fixture.count(locked).await?;
        other.batch_execute("BEGIN").await?;
        other.query(&format!("SELECT FROM customers WHERE id = $1 {lock}"), &[&locked]).await?;
        let mixed = orders_of(50, locked).into_iter().zip(orders_of(50, free));
        fixture.publish_all(mixed.flat_map(|(one, another)| [one, another])).await?;
        fixture.counted(free, before + 50).await.context(lock)?;
        ensure!(fixture.count(locked).await? == before, "{lock}");
        consumer.ready().await?;

        other.batch_execute("ROLLBACK").await?;
        fixture.counted(locked, before + 50).await.context(lock)?;
    }
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0, "a lock is charged to no message");
    Ok(())
}

/// As by another consumer whose commits are slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_soon_gone_moves_no_event() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&["--rabbitmq-retry-ttl-ms", "600000"]).await?;
    let other = connect(&fixture.database.url).await?;
    other.batch_execute("BEGIN; SELECT FROM customers FOR UPDATE").await?;
    fixture.publish_all(orders_of(5, customer)).await?;
    // For longer than a transaction waits for a lock.
    let waits = "SELECT query_start FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'customer-service consumer' AND wait_event_type = 'Lock'";
    let begun = RefCell::new(HashSet::<SystemTime>::new());
    until(async || {
        let seen = fixture.sql.query_opt(waits, &[]).await?;
        begun.borrow_mut().extend(seen.map(|row| row.get::<_, SystemTime>(0)));
        Ok((begun.borrow().len() == 2).then_some(()))
    })
    .await?;
    other.batch_execute("ROLLBACK").await?;
    fixture.counted(customer, 5).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_somebody_has_locked_is_the_databases_matter() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&SOON).await?;
    for table in ["customers", "processed_events"] {
        let before = fixture.count(customer).await?;
        let other = connect(&fixture.database.url).await?;
        other.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).await?;
        fixture.publish_all(orders_of(5, customer)).await?;
        let reason = consumer.down("postgresql").await?;
        ensure!(reason.contains("lock timeout"), "{table}: {reason}");
        other.batch_execute("ROLLBACK").await?;
        fixture.counted(customer, before + 5).await?;
        consumer.ready().await?;
    }
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0, "none was moved meanwhile");
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_slow_shrinks_until_it_fits() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    // Simulates a disk on which each event takes 20 ms.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
                    AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN new; END $$;
                CREATE TRIGGER slow BEFORE INSERT ON processed_events FOR EACH ROW EXECUTE FUNCTION slow()";
    fixture.sql.batch_execute(slow).await?;
    let settings = [&SOON[..], &["--database-statement-timeout", "400ms"]].concat();
    fixture.consumer(&settings).await?.stop().await?;
    fixture.publish_all(orders_of(200, customer)).await?;
    let consumer = fixture.consumer(&settings).await?;
    until(async || {
        ensure!(consumer.readiness().await?["ready"] == true, "the database is well");
        Ok((fixture.count(customer).await? == 200).then_some(()))
    })
    .await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_always_take_too_long_hold_up_no_other_and_are_not_charged() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let (slow, swift) = (fixture.customer().await?, fixture.customer().await?);
    let guard = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN PERFORM pg_sleep(60); RETURN new; END $$;
         CREATE TRIGGER slow BEFORE UPDATE ON customers FOR EACH ROW WHEN (new.id = '{slow}') EXECUTE FUNCTION slow()"
    );
    fixture.sql.batch_execute(&guard).await?;
    let settings = [&SOON[..], &["--database-statement-timeout", "300ms"]].concat();
    fixture.consumer(&settings).await?.stop().await?;
    fixture.publish_all(orders_of(10, swift)).await?;
    fixture.publish_all(orders_of(5, slow)).await?;
    fixture.publish_all(orders_of(10, swift)).await?;
    let consumer = fixture.consumer(&settings).await?;
    fixture.counted(swift, 20).await?;
    consumer.ready().await?;
    fixture.sql.batch_execute("DROP TRIGGER slow ON customers").await?;
    fixture.counted(slow, 5).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_too_slow_for_any_event_is_down_and_nothing_is_moved() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let mut customers = Vec::new();
    for _ in 0..4 {
        customers.push(fixture.customer().await?);
    }
    let stuck = "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql
                     AS $$ BEGIN PERFORM pg_sleep(60); RETURN new; END $$;
                 CREATE TRIGGER stuck BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION stuck()";
    fixture.sql.batch_execute(stuck).await?;
    let settings = [&SOON[..], &["--database-statement-timeout", "200ms"]].concat();
    fixture.consumer(&settings).await?.stop().await?;
    for customer in &customers {
        fixture.publish_all(orders_of(25, *customer)).await?;
    }
    let consumer = fixture.unready_consumer(&settings).await?;
    until(async || {
        let reason =
            consumer.readiness().await?["dependencies"]["postgresql"]["reason"].to_string();
        Ok(reason.contains("statement timeout").then_some(()))
    })
    .await?;
    fixture.sql.batch_execute("DROP TRIGGER stuck ON customers").await?;
    for customer in &customers {
        fixture.counted(*customer, 25).await?;
    }
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_for_the_database_ends_no_session_that_counts() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let name: String = fixture.sql.query_one("SELECT current_database()::text", &[]).await?.get(0);
    for setting in [
        "idle_session_timeout = '100ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "lock_timeout = '1ms'",
        "default_transaction_isolation = 'serializable'",
    ] {
        fixture.sql.batch_execute(&format!("ALTER DATABASE \"{name}\" SET {setting}")).await?;
    }
    let consumer = fixture.consumer(&SOON).await?;
    let session = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'customer-service consumer'";
    let pid: i32 = fixture.sql.query_one(session, &[]).await?.get(0);
    for round in 1..=3 {
        fixture.publish_all(orders_of(10, customer)).await?;
        fixture.counted(customer, 10 * round).await?;
        // Longer than the idle timeout of other sessions.
        let idle = format!(
            "SELECT FROM pg_stat_activity WHERE pid = {pid} AND state = 'idle' AND state_change < now() - interval '300 ms'"
        );
        until(async || {
            let same: Vec<i32> =
                fixture.sql.query(session, &[]).await?.iter().map(|row| row.get(0)).collect();
            ensure!(same == [pid], "{same:?} instead of {pid}");
            Ok(fixture.sql.query_opt(&idle, &[]).await?.map(drop))
        })
        .await?;
    }
    fixture.finished(consumer).await
}
