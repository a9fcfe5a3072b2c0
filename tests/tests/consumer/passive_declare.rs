//! `CONSUMER_DECLARE=false`: the consumer only checks the topology, which somebody else declares.

use anyhow::{Context as _, ensure};
use lapin::options::QueueDeleteOptions;
use lapin::types::FieldTable;
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::consumer::Consumer;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, orders_of, until,
};
use pipeline_tests::pipeline::{PATIENCE, ready};
use pipeline_tests::strict_broker::StrictBroker;
use stack::Management;

type Tested = anyhow::Result<()>;

const CHECK: [&str; 2] = ["--consumer-declare", "false"];

/// The names of all declared queues and exchanges.
async fn declared(fixture: &ConsumerFixture) -> anyhow::Result<Vec<String>> {
    let management = Management::new(&fixture.broker.management_url)?;
    let mut names = Vec::new();
    for kind in ["queues", "exchanges"] {
        let path = format!("/api/{kind}/{}", fixture.broker.name);
        let objects = management.get(&path).await?.context(path)?;
        let all = objects.as_array().into_iter().flatten();
        let all = all.filter_map(|object| object["name"].as_str());
        // Predeclared by the broker.
        names.extend(
            all.filter(|name| !name.is_empty() && !name.starts_with("amq.")).map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

async fn delete(fixture: &ConsumerFixture, queue: &str) -> Tested {
    fixture.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    Ok(())
}

/// Waits until the consumer's report about the broker contains this.
async fn says(consumer: &Consumer, part: &str) -> anyhow::Result<String> {
    until(async || {
        let readiness = consumer.readiness().await?;
        let reason = readiness["dependencies"]["rabbitmq"]["reason"].as_str().unwrap_or_default();
        Ok(reason.contains(part).then(|| reason.to_owned()))
    })
    .await
    .with_context(|| part.to_owned())
}

#[tokio::test]
async fn what_is_missing_is_named_waited_for_and_not_declared() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.unready_consumer(&CHECK).await?;
    let reason = says(&consumer, "exchange orders.events does not exist").await?;
    ensure!(reason.contains("CONSUMER_DECLARE=true"), "{reason}");
    ensure!(consumer.readiness().await?["ready"] == false);
    ensure!(declared(&fixture).await?.is_empty(), "{:?}", declared(&fixture).await?);

    consumer.stop().await?;

    // Declares everything but the dead-letter queue.
    fixture.consumer(&[]).await?.stop().await?;
    delete(&fixture, DEAD_LETTER_QUEUE).await?;
    let consumer = fixture.unready_consumer(&CHECK).await?;
    says(&consumer, "queue customer.orders_count.dlq does not exist").await?;
    ensure!(!declared(&fixture).await?.contains(&DEAD_LETTER_QUEUE.to_owned()));
    fixture.consumer(&[]).await?.stop().await?;
    consumer.ready().await?;
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.counted(customer, 3).await?;

    delete(&fixture, QUEUE).await?;
    says(&consumer, "queue customer.orders_count does not exist").await?;
    ensure!(!declared(&fixture).await?.contains(&QUEUE.to_owned()));
    fixture.consumer(&[]).await?.stop().await?;
    consumer.ready().await?;
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.counted(customer, 6).await?;
    fixture.finished(consumer).await
}

#[tokio::test]
async fn bindings_are_assumed_and_a_move_that_comes_back_shows_that_one_is_missing() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let unbind = |queue: &str, exchange: &str| {
        fixture.channel.queue_unbind(
            queue.into(),
            exchange.into(),
            QUEUE.into(),
            FieldTable::default(),
        )
    };
    unbind(DEAD_LETTER_QUEUE, "orders.dlx").await?;
    let service = fixture.consumer_process(&[("CONSUMER_DECLARE", "false")]).await?;
    let line = service.wait_for_line("assumed to exist", PATIENCE).await?;
    for part in [
        "customer.orders_count to orders.events with order.*",
        "customer.orders_count.dlq to orders.dlx with customer.orders_count",
    ] {
        ensure!(line.contains(part), "{line} does not say {part:?}");
    }
    ready(&service).await?;
    service.sigterm()?;
    service.wait_exit(PATIENCE).await?;

    let retry = ["--rabbitmq-retry-ttl-ms", "200"];
    let consumer = fixture.consumer(&[&CHECK[..], &retry].concat()).await?;
    fixture.publish_all([b"broken".to_vec()]).await?;
    let note = until(async || {
        let readiness = consumer.readiness().await?;
        ensure!(readiness["ready"] == true, "{readiness}");
        Ok(readiness["notes"]["moves"].as_str().map(str::to_owned))
    })
    .await?;
    for part in ["orders.dlx leads to no queue", "CONSUMER_DECLARE=false"] {
        ensure!(note.contains(part), "{note} does not say {part:?}");
    }
    // It is retried, and all others are counted meanwhile.
    fixture.publish_all(orders_of(20, customer)).await?;
    fixture.counted(customer, 20).await?;
    ensure!(fixture.waiting(DEAD_LETTER_QUEUE).await? == 0, "it was bound by nobody else");
    // A consumer that declares fixes it.
    fixture.consumer(&retry).await?.stop().await?;
    assert_eq!(fixture.take(DEAD_LETTER_QUEUE).await?.data, b"broken");
    fixture.finished(consumer).await
}

/// Since RabbitMQ 4.2.6 a passive declare requires the configure permission.
#[tokio::test]
async fn a_consumer_that_may_not_even_ask_uses_what_is_there() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let user = BrokerUser::new(&fixture.broker, "^$", r"^orders\.(retry|dlx)$").await?;
    let (_proxy, url) = StrictBroker::before(&user.url).await?;
    let settings = [&CHECK[..], &["--rabbitmq-max-retries", "0"]].concat();
    let consumer = Consumer::launch(&fixture.database.url, &url, &settings).await?;
    consumer.ready().await?;
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.publish_all([b"broken".to_vec()]).await?;
    fixture.counted(customer, 3).await?;
    fixture.take(DEAD_LETTER_QUEUE).await?;
    // What can't be checked shows when it is used.
    delete(&fixture, QUEUE).await?;
    let reason = says(&consumer, "can't be consumed").await?;
    ensure!(reason.contains("no queue"), "{reason}");
    consumer.stop().await
}
