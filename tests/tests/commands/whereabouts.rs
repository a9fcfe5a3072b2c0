//! Where an event is, from the outbox to its consumer.

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use pipeline_tests::consumer_inbox::{ConsumerInbox, DEAD_LETTER_QUEUE};
use pipeline_tests::outbox::eventually;
use pipeline_tests::paused_process::PausedProcess;
use stack::ProcessId;
use uuid::Uuid;

const PUBLISHED: &str = "published_at = now()";
const LONG_AGO: &str = "published_at = now() - interval '2 hours'";

#[tokio::test]
async fn it_is_said_where_a_pending_event_is() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let stuck = "attempts = 10, next_attempt_at = 'infinity', last_error = 'no queue is bound'";
    for (assignment, code, answer, said) in [
        ("attempts = 0", 1, "failed", "no relay is at work"),
        ("next_attempt_at = now() + interval '1 hour'", 2, "on_its_way", "scheduled"),
        ("next_attempt_at = 'infinity'", 1, "failed", "parked"),
        (
            "attempts = 1, next_attempt_at = now() + interval '1 hour'",
            2,
            "on_its_way",
            "tried again",
        ),
        (stuck, 1, "failed", "retry, edit or discard"),
        ("attempts = 0", 2, "on_its_way", "an earlier event of its aggregate failed"),
    ] {
        let event_id = inbox.add("order.created", assignment).await?;
        let (ended, location) = inbox.locate(event_id).await?;
        assert_eq!((ended, &location["answer"]), (Some(code), &answer.into()), "{location}");
        let because = location["because"].as_str().unwrap_or_default();
        assert!(because.contains(said), "{location}");
        if assignment.contains("interval '1 hour'") || assignment == stuck {
            continue;
        }
        // Out of the way of the next one.
        inbox.outbox.sql.batch_execute("DELETE FROM outbox WHERE attempts = 0").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_due_event_names_the_relay_or_the_pause() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let paused = ["pause", "--type", "order.created", "--reason", "a bad deploy"];
    assert_eq!(inbox.outbox.command(&paused).await?.code, Some(0));
    let event_id = inbox.add("order.created", "attempts = 0").await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!((code, &location["because"]), (Some(2), &"it is paused".into()), "{location}");
    assert_eq!(location["pauses"][0]["reason"], "a bad deploy");

    let resumed = inbox.outbox.command(&["resume", "--type", "order.created"]).await?;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    inbox.outbox.queue("audience", "order.created").await?;
    let relay = inbox.outbox.relay_process(&[]).await?;
    inbox.outbox.all_published().await?;
    assert_eq!(inbox.locate(event_id).await?.1["event"]["state"], "published");
    // Stopped, it keeps its lanes.
    let _stopped = PausedProcess::new(ProcessId::of(relay.pid()).context("it runs")?)?;
    let event_id = inbox.add("order.created", "attempts = 0").await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!(code, Some(2), "{location}");
    assert_eq!(location["because"], "a relay has sent it, or sends it next");
    assert_eq!(location["relay"]["name"], "outbox-relay");
    Ok(())
}

