//! The consumer's queues and exchanges: their declarations, and what happens if they differ or are
//! missing.

use anyhow::Context as _;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::consumer::Consumer;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, orders_of, until,
};
use pipeline_tests::metrics::shows;
use pipeline_tests::pipeline::{PATIENCE, address, ready};
use serde_json::Value;
use stack::Management;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

#[tokio::test]
async fn a_queue_that_is_deleted_under_the_consumer_is_declared_anew() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    fixture.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    // It may be down too briefly to be seen. The broker returns unroutable messages.
    until(async || Ok(fixture.publish_all(orders_of(1, customer)).await.ok())).await?;
    fixture.counted(customer, 1).await?;
    consumer.ready().await?;
    fixture.finished(consumer).await
}

/// The broker returns the moved message: the original must stay.
#[tokio::test]
async fn a_message_is_not_lost_when_the_queue_that_it_has_to_go_to_is_missing() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    // None returns to the work queue during the check.
    let consumer = fixture.consumer(&["--rabbitmq-retry-ttl-ms", "600000"]).await?;
    for queue in [RETRY_QUEUE, DEAD_LETTER_QUEUE] {
        fixture.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    }
    fixture.publish_all(orders_of(20, Uuid::new_v4())).await?;
    let broken = std::iter::repeat_n(b"broken".to_vec(), 20);
    fixture.publish_all(broken).await?;
    let there = async |queue: &str| {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let (connection, channel) = fixture.another_channel().await?;
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        drop(connection);
        anyhow::Ok(declared.map_or(0, |queue| queue.message_count()))
    };
    until(async || {
        let moved = (there(RETRY_QUEUE).await?, there(DEAD_LETTER_QUEUE).await?);
        Ok((moved.0 >= 20 && moved.1 >= 20).then_some(()))
    })
    .await?;
    fixture.finished(consumer).await
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_consumed_from_and_named_with_what_differs() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    fixture.channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await?;

    let service = fixture.consumer_process(&[]).await?;
    let line = service.wait_for_line("topology deviates", PATIENCE).await?;
    for part in [
        "queue customer.orders_count already exists",
        "x-dead-letter-exchange",
        "orders.dlx",
        "rebuild-queue",
    ] {
        assert!(line.contains(part), "{line:?} does not say {part:?}");
    }
    ready(&service).await?;
    shows(&service, &["consumer_topology_deviations 1"]).await?;
    let url = format!("{}/readyz", address(&service, "operations port is open").await?);
    let readiness: Value = stack::http_client()?.get(&url).send().await?.json().await?;
    let note = readiness["notes"]["topology"].as_str().context("a note")?;
    assert!(note.contains("customer.orders_count already exists"), "{note}");
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.counted(customer, 3).await?;

    // Fixed without a restart.
    fixture.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    shows(&service, &["consumer_topology_deviations 0"]).await?;
    let readiness: Value = stack::http_client()?.get(&url).send().await?.json().await?;
    assert_eq!(readiness["notes"]["topology"], Value::Null);
    ready(&service).await?;
    fixture.publish_all(orders_of(1, customer)).await?;
    fixture.counted(customer, 4).await
}

/// Declared by somebody else without a dead-letter exchange, so that expired messages would be
/// lost.
#[tokio::test]
async fn nothing_is_sent_to_a_retry_queue_that_would_not_give_it_back() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    fixture.channel.queue_declare(RETRY_QUEUE.into(), durable, FieldTable::default()).await?;
    let consumer = fixture.consumer(&["--rabbitmq-retry-ttl-ms", "1"]).await?;
    let stranger = Uuid::new_v4();
    fixture.publish_all(orders_of(3, stranger)).await?;
    fixture.publish_all(orders_of(20, customer)).await?;
    fixture.counted(customer, 20).await?;
    let note = until(async || {
        Ok(consumer.readiness().await?["notes"]["moves"].as_str().map(str::to_owned))
    });
    let note = note.await?;
    assert!(note.contains("nothing is sent to customer.orders_count.retry"), "{note}");
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);

    consumer.stop().await?;
    // The broker takes a moment to requeue a consumer's messages.
    until(async || Ok((fixture.waiting(QUEUE).await? == 3).then_some(()))).await?;
    fixture.channel.queue_delete(RETRY_QUEUE.into(), QueueDeleteOptions::default()).await?;
    fixture.add_customer(stranger).await?;
    let consumer = fixture.consumer(&[]).await?;
    fixture.counted(stranger, 3).await?;
    fixture.finished(consumer).await
}

#[tokio::test]
async fn an_exchange_of_another_type_is_named_and_what_is_bound_to_it_is_consumed() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let name = "orders.events";
    fixture
        .channel
        .exchange_declare(name.into(), ExchangeKind::Fanout, durable, FieldTable::default())
        .await?;
    let service = fixture.consumer_process(&[]).await?;
    let line = service.wait_for_line("exchange orders.events already exists", PATIENCE).await?;
    assert!(line.contains("'topic'") && line.contains("'fanout'"), "{line}");
    ready(&service).await?;
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.counted(customer, 3).await
}

