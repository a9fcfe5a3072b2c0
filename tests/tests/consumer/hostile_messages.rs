//! Ten thousand messages that real and broken clients send, among orders: each is counted, ignored
//! or a dead letter with a reason; none is lost, and nothing stops.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use lapin::Confirmation;
use lapin::options::BasicPublishOptions;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, until,
};
use pipeline_tests::hostile_messages::{Fate, Hostile, draw};
use pipeline_tests::metrics::shows;

/// So many are published before their confirms are awaited.
const BATCH: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_messages_each_end_where_they_must() -> anyhow::Result<()> {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let settings = [("RABBITMQ_RETRY_TTL_MS", "50"), ("RABBITMQ_MAX_RETRIES", "1")];
    let consumer = fixture.consumer_process(&settings).await?;
    until(async || Ok(fixture.waiting(QUEUE).await.ok())).await?;
    let messages = draw(1, 10_000, customer);
    for batch in messages.chunks(BATCH) {
        publish(&fixture, batch).await?;
    }
    let of = |fate| messages.iter().filter(move |message| message.fate == fate);
    let counted = of(Fate::Counted).count();
    fixture.counted(customer, i64::try_from(counted)?).await?;
    until(async || {
        let waiting = fixture.waiting(QUEUE).await? + fixture.waiting(RETRY_QUEUE).await?;
        Ok((waiting == 0).then_some(()))
    })
    .await?;
    let shown = [
        ("counted", Fate::Counted),
        ("duplicate", Fate::Duplicate),
        ("ignored", Fate::Ignored),
        ("dead_lettered", Fate::Dead),
    ]
    .map(|(outcome, fate)| {
        format!("consumer_events_total{{outcome=\"{outcome}\"}} {}", of(fate).count())
    });
    shows(&consumer, &shown.each_ref().map(String::as_str)).await?;

    // The dead letters are those, byte by byte.
    let mut left: BTreeMap<&[u8], usize> = BTreeMap::new();
    for message in of(Fate::Dead) {
        *left.entry(&message.body).or_default() += 1;
    }
    for _ in 0..of(Fate::Dead).count() {
        let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
        let headers = dead.properties.headers().as_ref().context("no headers")?.inner();
        let reason = headers.get("x-reason").and_then(|reason| reason.as_long_string());
        ensure!(reason.is_some_and(|reason| !reason.as_bytes().is_empty()), "no reason: {dead:?}");
        let number = left.get_mut(&dead.data[..]).with_context(|| format!("not sent: {dead:?}"))?;
        *number = number.checked_sub(1).with_context(|| format!("twice: {dead:?}"))?;
    }
    ensure!(fixture.waiting(DEAD_LETTER_QUEUE).await? == 0, "more dead letters than were sent");
    ensure!(fixture.count(customer).await? == i64::try_from(counted)?, "counted twice");
    Ok(())
}

async fn publish(fixture: &ConsumerFixture, batch: &[Hostile]) -> anyhow::Result<()> {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let mut confirms = Vec::new();
    for Hostile { body, properties, .. } in batch {
        let (exchange, key) = ("orders.events".into(), "order.created".into());
        let publish =
            fixture.channel.basic_publish(exchange, key, options, body, properties.clone());
        confirms.push(publish.await?);
    }
    for confirm in confirms {
        ensure!(confirm.await? == Confirmation::Ack(None), "the broker did not take a message");
    }
    Ok(())
}
