//! Events for the exchanges that their rows name (`amqp-exchange`), of those in `RELAY_EXCHANGES`.

use std::collections::HashSet;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{EXCHANGE, Outbox, aggregate_id, eventually};
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::reserved_headers::{add, header, single, stuck_reason};

const BILLING: [&str; 2] = ["--relay-exchanges", "billing"];

/// Failed events are retried soon.
const SOON: [&str; 4] = ["--relay-backoff-min", "20ms", "--relay-backoff-max", "20ms"];

/// Failed events are not retried while a test runs.
const LATE: [&str; 4] = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];

/// An outbox with the queue `all` on the relay's own exchange.
async fn outbox() -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    Ok(outbox)
}

/// Declares the exchange `billing`, with a queue of that name.
async fn declare_billing(outbox: &Outbox) -> anyhow::Result<()> {
    let (durable, none) =
        (ExchangeDeclareOptions { durable: true, ..Default::default() }, FieldTable::default());
    outbox
        .channel
        .exchange_declare("billing".into(), ExchangeKind::Fanout, durable, none.clone())
        .await?;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    outbox.channel.queue_declare("billing".into(), durable, none.clone()).await?;
    let bind = QueueBindOptions::default();
    outbox.channel.queue_bind("billing".into(), "billing".into(), "".into(), bind, none).await?;
    Ok(())
}

#[tokio::test]
async fn an_aggregates_events_go_to_the_exchanges_that_they_name_and_are_replayed_there()
-> anyhow::Result<()> {
    let outbox = outbox().await?;
    declare_billing(&outbox).await?;
    let to_billing = r#"{"amqp-exchange":"billing"}"#;
    let mut ids = Vec::new();
    for headers in ["{}", to_billing, r#"{"amqp-exchange":"orders.events"}"#, to_billing] {
        ids.push(add(&outbox, "7", headers).await?);
    }
    outbox.relay(&BILLING)?.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    let taken = async |queue: &str| {
        let messages = outbox.take_all(queue).await?;
        let mut taken = Vec::new();
        for message in &messages {
            let Some(AMQPValue::LongLongInt(id)) = header(message, "outbox-id") else {
                anyhow::bail!("a message without the row's id");
            };
            taken.push((message.delivery.exchange.to_string(), id));
        }
        anyhow::Ok(taken)
    };
    let own = [(EXCHANGE.to_owned(), ids[0]), (EXCHANGE.to_owned(), ids[2])];
    let billing = [("billing".to_owned(), ids[1]), ("billing".to_owned(), ids[3])];
    assert_eq!(taken("all").await?, own);
    assert_eq!(taken("billing").await?, billing);

    let replay = ["replay", "--since", "1h", "--reason", "a trial", "--yes"];
    let replayed = outbox.command(&[&replay[..], &BILLING].concat()).await?;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert_eq!(taken("all").await?, own, "a replay keeps the id and the exchange");
    assert_eq!(taken("billing").await?, billing);
    // Without the relay's own settings it says what it can't publish.
    let replayed = outbox.command(&replay).await?;
    assert_eq!(replayed.code, Some(1), "{replayed:?}");
    let said = format!("{}{}", replayed.out, replayed.err);
    assert!(said.contains("the header \"amqp-exchange\" is \"billing\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_exchange_that_is_not_listed_makes_its_event_stuck_and_holds_back_its_aggregate_only()
-> anyhow::Result<()> {
    let outbox = outbox().await?;
    declare_billing(&outbox).await?;
    let id = add(&outbox, "7", r#"{"amqp-exchange":"billing"}"#).await?;
    add(&outbox, "7", "{}").await?;
    add(&outbox, "8", "{}").await?;
    let mut relay = outbox.relay(&["--relay-exchanges", "audit"])?;
    relay.until_idle().await?;
    assert_eq!(
        stuck_reason(&outbox, id).await?,
        "the header \"amqp-exchange\" is \"billing\", but must be orders.events or audit (RELAY_EXCHANGES)"
    );
    assert_eq!(aggregate_id(&single(&outbox, "all").await?)?, "8");
    assert_eq!((outbox.pending().await?, outbox.depth("billing").await?), (2, 0));
    drop(relay);

    // With the setting and a person's retry all goes on.
    outbox.sql.execute("UPDATE outbox SET next_attempt_at = now() WHERE id = $1", &[&id]).await?;
    let mut relay = outbox.relay(&BILLING)?;
    eventually("all are published", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 0)
    })
    .await?;
    assert_eq!(outbox.depth("billing").await?, 1);
    assert_eq!(aggregate_id(&single(&outbox, "all").await?)?, "7");
    Ok(())
}

#[tokio::test]
async fn a_listed_exchange_that_is_missing_holds_back_its_own_events_only() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    for n in 0..20 {
        let headers = if n % 4 == 0 { r#"{"amqp-exchange":"billing"}"# } else { "{}" };
        add(&outbox, &n.to_string(), headers).await?;
    }
    let mut relay = outbox.relay(&[&BILLING[..], &SOON].concat())?;
    eventually("those of the other exchange are published", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 5)
    })
    .await?;
    let messages = outbox.take_all("all").await?;
    let got: HashSet<String> = messages.iter().map(aggregate_id).collect::<Result<_, _>>()?;
    assert_eq!(got.len(), 15);
    let waiting =
        "SELECT count(*) FROM outbox WHERE published_at IS NULL AND next_attempt_at < 'infinity'
                   AND last_error LIKE '%no exchange ''billing''%'";
    eventually("the others wait", async || {
        relay.relay.tick().await;
        Ok(outbox.count(waiting, &[]).await? == 5)
    })
    .await?;
    declare_billing(&outbox).await?;
    eventually("they are published once there is one", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 0)
    })
    .await?;
    assert_eq!(outbox.depth("billing").await?, 5);
    Ok(())
}