/// The consumer may only use an existing topology.
#[tokio::test]
async fn a_consumer_that_may_declare_nothing_works_with_what_is_there() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let limited = BrokerUser::new(&fixture.broker, "^$", r"^orders\.(retry|dlx)$").await?;
    let consumer =
        Consumer::launch(&fixture.database.url, &limited.url, &["--rabbitmq-max-retries", "0"])
            .await?;
    consumer.ready().await?;
    let note = consumer.readiness().await?["notes"]["topology"].to_string();
    for part in
        ["queue customer.orders_count can't be declared", "assumed to exist", "ACCESS_REFUSED"]
    {
        assert!(note.contains(part), "{note} does not say {part:?}");
    }
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.publish_all([b"broken".to_vec()]).await?;
    fixture.counted(customer, 3).await?;
    fixture.take(DEAD_LETTER_QUEUE).await?;
    fixture.finished(consumer).await
}

#[tokio::test]
async fn a_limit_of_the_virtual_host_is_named_and_nobody_is_told_to_delete_a_queue() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let user = BrokerUser::new(&fixture.broker, ".*", ".*").await?;
    user.limit_vhost("max-queues", 1).await?;
    let consumer = fixture.unready_consumer(&[]).await?;
    let reason = until(async || {
        let reason = consumer.down("rabbitmq").await?;
        Ok(reason.contains("limit").then_some(reason))
    })
    .await?;
    assert!(!reason.contains("already exists") && !reason.contains("delete it"), "{reason}");
    user.limit_vhost("max-queues", -1).await?;
    consumer.ready().await?;
    consumer.stop().await
}

/// The declarations must stay compatible across versions of the broker and of this program.
#[tokio::test]
async fn the_topology_is_the_contracts() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let quorum = [("x-queue-type", AMQPValue::LongString("quorum".into()))];
    let text = |value: &str| AMQPValue::LongString(value.into());
    let work = [
        ("x-delivery-limit", AMQPValue::LongLongInt(2_147_483_647)),
        ("x-dead-letter-exchange", text("orders.dlx")),
        ("x-dead-letter-routing-key", text(QUEUE)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    let retry = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(QUEUE)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    let declarations = [(QUEUE, &work[..]), (RETRY_QUEUE, &retry[..]), (DEAD_LETTER_QUEUE, &[])];
    for (queue, arguments) in declarations {
        let mut table = FieldTable::default();
        for (name, value) in quorum.iter().chain(arguments) {
            table.insert((*name).into(), value.clone());
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        // The broker would reject any difference.
        fixture.channel.queue_declare(queue.into(), durable, table).await?;
    }

    let management = Management::new(&fixture.broker.management_url)?;
    let vhost = &fixture.broker.name;
    let ask = async |path: String| management.get(&path).await?.context(path);
    for (exchange, kind, queue, key) in [
        ("orders.events", "topic", QUEUE, "order.*"),
        ("orders.retry", "direct", RETRY_QUEUE, QUEUE),
        ("orders.dlx", "direct", DEAD_LETTER_QUEUE, QUEUE),
    ] {
        let path = format!("/api/exchanges/{vhost}/{exchange}");
        let declared = ask(path.clone()).await?;
        assert_eq!(declared["type"], kind, "{exchange}");
        assert_eq!(declared["durable"], true, "{exchange}");
        assert_eq!(declared["auto_delete"], false, "{exchange}");
        assert_eq!(declared["internal"], false, "{exchange}");
        let bound = ask(format!("{path}/bindings/source")).await?;
        assert_eq!(bindings(&bound), [[exchange, queue, key]], "from {exchange}");
        // Except the binding to the default exchange, which every queue has.
        let bound = ask(format!("/api/queues/{vhost}/{queue}/bindings")).await?;
        let mut bound = bindings(&bound);
        bound.sort_unstable();
        assert_eq!(bound, [["", queue, queue], [exchange, queue, key]], "to {queue}");
    }
    Ok(())
}

/// Source, destination and routing key.
fn bindings(told: &Value) -> Vec<[&str; 3]> {
    let parts =
        |binding| ["source", "destination", "routing_key"].map(|part| text_of(binding, part));
    told.as_array().into_iter().flatten().map(parts).collect()
}

fn text_of<'a>(binding: &'a Value, part: &str) -> &'a str {
    binding[part].as_str().unwrap_or("nothing")
}

#[tokio::test]
async fn the_retry_time_may_change_while_messages_wait() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let many = ["--rabbitmq-max-retries", "1000", "--rabbitmq-retry-ttl-ms"];
    let consumer = fixture.consumer(&[&many[..], &["50"]].concat()).await?;
    let late = Uuid::new_v4();
    fixture.publish_all(orders_of(1, late)).await?;
    until(async || Ok((fixture.waiting(RETRY_QUEUE).await? > 0).then_some(()))).await?;
    consumer.stop().await?;
    // Another TTL with the same queue, which is declared without one.
    fixture.add_customer(late).await?;
    let consumer = fixture.consumer(&[&many[..], &["100"]].concat()).await?;
    fixture.counted(late, 1).await?;
    fixture.finished(consumer).await
}
