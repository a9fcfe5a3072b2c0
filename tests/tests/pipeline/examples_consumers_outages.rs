//! The consumers in `examples/` while their database is down, and a message that kills them.

use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use pipeline_tests::example_consumer::{
    BALANCES, ExampleConsumer, Program, SHIPMENTS, TURNOVER, Work,
};
use pipeline_tests::outbox::{PATIENCE, eventually};
use stack::PostgresServer;

type Tested = anyhow::Result<()>;

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// A message whose consumer dies each time becomes a dead letter by the queue's own arguments.
async fn crashes_again_and_again(program: Program, work: &'static Work) -> Tested {
    let example = ExampleConsumer::new(program, work).await?;
    let url = &example.outbox.vhost.amqp_url;
    let service = example.start(url, &[]).await?;
    service.sigterm()?;
    service.wait_exit(PATIENCE).await?;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let channel = &example.outbox.channel;
    channel.basic_publish("".into(), work.queue.into(), options, b"poison", properties).await?;
    for _ in 0..21 {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        eventually("the message is delivered", async || {
            let got = channel.basic_get(work.queue.into(), BasicGetOptions::default()).await?;
            Ok(got.is_some())
        })
        .await?;
        connection.close(200, "".into()).await?;
    }
    let queue = example.dead_letter_queue();
    eventually("it is a dead letter", async || Ok(example.outbox.depth(&queue).await? == 1))
        .await?;
    assert_eq!(example.outbox.take_all(&queue).await?[0].delivery.data, b"poison");
    Ok(())
}

/// While the database is down nothing is consumed, and afterwards everything is applied at the
/// first try.
async fn database_outage(program: Program, work: &'static Work) -> Tested {
    let mut server = PostgresServer::start_temporary().await?;
    let database = server.database(work.queue).await?;
    let mut example = ExampleConsumer::on(database, program, work).await?;
    example.sql.batch_execute(work.enable).await?;
    // With no retries, each charged try would make a dead letter.
    let settings = [("RABBITMQ_MAX_RETRIES", "0")];
    let service = example.start(&example.outbox.vhost.amqp_url, &settings).await?;
    let _relay = example.outbox.relay_process(&[]).await?;
    for _ in 0..50 {
        example.add_early_event().await?;
    }
    eventually("it has begun", async || Ok(example.applied().await? > 0)).await?;
    server.stop_immediately().await?;
    for _ in 0..50 {
        example.add_early_event().await?;
    }
    example.outbox.all_published().await?;
    eventually("nothing is consumed", async || Ok(example.consumers().await? == 0)).await?;
    // It connects to the broker no more, however often it tries.
    eventually("it has tried again", async || {
        Ok(service.log().lines().filter(|line| line.contains("interrupted")).count() >= 3)
    })
    .await?;
    assert_eq!(example.consumers().await?, 0);
    assert!(service.log().matches("consuming from").count() == 1, "{}", service.last_lines());
    server.start().await?;
    example.reconnect().await?;
    example.all_applied().await?;

    // A read-only database is no message's fault either.
    let name: String = example.sql.query_one("SELECT current_database()", &[]).await?.get(0);
    let read_only =
        |on: &str| format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = {on}");
    let disconnect = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
    example.sql.batch_execute(&read_only("on")).await?;
    example.sql.batch_execute(disconnect).await?;
    let event = example.add_early_event().await?;
    example.outbox.all_published().await?;
    eventually("nothing is consumed", async || Ok(example.consumers().await? == 0)).await?;
    example.sql.batch_execute(&read_only("off")).await?;
    example.sql.batch_execute(disconnect).await?;
    example.all_applied().await?;
    assert!(example.has_applied(event).await? && service.is_running());
    Ok(())
}

#[tokio::test]
async fn a_message_on_which_the_python_consumer_dies_becomes_a_dead_letter() -> Tested {
    crashes_again_and_again(Program::python(TMP)?, &BALANCES).await
}

#[tokio::test]
async fn a_message_on_which_the_node_consumer_dies_becomes_a_dead_letter() -> Tested {
    crashes_again_and_again(Program::node(TMP)?, &TURNOVER).await
}

#[tokio::test]
async fn a_message_on_which_the_rust_service_dies_becomes_a_dead_letter() -> Tested {
    crashes_again_and_again(Program::rust(TMP)?, &SHIPMENTS).await
}

#[tokio::test]
async fn the_python_consumer_stops_while_its_database_is_down_and_charges_no_retry() -> Tested {
    database_outage(Program::python(TMP)?, &BALANCES).await
}

#[tokio::test]
async fn the_node_consumer_stops_while_its_database_is_down_and_charges_no_retry() -> Tested {
    database_outage(Program::node(TMP)?, &TURNOVER).await
}

#[tokio::test]
async fn the_rust_service_stops_while_its_database_is_down_and_charges_no_retry() -> Tested {
    database_outage(Program::rust(TMP)?, &SHIPMENTS).await
}