#[tokio::test]
async fn an_exchange_without_a_queue_is_named_in_the_reason() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    let (durable, none) =
        (ExchangeDeclareOptions { durable: true, ..Default::default() }, FieldTable::default());
    outbox.channel.exchange_declare("billing".into(), ExchangeKind::Fanout, durable, none).await?;
    let id = add(&outbox, "7", r#"{"amqp-exchange":"billing"}"#).await?;
    outbox.relay(&[&BILLING[..], &LATE].concat())?.until(TickOutcome::Worked).await?;
    let row = outbox
        .sql
        .query_one(
            "SELECT last_error FROM outbox WHERE id = $1 AND next_attempt_at < 'infinity'",
            &[&id],
        )
        .await?;
    assert_eq!(
        row.get::<_, &str>(0),
        "no queue is bound to the exchange billing for the routing key order.created"
    );
    Ok(())
}

/// An exchange of the plugin returns what it delays, and delivers it later: for the relay it looks
/// like one without a queue.
#[tokio::test]
async fn a_returned_event_that_may_have_been_delayed_is_not_sent_again_unseen() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.heard").await?;
    let id = add(&outbox, "7", r#"{"x-delay":5000}"#).await?;
    let mut relay = outbox.relay(&SOON)?;
    relay.until_idle().await?;
    let reason = stuck_reason(&outbox, id).await?;
    let begin = "no queue is bound to the exchange orders.events for the routing key order.created; or it \
                 delays the event (header x-delay)";
    assert!(reason.starts_with(begin), "{reason}");
    // Where a queue takes it, the header is one like any other.
    outbox.bind("all", "order.created").await?;
    add(&outbox, "8", r#"{"x-delay":5000}"#).await?;
    relay.until_idle().await?;
    let message = single(&outbox, "all").await?;
    assert_eq!(header(&message, "x-delay"), Some(AMQPValue::LongLongInt(5000)));
    Ok(())
}

#[tokio::test]
async fn the_check_names_a_listed_exchange_that_is_missing() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    let settings = [
        ("DATABASE_URL", outbox.relay_url.as_str()),
        ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
        ("RELAY_EXCHANGES", "amq.topic, billing"),
    ];
    let ended = outbox_relay(&["check"], &settings).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let missing = "FAIL exchange        billing of RELAY_EXCHANGES does not exist, and the relay declares none of those";
    assert!(ended.out.contains(missing), "{}", ended.out);
    assert!(ended.out.contains("rabbitmqadmin declare exchange --name billing"), "{}", ended.out);
    declare_billing(&outbox).await?;
    let ended = outbox_relay(&["check"], &settings).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ok = "orders.events exists, and the relay may write to it; it may also write to amq.topic, billing";
    assert!(ended.out.contains(ok), "{}", ended.out);
    Ok(())
}
