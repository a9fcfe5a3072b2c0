//! `outbox-relay dead-letters return`: what goes back, and what stays.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::desk::{HOME, Rows};
use serde_json::json;

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

#[tokio::test]
async fn a_message_goes_back_as_it_was_but_for_what_counts_its_deaths() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let list = AMQPValue::FieldArray(vec![AMQPValue::LongInt(-1), text("é\u{1f600}")].into());
    let nested = AMQPValue::FieldTable(table(&[("a", list), ("b", AMQPValue::Void)]));
    let kept = [
        ("nested", nested),
        ("short", AMQPValue::ShortInt(7)),
        ("double", AMQPValue::Double(0.1)),
        ("when", AMQPValue::Timestamp(1_769_984_731)),
    ];
    let mut died = table(&kept);
    for name in ["x-retry-count", "x-tries", "MT-Fault-Message", "x-exception-message"] {
        died.insert(name.into(), text("7"));
    }
    let properties = BasicProperties::default()
        .with_content_type("application/x-own".into())
        .with_content_encoding("gzip".into())
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_message_id("0190".into())
        .with_timestamp(7)
        .with_priority(3)
        .with_type("invoice.sent".into())
        .with_app_id("shop".into());
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let expiring = properties.clone().with_expiration("600000".into());
    desk.add(1, &body, expiring.with_headers(died)).await?;
    desk.collect_all().await?;
    let id = desk.letters().await?[0]["id"].as_i64().expect("an id");

    let ended = desk.command(&["return", &id.to_string(), "--reason", "it is mended"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "1 dead letter is returned.\n"));
    let messages = desk.take_all(HOME).await?;
    let [message] = &messages[..] else { panic!("{} messages", messages.len()) };
    assert!(message.delivery.data == body, "the body is another one");
    let mut headers = table(&kept);
    headers.insert("x-returned-from".into(), text(&format!("{QUEUE}/{id}")));
    let mut got = message.delivery.properties.clone();
    if let Some(found) = got.headers() {
        // The broker's own count of deliveries.
        let own = found.inner().iter().filter(|(name, _)| name.as_str() != "x-delivery-count");
        let own: Vec<(&str, AMQPValue)> =
            own.map(|(name, value)| (name.as_str(), value.clone())).collect();
        got = got.clone().with_headers(table(&own));
    }
    assert_eq!(got, properties.with_headers(headers).with_delivery_mode(2));

    let letters = desk.letters().await?;
    assert_eq!(letters[0]["state"], "returned");
    assert!(letters[0]["settled_at"].is_string());
    let audit = desk.audit().await?;
    let steps: Vec<_> = audit.iter().map(|row| (&row["before"], &row["after"])).collect();
    let state = |state: &str| json!({ "state": state });
    let (open, returning, returned) = (state("open"), state("returning"), state("returned"));
    assert_eq!(steps, [(&open, &returning), (&returning, &returned)]);
    assert!(audit.iter().all(|row| row["actor"] == "alice" && row["reason"] == "it is mended"));
    assert_eq!(audit[0]["operation_id"], audit[1]["operation_id"]);
    assert_eq!(audit[0]["detail"], json!({ "to": HOME }));
    Ok(())
}

