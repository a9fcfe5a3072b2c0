//! What `events` and `show` report about events held back by a failed one of their aggregate.

use std::collections::BTreeMap;

use anyhow::Context as _;
use pipeline_tests::outbox::Outbox;
use serde_json::Value;

/// Events of each kind; their ids are 1, 2, 3 and so on.
async fn fill(outbox: &Outbox) -> anyhow::Result<()> {
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at, attempts, next_attempt_at)
             VALUES ('order', '7', 'order.created', '{}', now(), 0, NULL),
                    ('order', '7', 'order.processing', '{}', NULL, 1, 'infinity'),
                    ('order', '7', 'order.shipped', '{}', NULL, 0, NULL),
                    ('order', '7', 'order.delivered', '{}', NULL, 1, now() + interval '1 hour'),
                    ('order', '7', 'order.returned', '{}', NULL, 0, NULL),
                    ('invoice', '7', 'invoice.issued', '{}', NULL, 0, NULL),
                    ('order', '8', 'order.created', '{}', NULL, 0, NULL),
                    ('order', '8', 'order.shipped', '{}', NULL, 1, now() + interval '1 hour'),
                    ('order', '9', 'order.created', '{}', NULL, 1, now() - interval '1 hour'),
                    ('order', '9', 'order.shipped', '{}', NULL, 0, NULL)",
        )
        .await?;
    Ok(())
}

/// Relay settings, and the state of each event with them.
const SETTINGS: [(&[&str], [&str; 10]); 3] = [
    (
        &[],
        [
            "published",
            "stuck",
            "behind 2",
            "waiting",
            "behind 2",
            "ready",
            "ready",
            "waiting",
            "ready",
            "behind 9",
        ],
    ),
    (
        &["--relay-when-stuck", "skip"],
        [
            "published",
            "stuck",
            "ready",
            "waiting",
            "behind 4",
            "ready",
            "ready",
            "waiting",
            "ready",
            "behind 9",
        ],
    ),
    (
        &["--relay-ordering", "none"],
        [
            "published",
            "stuck",
            "ready",
            "waiting",
            "ready",
            "ready",
            "ready",
            "waiting",
            "ready",
            "ready",
        ],
    ),
];

fn told(event: &Value) -> String {
    let state = event["state"].as_str().unwrap_or_default();
    match (state, event["waits_behind_id"].as_i64()) {
        ("behind", Some(id)) => format!("behind {id}"),
        _ => state.to_owned(),
    }
}

/// The reported state of each event, by its id.
async fn listed(
    outbox: &Outbox,
    arguments: &[&str],
) -> anyhow::Result<BTreeMap<i64, (String, Value)>> {
    let ended = outbox.command(&[&["events", "--json"], arguments].concat()).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut events = ended.json_lines()?;
    for event in &mut events {
        // It changes between two calls.
        event.as_object_mut().context("an object")?.remove("age_seconds");
    }
    events
        .into_iter()
        .map(|event| Ok((event["id"].as_i64().context("an id")?, (told(&event), event))))
        .collect()
}

#[tokio::test]
async fn an_event_that_is_held_back_is_listed_with_the_one_that_holds_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    fill(&outbox).await?;
    for (settings, expected) in SETTINGS {
        let all = listed(&outbox, settings).await?;
        let states: Vec<&str> = all.values().map(|(state, _)| state.as_str()).collect();
        assert_eq!(states, expected, "{settings:?}");
        let mut pending = listed(&outbox, &[settings, &["--pending"]].concat()).await?;
        pending.insert(1, all[&1].clone());
        assert_eq!(pending, all, "{settings:?}");
        for (state, event) in all.values() {
            let holder = event["waits_behind_id"].as_i64().map(|id| &all[&id].1["event_id"]);
            assert_eq!(event.get("waits_behind"), holder, "{state}");
            let id = event["event_id"].as_str().context("an id")?;
            let shown = outbox.command(&[&["show", "--json", id], settings].concat()).await?;
            assert_eq!(told(&shown.json()?["event"]), *state, "{settings:?}");
            assert_eq!(shown.json()?["event"].get("waits_behind"), holder, "{settings:?}");
        }
    }
    // An event that failed itself also waits behind the other one.
    assert_eq!(listed(&outbox, &["--pending", "--limit", "3"]).await?[&4].1["waits_behind_id"], 2);

    let table = outbox.command(&["events"]).await?;
    assert!(table.out.contains("  behind 2  "), "{}", table.out);
    let behind = listed(&outbox, &[]).await?[&3].1.clone();
    let id = behind["event_id"].as_str().context("an id")?;
    let page = outbox.command(&["show", id]).await?;
    let ahead = behind["waits_behind"].as_str().context("an event")?;
    assert!(page.out.contains("state         behind 2\n") && page.out.contains(ahead), "{page:?}");
    let wrong = outbox.command(&["events", "--relay-when-stuck", "wait"]).await?;
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_told_to_be_ready_is_what_a_relay_of_these_settings_publishes() -> anyhow::Result<()>
{
    for (settings, _) in SETTINGS {
        let outbox = Outbox::new().await?;
        outbox.queue("all", "#").await?;
        fill(&outbox).await?;
        let before = listed(&outbox, &[&["--pending"], settings].concat()).await?;
        // Due events held back by a failed one are published after it.
        let goes = |state: &str| state == "ready" || state == "behind 9";
        let expected: Vec<i64> =
            before.iter().filter(|(_, (state, _))| goes(state)).map(|(id, _)| *id).collect();
        outbox.relay(settings)?.until_idle().await?;
        let after = listed(&outbox, &[&["--published"], settings].concat()).await?;
        let published: Vec<i64> = after.into_keys().filter(|id| *id != 1).collect();
        assert_eq!(published, expected, "{settings:?}");
    }
    Ok(())
}
