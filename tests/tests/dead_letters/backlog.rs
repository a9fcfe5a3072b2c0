//! `dead-letters collect` with a large backlog, a difficult broker or a difficult database.

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::FieldTable;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE, declare};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::{PATIENCE, connect, ready};
use pipeline_tests::readiness::readiness;
use pipeline_tests::relay_command::outbox_relay;
use stack::PostgresServer;

type Tested = anyhow::Result<()>;

fn plain() -> BasicProperties {
    BasicProperties::default()
}

fn with_id(id: &str) -> BasicProperties {
    plain().with_message_id(id.into())
}

/// Has the database raise `state` over each row for which `condition` holds.
async fn refuse(desk: &DeadLetterQueue, condition: &str, state: &str) -> anyhow::Result<()> {
    let trigger = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN IF {condition} THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    Ok(desk.sql.batch_execute(&trigger).await?)
}

/// The backlog exceeds the collector's read buffer, so that at times its connection is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_large_messages_is_delivered_once() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    // Storing takes its time.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
                CREATE TRIGGER slow AFTER INSERT ON dead_letters FOR EACH STATEMENT EXECUTE FUNCTION slow()";
    desk.sql.batch_execute(slow).await?;
    desk.add(3000, &vec![b'x'; 20 << 10], plain()).await?;
    let _collector = desk.follow(&[]).await?;
    desk.collected(3000).await?;
    let again = "SELECT count(*) FROM dead_letters WHERE redelivered";
    let again: i64 = desk.sql.query_one(again, &[]).await?.get(0);
    assert_eq!(again, 0, "some were requeued");
    Ok(())
}

/// PostgreSQL empties the unlogged table of sessions when it crashes: a session that begins after
/// that must not be taken for one that stored rows before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_of_postgresql_old_rows_hide_no_new_message() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let broker = stack::shared().await?.vhost("desk").await?;
    let mut desk = DeadLetterQueue::with(postgres.database("desk").await?, broker).await?;
    desk.add(5, b"all alike", plain()).await?;
    desk.collect_all().await?;
    postgres.stop_immediately().await?;
    postgres.start().await?;
    desk.sql = connect(&desk.database.url).await?;

    let collector = desk.follow(&[]).await?;
    let sessions = "SELECT count(*) FROM dead_letters_sessions";
    eventually("a session begins", async || {
        Ok(desk.sql.query_one(sessions, &[]).await?.get::<_, i64>(0) == 1)
    })
    .await?;
    collector.sigkill()?;
    collector.wait_exit(PATIENCE).await?;
    eventually("it is gone", async || Ok(desk.depth().await?.1 == 0)).await?;
    desk.add(2, b"all alike", plain()).await?;
    for _ in 0..2 {
        let got = desk.channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await?;
        let tag = got.context("a message")?.delivery.delivery_tag;
        let nack = BasicNackOptions { requeue: true, multiple: false };
        desk.channel.basic_nack(tag, nack).await?;
    }
    desk.collect_all().await?;
    assert_eq!(desk.rows().await?, 7);
    Ok(())
}

#[tokio::test]
async fn whatever_a_trigger_raises_over_one_message_the_others_go_on() -> Tested {
    for state in ["42501", "AB001", "40001", "57014"] {
        let desk = DeadLetterQueue::start().await?;
        refuse(&desk, "NEW.message_id = 'bad'", state).await?;
        for number in 0..30 {
            desk.add(1, b"x", with_id(if number == 17 { "bad" } else { "good" })).await?;
        }
        let ended = desk.collect(&["--json"]).await?;
        assert_eq!(ended.code, Some(1), "{state}: {ended:?}");
        let told = ended.json()?;
        assert_eq!(told["stored"], 29, "{state}: {told}");
        let refused = told["refused"][0].as_str().unwrap_or_default();
        assert!(refused.contains("not this one"), "{state}: {told}");
        eventually("it is back", async || Ok(desk.depth().await? == (1, 0))).await?;
    }
    Ok(())
}

