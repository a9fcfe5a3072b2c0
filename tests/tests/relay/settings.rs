//! Invalid settings, and an exchange that is missing or of another type.

use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::FieldTable;
use lapin::{ExchangeKind, options::QueueDeclareOptions};
use pipeline_tests::outbox::{EXCHANGE, Outbox, PATIENCE, Stepped, eventually};

#[tokio::test]
async fn a_wrong_setting_ends_the_relay_with_64_and_names_the_variable() -> anyhow::Result<()> {
    let program = stack::binary("outbox-relay").await?;
    let urls =
        [("DATABASE_URL", "postgres://u:hunter2@h/d"), ("RABBITMQ_URL", "amqp://u:hunter2@h")];
    for (variable, value) in [
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("RABBITMQ_URL", "http://u:hunter2@h"),
        ("RELAY_WINDOW", "none"),
        ("RELAY_ENVELOPE", "xml"),
        ("RELAY_POLL_MIN", "soon"),
        ("RELAY_POLL_MIN", "2h"),
        ("RELAY_DECLARE", "perhaps"),
        ("RELAY_APP_ID", ""),
        ("OPS_ADDR", "here"),
        ("SHUTDOWN_GRACE", "never"),
    ] {
        let arguments: [&str; 0] = [];
        let settings = urls.into_iter().chain([(variable, value)]);
        let relay = stack::Service::spawn(&program, arguments, settings).await?;
        let status = relay.wait_exit(PATIENCE).await?;
        assert_eq!(status.code(), Some(64), "{variable}={value}: {}", relay.last_lines());
        let said = relay.log();
        assert!(said.contains(variable), "{variable}={value}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    Ok(())
}

async fn broker_reason(relay: &mut Stepped, begins: &str) -> anyhow::Result<String> {
    let mut told = String::new();
    eventually(begins, async || {
        relay.relay.tick().await;
        told = relay.health.statuses()["rabbitmq"].reason.clone().unwrap_or_default();
        Ok(told.starts_with(begins))
    })
    .await?;
    Ok(told)
}

#[tokio::test]
async fn without_declaring_a_missing_exchange_is_told_and_waited_for() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.add("7", "order.created").await?;
    let mut relay = outbox.relay(&["--relay-declare", "false"])?;
    let told = broker_reason(&mut relay, "the exchange orders.events does not exist").await?;
    assert!(told.contains("RELAY_DECLARE=true"), "{told}");
    assert!(!relay.health.is_ready());
    outbox.queue("all", "#").await?;
    relay.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    assert!(relay.health.is_ready());

    // And when it is deleted while the relay runs.
    outbox.channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
    outbox.add("7", "order.shipped").await?;
    broker_reason(&mut relay, "the exchange orders.events does not exist").await?;
    let charged = "SELECT count(*) FROM outbox WHERE attempts > 0";
    assert_eq!(outbox.count(charged, &[]).await?, 0, "it is no event's fault");
    outbox.queue("all", "#").await?;
    relay.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_told_with_what_to_do() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    outbox
        .channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, durable, FieldTable::default())
        .await?;
    outbox.add("7", "order.created").await?;
    let mut relay = outbox.relay(&[])?;
    let told = broker_reason(&mut relay, "the exchange orders.events exists, but not as").await?;
    assert!(told.contains("fanout") && told.contains("RELAY_DECLARE=false"), "{told}");
    assert_eq!(outbox.pending().await?, 1);

    // As the message says: with RELAY_DECLARE=false it is used as it is.
    outbox
        .channel
        .queue_declare("all".into(), QueueDeclareOptions::default(), FieldTable::default())
        .await?;
    outbox.bind("all", "").await?;
    outbox.relay(&["--relay-declare", "false"])?.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);

    outbox.channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
    relay.until_idle().await?;
    assert!(relay.health.is_ready());
    Ok(())
}