#[tokio::test]
async fn a_published_event_is_followed_to_its_consumer() -> anyhow::Result<()> {
    for key_type in ["uuid", "text", "varchar(36)", "char(36)"] {
        let inbox = ConsumerInbox::new(key_type, "1h").await?;
        let recent = inbox.add("order.created", PUBLISHED).await?;
        let late = inbox.add("order.created", LONG_AGO).await?;
        let other = inbox.add("invoice.created", PUBLISHED).await?;
        for (event_id, code, answer, said) in [
            (recent, 2, "on_its_way", "not applied by all yet"),
            (late, 1, "failed", "billing has not applied it, and no dead letter tells why"),
            (other, 0, "delivered", "no known consumer handles events of its type"),
            (Uuid::new_v4(), 3, "unknown", "it is not in the outbox"),
        ] {
            let (ended, location) = inbox.locate(event_id).await?;
            assert_eq!((ended, &location["answer"]), (Some(code), &answer.into()), "{location}");
            let because = location["because"].as_str().unwrap_or_default();
            assert!(because.contains(said), "{location}");
        }
        inbox.apply(late).await?;
        let (code, location) = inbox.locate(late).await?;
        assert_eq!((code, &location["answer"]), (Some(0), &"delivered".into()), "{location}");
        assert_eq!(location["consumers"][0]["state"], "applied");

        // Published and deleted since.
        inbox.outbox.sql.batch_execute("DELETE FROM outbox").await?;
        assert_eq!(inbox.locate(late).await?.0, Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_tells_why_an_event_failed() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    for (state, code, answer) in
        [("open", 1, "failed"), ("discarded", 1, "failed"), ("returned", 2, "on_its_way")]
    {
        let event_id = inbox.add("order.created", LONG_AGO).await?;
        let id = inbox.add_dead_letter(event_id, state).await?;
        let (ended, location) = inbox.locate(event_id).await?;
        assert_eq!((ended, &location["answer"]), (Some(code), &answer.into()), "{location}");
        assert_eq!(location["dead_letters"][0]["id"], id);
        assert_eq!(location["dead_letters"][0]["reason"], "no such customer");
        let page = inbox.command(&["where", &event_id.to_string()]).await?;
        let said =
            format!("{id} of {DEAD_LETTER_QUEUE}, {state}: failed after 3 tries: no such customer");
        assert!(page.out.contains(&said), "{}", page.out);
        // Applied after all: what is left of its death does not matter.
        inbox.apply(event_id).await?;
        assert_eq!(inbox.locate(event_id).await?.0, Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_looked_at_makes_the_answer_unknown() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let event_id = inbox.add("order.created", LONG_AGO).await?;
    assert_eq!(inbox.locate(event_id).await?.0, Some(1));

    let reconcile = ["reconcile", "--since", "1d", "--json"];
    assert_eq!(inbox.command(&reconcile).await?.code, Some(1));
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let channel = &inbox.outbox.channel;
    channel.basic_publish("".into(), DEAD_LETTER_QUEUE.into(), options, b"x", properties).await?;
    eventually("the message is in the queue", async || {
        Ok(inbox.outbox.depth(DEAD_LETTER_QUEUE).await? == 1)
    })
    .await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!((code, &location["answer"]), (Some(3), &"unknown".into()), "{location}");
    assert!(location["because"].as_str().unwrap_or_default().contains("billing.dlq holds 1"));
    assert_eq!(inbox.command(&reconcile).await?.code, Some(3));

    // No more than one event can be that message.
    inbox.add("order.created", LONG_AGO).await?;
    assert_eq!(inbox.command(&reconcile).await?.code, Some(1));

    inbox.lose()?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!(code, Some(3), "{location}");
    let because = location["because"].as_str().unwrap_or_default();
    assert!(because.contains("the inbox billing can't be read"), "{location}");
    let reconciled = inbox.command(&reconcile).await?;
    assert_eq!(reconciled.code, Some(1), "{reconciled:?}");
    assert!(reconciled.err.contains("the inbox billing can't be read"), "{reconciled:?}");
    Ok(())
}

#[tokio::test]
async fn the_newest_events_of_an_aggregate_are_found() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let applied = inbox.add("order.created", PUBLISHED).await?;
    inbox.apply(applied).await?;
    assert_eq!(inbox.command(&["where", "order/7", "--json"]).await?.code, Some(0));
    let late = inbox.add("order.created", LONG_AGO).await?;
    let found = inbox.command(&["where", "order/7", "--json"]).await?;
    assert_eq!(found.code, Some(1));
    let found = found.json()?;
    assert_eq!(found["events"][0]["event_id"], late.to_string());
    assert_eq!(found["events"][1]["event_id"], applied.to_string());
    let none = inbox.command(&["where", "order/8"]).await?;
    assert_eq!(none.code, Some(3));
    assert!(none.err.contains("has no event of order 8"), "{none:?}");
    let wrong = inbox.command(&["where", "order"]).await?;
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_no_text_is_refused() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("bytea", "1h").await?;
    let event_id = inbox.add("order.created", LONG_AGO).await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!(code, Some(3), "{location}");
    let because = location["because"].as_str().unwrap_or_default();
    assert!(because.contains("is of the type bytea, and has to be uuid, text"), "{location}");
    Ok(())
}

#[tokio::test]
async fn an_event_is_delivered_when_all_consumers_have_applied_it() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    inbox.add_shipping().await?;
    let event_id = inbox.add("order.created", LONG_AGO).await?;
    inbox.apply(event_id).await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!(code, Some(1), "{location}");
    assert!(location["because"].as_str().unwrap_or_default().contains("shipping has not applied"));
    // Without the row nobody knows whether shipping should have.
    let gone = "CREATE TABLE kept AS TABLE outbox; DELETE FROM outbox";
    inbox.outbox.sql.batch_execute(gone).await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!((code, &location["answer"]), (Some(3), &"unknown".into()), "{location}");
    let applied = format!("INSERT INTO shipping_inbox VALUES ('{event_id}')");
    inbox.outbox.sql.batch_execute(&applied).await?;
    assert_eq!(inbox.locate(event_id).await?.0, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_that_was_returned_long_ago_excuses_nobody() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let event_id = inbox.add("order.created", LONG_AGO).await?;
    let id = inbox.add_dead_letter(event_id, "returned").await?;
    assert_eq!(inbox.locate(event_id).await?.0, Some(2));
    assert_eq!(inbox.command(&["reconcile"]).await?.code, Some(0));
    let long_ago = format!(
        "UPDATE dead_letters SET settled_at = now() - interval '90 minutes' WHERE id = {id}"
    );
    inbox.outbox.sql.batch_execute(&long_ago).await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!((code, &location["answer"]), (Some(1), &"failed".into()), "{location}");
    assert!(
        location["because"]
            .as_str()
            .unwrap_or_default()
            .contains("was returned, and billing has not applied it")
    );
    assert_eq!(inbox.command(&["reconcile"]).await?.code, Some(1));

    let event_id = inbox.add("order.created", PUBLISHED).await?;
    inbox.add_dead_letter(event_id, "returning").await?;
    let (code, location) = inbox.locate(event_id).await?;
    assert_eq!((code, &location["answer"]), (Some(3), &"unknown".into()), "{location}");
    Ok(())
}

#[tokio::test]
async fn without_the_table_of_dead_letters_none_are_claimed_to_be_looked_for() -> anyhow::Result<()>
{
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let event_id = inbox.add("order.created", LONG_AGO).await?;
    let file = inbox.inboxes();
    let (event_id, file) = (event_id.to_string(), file.as_str());
    let located = inbox.outbox.command(&["where", &event_id, "--inboxes", file]).await?;
    assert_eq!(located.code, Some(3), "{located:?}");
    assert!(located.out.contains("DEAD_LETTERS_DATABASE_URL is not set"), "{located:?}");
    let reconciled = inbox.outbox.command(&["reconcile", "--inboxes", file]).await?;
    assert_eq!(reconciled.code, Some(1), "{reconciled:?}");
    assert!(reconciled.out.contains("1 not applied"), "{reconciled:?}");
    assert!(reconciled.out.contains("Dead letters were not looked for"), "{reconciled:?}");
    Ok(())
}

#[tokio::test]
async fn a_failed_event_names_those_that_it_holds_back() -> anyhow::Result<()> {
    let inbox = ConsumerInbox::new("uuid", "1h").await?;
    let stuck = "attempts = 10, next_attempt_at = 'infinity', last_error = 'no queue is bound'";
    let first = inbox.add("order.created", stuck).await?;
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(inbox.add("order.created", "attempts = 0").await?.to_string());
    }
    // Neither of these waits behind it.
    inbox.add("order.created", "next_attempt_at = now() + interval '1 hour'").await?;
    inbox.outbox.add("8", "order.created").await?;
    let (_, location) = inbox.locate(first).await?;
    assert_eq!(location["holds"], serde_json::json!(held[..10]), "{location}");
    assert_eq!(
        (&location["holds_count"], &location["holds_is_capped"]),
        (&12.into(), &false.into())
    );
    let (_, location) = inbox.locate(held[0].parse()?).await?;
    assert_eq!(location["holds_count"], 0, "{location}");
    let text = inbox.command(&["where", &first.to_string()]).await?;
    let said = format!("holds back    12 later events of its aggregate, the first {}", held[0]);
    assert!(text.out.contains(&said), "{text:?}");
    let skipping = ["where", &first.to_string(), "--json", "--relay-when-stuck", "skip"];
    let location = inbox.command(&skipping).await?.json()?["events"][0].take();
    assert_eq!(location["holds_count"], 0, "{location}");
    Ok(())
}
