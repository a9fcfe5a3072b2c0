//! The reasons for an AMQP client of our own (`docs/adr/0020`, `docs/adr/0023`): each test shows a
//! fault that lapin still has. That ours has none of them is tested elsewhere: nested and
//! unreadable headers in `consumer/poison_messages.rs`, memory in `consumer/memory.rs`, returns in
//! `relay/undeliverable_events.rs` and in `amqp`.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::malformed_message::{Malformed, publish_malformed};
use pipeline_tests::outbox::{EXCHANGE, Outbox, PATIENCE};
use pipeline_tests::rss::Rss;
use stack::{Service, Signal};

type Tested = anyhow::Result<()>;

/// What to do when one of these tests fails.
const THINK_AGAIN: &str = "lapin has mended this: one reason less for a connection of our own. Think again about docs/adr/0020 and docs/adr/0023, and if the other reasons do not \
     carry it any more, go back to lapin";

const QUEUE: &str = "all";

async fn lapin_consumer(outbox: &Outbox, more: &[&str]) -> anyhow::Result<Service> {
    let program = Path::new(env!("CARGO_BIN_EXE_lapin_consumer"));
    let arguments = [&[outbox.vhost.amqp_url.as_str(), QUEUE], more].concat();
    let no_settings: [(&str, &str); 0] = [];
    Service::spawn(program, arguments, no_settings).await
}

async fn with_foreign_message(foreign: Malformed) -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue(QUEUE, "#").await?;
    let url = &outbox.vhost.amqp_url;
    publish_malformed(url, EXCHANGE, "order.created", foreign, b"{}".to_vec()).await?;
    Ok(outbox)
}

/// Waits until the consumer has ended because of the message, or has received it.
async fn ended_or_got_it(consumer: &Service) -> Tested {
    until(async || {
        let over = !consumer.is_running() || consumer.log().contains("got a message");
        Ok(over.then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_nested_header_aborts_whoever_consumes_with_lapin_and_again_at_each_start() -> Tested {
    let outbox = with_foreign_message(Malformed::NestedHeader).await?;
    for _ in 0..2 {
        let consumer = lapin_consumer(&outbox, &[]).await?;
        ended_or_got_it(&consumer).await?;
        ensure!(!consumer.is_running(), "{THINK_AGAIN}: {}", consumer.log());
        let status = consumer.wait_exit(PATIENCE).await?;
        let aborted = status.signal() == Some(Signal::SIGABRT as i32);
        ensure!(
            aborted && consumer.log().contains("overflowed its stack"),
            "{THINK_AGAIN}: {status}: {}",
            consumer.log()
        );
    }
    Ok(())
}

#[tokio::test]
async fn properties_that_it_can_not_read_end_lapins_connection_each_time() -> Tested {
    let outbox = with_foreign_message(Malformed::Latin1).await?;
    for _ in 0..2 {
        let consumer = lapin_consumer(&outbox, &[]).await?;
        ended_or_got_it(&consumer).await?;
        ensure!(!consumer.is_running(), "{THINK_AGAIN}: {}", consumer.log());
        let status = consumer.wait_exit(PATIENCE).await?;
        ensure!(status.code() == Some(1), "{status}: {}", consumer.log());
    }
    Ok(())
}

#[tokio::test]
async fn lapin_holds_all_that_the_broker_delivers_whatever_its_size() -> Tested {
    const MESSAGES: usize = 150;
    let outbox = Outbox::new().await?;
    outbox.queue(QUEUE, "#").await?;
    outbox.channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body = vec![b'x'; 1 << 20];
    for _ in 0..MESSAGES {
        publish(&outbox, "order.created", &body, 0).await?.await?;
    }
    let consumer = lapin_consumer(&outbox, &["holding"]).await?;
    let most = u64::try_from(MESSAGES)?;
    let grown = until(async || Ok((Rss::of(&consumer)?.current > most).then_some(()))).await;
    grown.with_context(|| format!("{THINK_AGAIN}: {:?} MB", Rss::of(&consumer)))
}

async fn publish(
    outbox: &Outbox,
    routing_key: &str,
    body: &[u8],
    id: usize,
) -> anyhow::Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
    let mandatory = BasicPublishOptions { mandatory: true, immediate: false };
    let properties = BasicProperties::default().with_message_id(id.to_string().into());
    let sent = outbox.channel.basic_publish(
        EXCHANGE.into(),
        routing_key.into(),
        mandatory,
        body,
        properties,
    );
    Ok(sent.await?)
}

#[tokio::test]
async fn lapin_blames_the_wrong_confirm_for_a_returned_message() -> Tested {
    const WINDOWS: usize = 300;
    let outbox = Outbox::new().await?;
    outbox.queue(QUEUE, "order.created").await?;
    outbox.channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for _ in 0..WINDOWS {
        let mut confirms = Vec::new();
        for id in 0..200 {
            let routing_key = if id % 7 == 0 { "nowhere" } else { "order.created" };
            confirms.push(publish(&outbox, routing_key, b"{}", id).await?);
        }
        for (id, confirmation) in try_join_all(confirms).await?.into_iter().enumerate() {
            let returned = match confirmation {
                Confirmation::Ack(returned) => returned,
                other => bail!("{id} was not confirmed: {other:?}"),
            };
            let blamed =
                returned.as_ref().and_then(|it| it.delivery.properties.message_id().clone());
            let expected = (id % 7 == 0).then(|| id.to_string());
            if blamed.as_ref().map(lapin::types::ShortString::as_str) != expected.as_deref() {
                return Ok(());
            }
        }
    }
    bail!(
        "{THINK_AGAIN}: {WINDOWS} windows of 200 messages, and each return came with its own confirm"
    )
}