/// An error that may be about one row is one of the database when it hits an innocent message too.
#[tokio::test]
async fn what_the_database_raises_over_every_message_is_an_outage() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    refuse(&desk, "true", "57014").await?;
    desk.add(30, b"x", plain()).await?;
    let ended = desk.collect(&[]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.err.contains("the database can't be used: "), "{ended:?}");
    eventually("all are back", async || Ok(desk.depth().await? == (30, 0))).await?;
    Ok(())
}

/// The database refuses a column for people; the row still has body and headers as they came.
#[tokio::test]
async fn a_message_is_stored_without_what_can_not_be_stored_of_it() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    refuse(&desk, "NEW.reason IS NOT NULL", "22009").await?;
    let reason = lapin::types::AMQPValue::LongString("it rains".into());
    desk.add_with_headers(b"x", &[("x-reason", reason)]).await?;
    desk.collect_all().await?;
    let row = &desk.letters().await?[0];
    assert!(row["reason"].is_null() && row["error_kind"] == "failed", "{row}");
    let kept = "SELECT position('it rains'::bytea IN content_header) > 0 FROM dead_letters";
    assert!(desk.sql.query_one(kept, &[]).await?.get::<_, bool>(0));
    Ok(())
}

/// With a small prefetch, a few unacknowledged refused messages would use all of it.
#[tokio::test]
async fn refused_messages_leave_room_for_others_also_with_a_small_prefetch() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    refuse(&desk, "NEW.message_id = 'bad'", "23514").await?;
    desk.add(10, b"x", with_id("bad")).await?;
    desk.add(10, b"x", with_id("good")).await?;
    let ended = desk.collect(&["--prefetch", "4"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("the others were left in the queue"), "{ended:?}");
    let collector = desk.follow(&[("DEAD_LETTERS_PREFETCH", "4")]).await?;
    eventually("it says so", async || {
        Ok(readiness(&collector).await?.to_string().contains("nothing is collected"))
    })
    .await?;
    // Even with no room for another message it stops on SIGTERM.
    collector.sigterm()?;
    ensure!(collector.wait_exit(PATIENCE).await?.success(), "{}", collector.last_lines());
    Ok(())
}

#[tokio::test]
async fn an_error_names_a_queue_with_another_single_active_consumer() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-single-active-consumer".into(), lapin::types::AMQPValue::Boolean(true));
    let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    desk.channel.queue_declare("single".into(), durable, arguments).await?;
    desk.channel.basic_qos(1, lapin::options::BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consuming =
        desk.channel.basic_consume("single".into(), "first".into(), options, FieldTable::default());
    let _consumer = consuming.await?;
    for _ in 0..3 {
        let publish = desk.channel.basic_publish(
            "".into(),
            "single".into(),
            lapin::options::BasicPublishOptions::default(),
            b"x",
            plain(),
        );
        publish.await?.await?;
    }
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
        ("RABBITMQ_URL", desk.broker.amqp_url.as_str()),
    ];
    let ended = outbox_relay(&["dead-letters", "collect", "--queue", "single"], &settings).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("2 messages wait in the queue and are not delivered"), "{ended:?}");
    Ok(())
}

/// Two queues of one name, of two virtual hosts, and one set of tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_of_two_virtual_hosts_do_not_share_a_queue_in_the_tables() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let first = desk.follow(&[]).await?;
    ready(&first).await?;
    let other = stack::shared().await?.vhost("other").await?;
    let connection =
        lapin::Connection::connect(&other.amqp_url, lapin::ConnectionProperties::default()).await?;
    declare(&connection.create_channel().await?, QUEUE, &[]).await?;
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
        ("RABBITMQ_URL", other.amqp_url.as_str()),
    ];
    let ended = outbox_relay(&["dead-letters", "collect", "--queue", QUEUE], &settings).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("of another broker or virtual host"), "{ended:?}");
    Ok(())
}