#[tokio::test]
async fn what_no_queue_takes_is_open_again_and_its_neighbours_without_an_id_are_returned()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    // No message has a message_id: each is known by its row.
    let mut homeless = BTreeSet::new();
    let mut all = BTreeSet::new();
    for _ in 0..20 {
        all.extend(desk.add_rows(5, Rows::default()).await?);
        homeless.extend(desk.add_rows(1, Rows { return_to: "gone", ..Rows::default() }).await?);
    }
    let ended = desk.command(&["return", "--queue", QUEUE, "--yes", "--json"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!((&report["matched"], &report["returned"]), (&json!(120), &json!(100)), "{report}");
    let refused = report["refused"].as_array().expect("a list");
    let ids: BTreeSet<i64> = refused.iter().filter_map(|letter| letter["id"].as_i64()).collect();
    assert_eq!(ids, homeless);
    assert_eq!(refused[0]["reason"], "there is no queue gone (NO_ROUTE)");
    let delivered = desk.deliveries(HOME).await?;
    assert!(delivered.values().all(|times| *times == 1));
    assert_eq!(delivered.into_keys().collect::<BTreeSet<_>>(), all);
    assert_eq!((desk.in_state("open").await?, desk.in_state("returned").await?), (20, 100));

    let id = homeless.first().expect("one").to_string();
    let shown = desk.command(&["show", &id]).await?;
    assert!(shown.out.contains("return (open) by alice"), "{shown:?}");
    assert!(shown.out.contains("there is no queue gone"), "{shown:?}");
    let ended = desk.command(&["return", &id, "--to", HOME]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(desk.deliveries(HOME).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_full_queue_nacks_is_open_again() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let arguments =
        [("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))];
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    desk.channel.queue_declare("full".into(), options, table(&arguments)).await?;
    desk.add_rows(30, Rows { return_to: "full", ..Rows::default() }).await?;
    let ended = desk.command(&["return", "--kind", "failed", "--expect", "30", "--json"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    let refused = report["refused"].as_array().expect("a list");
    assert!(!refused.is_empty(), "{report}");
    assert!(refused[0]["reason"].as_str().is_some_and(|why| why.contains("nack")), "{report}");
    let delivered = desk.deliveries("full").await?;
    let returned = desk.in_state("returned").await?;
    assert_eq!(i64::try_from(delivered.len())?, returned, "{report}");
    assert_eq!(desk.in_state("open").await?, 30 - returned);
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_a_message_is_named_and_the_others_go() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(4, Rows::default()).await?;
    for (id, change) in [
        (ids[0], "content_header = 'broken'"),
        (ids[1], "return_to = NULL"),
        (ids[2], "return_to = repeat('q', 256)"),
    ] {
        desk.sql
            .batch_execute(&format!("UPDATE dead_letters SET {change} WHERE id = {id}"))
            .await?;
    }
    let named: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut arguments = vec!["return", "--json", "999999"];
    arguments.extend(named.iter().map(String::as_str));
    let ended = desk.command(&arguments).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!(report["returned"], 1, "{report}");
    assert_eq!(report["refused"].as_array().map(Vec::len), Some(2), "{report}");
    let skipped = report["not_returned"].as_array().expect("a list");
    let reasons: Vec<_> = skipped.iter().map(|letter| (&letter["id"], &letter["reason"])).collect();
    let expected = [(json!(ids[1]), json!("no_way_back")), (json!(999_999), json!("not_found"))];
    assert_eq!(reasons, expected.iter().map(|(id, why)| (id, why)).collect::<Vec<_>>());
    assert_eq!((desk.in_state("open").await?, desk.in_state("returned").await?), (3, 1));
    Ok(())
}

#[tokio::test]
async fn a_rate_is_kept_to() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(21, Rows::default()).await?;
    let begun = Instant::now();
    let ended = desk.command(&["return", "--kind", "failed", "--yes", "--rate", "10/s"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(desk.deliveries(HOME).await?.len(), 21);
    Ok(())
}

#[tokio::test]
async fn a_message_that_dies_again_is_linked_to_its_earlier_death() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    for number in 0..2 {
        let headers = table(&[("x-reason", text("customer 7 is unknown"))]);
        if number == 0 {
            desk.add(1, b"{}", BasicProperties::default().with_headers(headers)).await?;
        } else {
            // As the consumer does it: with the headers that it came with.
            let message = desk.take_all(HOME).await?.pop().expect("it was returned");
            let mut headers = message.delivery.properties.headers().clone().expect("headers");
            headers.insert("x-reason".into(), text("customer 8 is unknown"));
            desk.add(1, b"{}", BasicProperties::default().with_headers(headers)).await?;
        }
        desk.collect_all().await?;
        let ended = desk.command(&["return", "--queue", QUEUE, "--expect", "1"]).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let letters = desk.letters().await?;
    assert_eq!(letters[1]["earlier_id"], letters[0]["id"]);
    let shown = desk.command(&["show", &letters[1]["id"].to_string()]).await?;
    assert!(shown.out.contains("once before, same cause"), "{shown:?}");
    Ok(())
}

/// The first return was interrupted, and the next one was refused: the row is open, and its message
/// arrived nevertheless.
#[tokio::test]
async fn a_message_that_arrived_unnoticed_and_dies_again_is_linked() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(2, Rows { return_to: "gone", ..Rows::default() }).await?;
    let mark = format!("UPDATE dead_letters SET state = 'returning' WHERE id = {}", ids[0]);
    desk.sql.batch_execute(&mark).await?;
    let operator = desk.person("dead_letters_operator").await?;
    let ended =
        desk.command_as(&operator, "alice", &["return", "--kind", "failed", "--yes"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(desk.in_state("open").await?, 2);
    // The second one was never sent, whatever a header says.
    for id in &ids {
        desk.add_with_headers(b"{}", &[("x-returned-from", text(&format!("{QUEUE}/{id}")))])
            .await?;
    }
    desk.collect_all().await?;
    let letters = desk.letters().await?;
    assert_eq!((&letters[2]["earlier_id"], &letters[2]["returns"]), (&json!(ids[0]), &json!(1)));
    assert_eq!((&letters[3]["earlier_id"], &letters[3]["returns"]), (&json!(null), &json!(0)));
    assert_eq!(letters[0]["state"], "open", "no return is confirmed");
    let shown = desk.command(&["show", &letters[2]["id"].to_string()]).await?;
    let told = format!("once before, other cause (see {}, by a return without an answer)", ids[0]);
    assert!(shown.out.contains(&told), "{shown:?}");
    let shown = desk.command(&["show", &ids[0].to_string()]).await?;
    assert!(shown.out.contains("open; a return had no answer, and may have arrived"), "{shown:?}");
    Ok(())
}

#[tokio::test]
async fn without_a_broker_nothing_is_changed() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(2, Rows::default()).await?;
    let nowhere = ["--rabbitmq-url", "amqp://127.0.0.1:1"];
    let ended =
        desk.command(&[&["return", "--kind", "failed", "--yes"], &nowhere[..]].concat()).await?;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.err.contains("nothing was changed"), "{ended:?}");
    assert_eq!(desk.in_state("open").await?, 2);
    assert!(desk.audit().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn one_whose_return_can_not_be_noted_is_named_and_the_others_are_settled()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(300, Rows::default()).await?;
    let gone = desk.add_rows(3, Rows { return_to: "gone", ..Rows::default() }).await?;
    let (sealed, closed) = (ids[123], gone[1]);
    desk.sql
        .batch_execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'under seal'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON dead_letters FOR EACH ROW
             WHEN (OLD.id IN ({sealed}, {closed}) AND OLD.state = 'returning') EXECUTE FUNCTION refuse()"
        ))
        .await?;
    let ended = desk.command(&["return", "--queue", QUEUE, "--yes", "--json"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!(report["returned"], 299, "{report}");
    assert_eq!(report["refused"].as_array().map(Vec::len), Some(2), "{report}");
    let not_noted = report["unchanged"].as_array().expect("a list");
    let told: Vec<_> = not_noted.iter().map(|letter| letter["id"].as_i64()).collect();
    assert_eq!(told, [Some(sealed), Some(closed)], "{report}");
    assert!(not_noted[0]["reason"].as_str().is_some_and(|why| why.contains("under seal")));
    assert_eq!(desk.in_state("returned").await?, 299);
    assert_eq!((desk.in_state("returning").await?, desk.in_state("open").await?), (2, 2));
    let delivered = desk.deliveries(HOME).await?;
    assert_eq!(
        delivered.into_iter().collect::<Vec<_>>(),
        ids.iter().map(|id| (*id, 1)).collect::<Vec<_>>()
    );
    Ok(())
}
