//! `outbox-relay dead-letters forget`: nothing is left that a message said of itself, nor, if that is
//! asked, what people typed as reasons.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::person::can_not_rewrite_reasons;

#[tokio::test]
async fn of_a_forgotten_dead_letter_nothing_is_left_that_its_message_said() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let admin = desk.person("dead_letters_admin").await?;
    let secret = || AMQPValue::LongString("SECRET".into());
    let death = BTreeMap::from([
        ("exchange".into(), secret()),
        ("routing-keys".into(), AMQPValue::FieldArray(vec![secret()].into())),
        ("queue".into(), AMQPValue::LongString("billing".into())),
        ("reason".into(), AMQPValue::LongString("rejected".into())),
        ("count".into(), AMQPValue::LongLongInt(1)),
    ]);
    let death = AMQPValue::FieldTable(FieldTable::from(death));
    let headers = BTreeMap::from([
        ("x-death".into(), AMQPValue::FieldArray(vec![death].into())),
        ("x-reason".into(), secret()),
    ]);
    let properties = BasicProperties::default()
        .with_content_type("text/SECRET".into())
        .with_headers(FieldTable::from(headers));
    desk.add(1, b"SECRET", properties).await?;
    desk.collect_all().await?;
    let letter = desk.letters().await?.remove(0);
    for column in ["exchange", "routing_key", "event_type"] {
        assert_eq!(letter[column], "SECRET", "{letter}");
    }
    let id = letter["id"].to_string();
    let discard = ["discard", &id, "--reason", "SECRET of the customer"];
    let ended = desk.command_as(&admin, "alice", &discard).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    can_not_rewrite_reasons(&admin, "dead_letters_audit").await?;
    let forget = ["forget", &id, "--yes", "--json", "--reason", "request 118"];
    let ended = desk.command_as(&admin, "alice", &forget).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let secrets = "SELECT count(*) FROM (SELECT dead_letters::text AS line FROM dead_letters
                                         UNION ALL SELECT dead_letters_audit::text FROM dead_letters_audit) AS lines
                   WHERE line LIKE '%SECRET%'";
    assert_eq!(desk.count(secrets).await?, 1, "the reason of the discard");
    for member in ["forgotten", "forgotten_before"] {
        let forget = [&forget[..], &["--with-reasons"]].concat();
        let ended = desk.command_as(&admin, "alice", &forget).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.json()?[member].to_string(), format!("[{id}]"), "{member}: {ended:?}");
    }
    assert_eq!(desk.count(secrets).await?, 0);
    Ok(())
}
