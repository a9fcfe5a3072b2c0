//! `customer-service consumer rebuild-queue` recreates the work queue with new arguments, and loses
//! or duplicates no event whatever happens meanwhile.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, order_created, orders_of, until,
};
use pipeline_tests::customer_command::customer_service;
use pipeline_tests::previous_queue::MOVING;
use pipeline_tests::rebuild_queue::{COMMAND, before, ended_well, held, is_there, old, rebuilt};
use pipeline_tests::strict_broker::StrictBroker;
use rand::RngExt as _;
use stack::Service;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// The time after which an event returns from the retry queue.
async fn returns_in(fixture: &ConsumerFixture, customer: Uuid, milliseconds: u32) -> Tested {
    let properties = BasicProperties::default().with_expiration(milliseconds.to_string().into());
    let body = order_created(Uuid::now_v7(), customer).to_string();
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let (exchange, key) = ("orders.retry".into(), QUEUE.into());
    let publish =
        fixture.channel.basic_publish(exchange, key, options, body.as_bytes(), properties);
    ensure!(publish.await?.await? == lapin::Confirmation::Ack(None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_after_any_step_is_continued_by_the_next_one() -> Tested {
    let (first, customer) = old(30).await?;
    returns_in(&first, customer, 1500).await?;
    let printed = rebuilt(&first).await?;
    ended_well(&first, customer, 31).await?;
    let lines: Vec<&str> = printed.lines().collect();
    ensure!(lines.len() == 10, "{printed}");

    // Killed when it would print the line, after doing what the line says.
    let killed = lines.iter().skip(1).map(async |line| {
        let (fixture, customer) = old(30).await?;
        returns_in(&fixture, customer, 1500).await?;
        held(&fixture, &before(&printed, &first, line, &fixture)?).await?.kill()?;
        // One of the consumer's queues accepts them; otherwise they would be returned.
        fixture.publish_all(orders_of(10, customer)).await?;
        rebuilt(&fixture).await.with_context(|| format!("after {line:?}"))?;
        ended_well(&fixture, customer, 41).await.with_context(|| format!("after {line:?}"))
    });
    try_join_all(killed).await?;
    Ok(())
}

/// While it moves messages and new events arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_at_any_moment_is_continued_by_the_next_one() -> Tested {
    let (fixture, customer) = old(3000).await?;
    let (published, mut kills) = (AtomicUsize::new(3000), 0);
    let rebuilding = async {
        for _ in 0..8 {
            let url = fixture.broker.amqp_url.as_str();
            let program = stack::binary("customer-service").await?;
            let service = Service::spawn(program, COMMAND, [("RABBITMQ_URL", url)]).await?;
            let moment = Duration::from_millis(rand::rng().random_range(20..2500));
            // It may have ended by then.
            if service.wait_exit(moment).await.is_err() {
                service.sigkill()?;
                kills += 1;
            }
        }
        rebuilt(&fixture).await
    };
    let publishing = async {
        loop {
            let published_now = fixture.publish_all(orders_of(3, customer)).await;
            if let Err(error) = published_now {
                return anyhow::Error::context(error, "an event reached no queue");
            }
            published.fetch_add(3, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = rebuilding => done.map(drop)?,
        error = publishing => return Err(error),
    }
    ensure!(kills > 0, "every run ended before it was killed");
    // A message whose publishing was interrupted may be there or not.
    let (published, consumer) = (published.into_inner(), fixture.consumer(&[]).await?);
    until(async || Ok((fixture.count(customer).await? >= i64::try_from(published)?).then_some(())))
        .await?;
    fixture.finished(consumer).await?;
    let counted = usize::try_from(fixture.count(customer).await?)?;
    ensure!((published..=published + 3).contains(&counted), "{counted} of {published}");
    ensure!(fixture.is_queue_new().await? && !is_there(&fixture, MOVING).await?);
    Ok(())
}

#[tokio::test]
async fn a_queue_that_is_as_it_should_be_is_left_alone() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let customer = fixture.customer().await?;
    fixture.publish_all(orders_of(3, customer)).await?;
    ensure!(rebuilt(&fixture).await?.contains("nothing to do"));
    ensure!(fixture.waiting(QUEUE).await? == 3);
    ended_well(&fixture, customer, 3).await
}

#[tokio::test]
async fn a_message_says_what_it_said_before() -> Tested {
    let (fixture, _) = old(0).await?;
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString("00-ab-cd-01".into()));
    headers.insert("x-retry-count".into(), AMQPValue::LongLongInt(5));
    headers.insert("x-tries".into(), AMQPValue::LongLongInt(21));
    // It would route the copy to other queues as well.
    let elsewhere = vec![AMQPValue::LongString(DEAD_LETTER_QUEUE.into())];
    headers.insert("CC".into(), AMQPValue::FieldArray(elsewhere.into()));
    let properties = BasicProperties::default()
        .with_message_id("7".into())
        .with_type("order.created".into())
        .with_content_type("application/json".into())
        .with_correlation_id("c-7".into())
        .with_expiration("3600000".into())
        .with_timestamp(1_769_984_731)
        .with_headers(headers);
    fixture.publish_as("order.created", b"what it says", properties).await?;
    rebuilt(&fixture).await?;
    let moved = fixture.take(QUEUE).await?;
    assert_eq!(moved.data, b"what it says");
    let text = |value: &Option<lapin::types::ShortString>| {
        value.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let properties = &moved.properties;
    assert_eq!(text(properties.message_id()), "7");
    assert_eq!(text(properties.kind()), "order.created");
    assert_eq!(text(properties.content_type()), "application/json");
    assert_eq!(text(properties.correlation_id()), "c-7");
    assert_eq!(text(properties.expiration()), "3600000");
    assert_eq!(*properties.timestamp(), Some(1_769_984_731));
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().context("headers")?.inner();
    let long =
        |name: &str| headers.get(name).and_then(AMQPValue::as_long_string).map(ToString::to_string);
    assert_eq!(long("traceparent").as_deref(), Some("00-ab-cd-01"));
    assert_eq!(long("x-original-exchange").as_deref(), Some("orders.events"));
    assert_eq!(long("x-original-routing-key").as_deref(), Some("order.created"));
    assert_eq!(headers.get("x-retry-count"), Some(&AMQPValue::LongLongInt(5)));
    assert_eq!(headers.get("x-tries"), Some(&AMQPValue::LongLongInt(21)));
    ensure!(!headers.contains_key("CC"));
    ensure!(fixture.waiting(DEAD_LETTER_QUEUE).await? == 0, "it was sent elsewhere");
    Ok(())
}

/// RabbitMQ 4.2.6 and later require the configure permission to check whether an exchange exists.
#[tokio::test]
async fn a_user_who_may_configure_the_queues_alone_makes_it_anew() -> Tested {
    let (fixture, customer) = old(30).await?;
    let user = BrokerUser::new(
        &fixture.broker,
        r"^customer\.orders_count",
        r"^(amq\.default|customer\.orders_count.*|orders\.dlx)$",
    )
    .await?;
    let (_proxy, strict_url) = StrictBroker::before_exchanges(&user.url).await?;
    let ended = customer_service(&COMMAND, &[("RABBITMQ_URL", &strict_url)]).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ended_well(&fixture, customer, 30).await
}

/// As if nobody had declared it yet.
#[tokio::test]
async fn a_queue_that_is_missing_is_declared() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    rebuilt(&fixture).await?;
    let customer = fixture.customer().await?;
    ended_well(&fixture, customer, 0).await
}
