//! The story of a bad deployment, as a person on call types it: what is stuck is looked at by its
//! causes, mended, discarded, restored, paused and resumed, while relays are killed at random.
//!
//! `TEST_SEED` repeats a run.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pipeline_tests::command::Ended;
use pipeline_tests::deliveries::first_of_each;
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::queue_order::drain_in_order;
use pipeline_tests::seed::seed;
use pipeline_tests::temp_folder::TempFolder;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

/// Each failed attempt makes an event stuck.
const SETTINGS: [(&str, &str); 1] = [("RELAY_MAX_ATTEMPTS", "1")];

const KILLS: usize = 30;

/// Events that no queue is bound for, that have wrong headers, and that have a wrong priority.
const UNHEARD: i64 = 800;
const WRONG_HEADERS: i64 = 388;
const WRONG_PRIORITY: i64 = 12;

/// Events that no queue is bound for, which come while people count.
const LATE: i64 = 50;

const STUCK: &str =
    "SELECT count(*) FROM outbox WHERE published_at IS NULL AND next_attempt_at = 'infinity'";

/// Adds events, each of an aggregate of its own: `name-1`, `name-2` ….
async fn add(
    outbox: &Outbox,
    name: &str,
    event_type: &str,
    headers: &str,
    count: i64,
) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  SELECT 'order', $1 || '-' || i, $2, '{}', $3::text::jsonb FROM generate_series(1, $4::bigint) AS i";
    outbox.sql.execute(insert, &[&name, &event_type, &headers, &count]).await?;
    Ok(())
}

async fn until_stuck(outbox: &Outbox, count: i64) -> anyhow::Result<()> {
    eventually("those that fail are stuck", async || Ok(outbox.count(STUCK, &[]).await? == count))
        .await
}

/// A person with all rights, and the outbox that they mend.
struct Person<'a> {
    outbox: &'a Outbox,
    url: String,
}

impl Person<'_> {
    /// Runs a command that has to succeed. A relay may be killed before it confirms a change (3).
    async fn types(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let ended = self.outbox.command_as(&self.url, arguments).await?;
        ensure!(matches!(ended.code, Some(0 | 3)), "{arguments:?}: {ended:?}");
        Ok(ended)
    }

    /// The fingerprint and the number of events of each type and kind.
    async fn failures(&self) -> anyhow::Result<HashMap<(String, i64), String>> {
        let report = self.types(&["failures", "--json"]).await?.json()?;
        let groups = report["failures"].as_array().context("groups")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        groups
            .iter()
            .map(|group| {
                let events = group["events"].as_i64().context("a number")?;
                Ok(((text(&group["kind"])?, events), text(&group["fingerprint"])?))
            })
            .collect()
    }
}

/// Kills relays with SIGKILL at random moments, and starts others.
async fn kill_relays(outbox: &Outbox, rng: &mut StdRng) -> anyhow::Result<()> {
    for _ in 0..KILLS {
        let relay = outbox.relay_process(&SETTINGS).await?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..1500))).await;
        ensure!(relay.is_running(), "it ended by itself: {}", relay.last_lines());
        relay.sigkill()?;
        relay.wait_exit(PATIENCE).await?;
    }
    Ok(())
}

/// What the person does. Returns when all is mended.
async fn mend(outbox: &Outbox) -> anyhow::Result<()> {
    let person = Person { outbox, url: outbox.person("outbox_admin").await? };
    until_stuck(outbox, UNHEARD + WRONG_HEADERS + WRONG_PRIORITY).await?;
    let failures = person.failures().await?;
    ensure!(failures.len() == 3, "{failures:?}");
    let cause = |kind: &str, events| failures.get(&(kind.to_owned(), events)).context("a cause");
    let unheard = cause("returned", UNHEARD)?;
    let (headers, priority) =
        (cause("unpublishable", WRONG_HEADERS)?, cause("unpublishable", WRONG_PRIORITY)?);

    // The wrong headers: one is edited and retried, the rest is repaired by its service's owner.
    let one =
        "SELECT event_id::text FROM outbox WHERE aggregate_id = 'headers-1' ORDER BY id LIMIT 1";
    let one: String = outbox.sql.query_one(one, &[]).await?.get(0);
    let folder = TempFolder::new()?;
    let good = folder.write("headers", r#"{"number": 1}"#)?;
    person.types(&["edit", &one, "--headers-file", &good, "--reason", "x", "--retry"]).await?;
    let repair = r#"UPDATE outbox SET headers = '{"number": 1}' WHERE headers = '[]'"#;
    outbox.sql.batch_execute(repair).await?;
    let rest = (WRONG_HEADERS - 1).to_string();
    person.types(&["retry", "--stuck", "--fingerprint", headers, "--expect", &rest]).await?;

    // New ones come between the count and the retry.
    let select = ["--stuck", "--fingerprint", unheard.as_str()];
    let counted = person.types(&[&["retry", "--dry-run", "--json"], &select[..]].concat()).await?;
    let counted = counted.json()?;
    ensure!(counted["matched"] == UNHEARD, "{counted}");
    add(outbox, "late", "order.broken", r#"{"number": 1}"#, LATE).await?;
    until_stuck(outbox, UNHEARD + LATE + WRONG_PRIORITY).await?;
    let (expect, up_to) = (UNHEARD.to_string(), counted["up_to_id"].to_string());
    let more = [&["retry", "--expect", &expect], &select[..]].concat();
    let refused = outbox.command_as(&person.url, &more).await?;
    ensure!(refused.code == Some(1) && refused.err.contains("nothing was changed"), "{refused:?}");
    outbox.bind("all", "order.broken").await?;
    person.types(&[&more[..], &["--up-to-id", &up_to]].concat()).await?;
    person.types(&["retry", "--stuck", "--fingerprint", unheard, "--expect", "50"]).await?;

    // The wrong priority: discarded, one of them restored after all, and edited.
    let twelve = WRONG_PRIORITY.to_string();
    let discard = ["discard", "--fingerprint", priority, "--reason", "x", "--expect", &twelve];
    person.types(&discard).await?;
    let back =
        "SELECT event_id::text FROM outbox_audit WHERE action = 'discard' ORDER BY id LIMIT 1";
    let back: String = outbox.sql.query_one(back, &[]).await?.get(0);
    person.types(&["restore", &back, "--reason", "x"]).await?;
    let last = folder.write("restored", r#"{"number": 3}"#)?;
    until_stuck(outbox, 1).await?;
    person.types(&["edit", &back, "--headers-file", &last, "--reason", "x", "--retry"]).await?;

    // One type is paused, and resumed.
    person.types(&["pause", "--type", "order.paid", "--reason", "x"]).await?;
    for number in 1..=3 {
        add(outbox, "paid", "order.paid", &format!(r#"{{"number": {number}}}"#), 20).await?;
    }
    add(outbox, "beside", "order.created", r#"{"number": 1}"#, 20).await?;
    let published =
        "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL AND aggregate_id LIKE $1";
    eventually("what is not paused is published", async || {
        Ok(outbox.count(published, &[&"beside-%"]).await? == 20)
    })
    .await?;
    ensure!(outbox.count(published, &[&"paid-%"]).await? == 0, "paused events were published");
    person.types(&["resume", "--type", "order.paid"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_deployment_is_mended_while_relays_are_killed() -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed()?);
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.bind("all", "order.paid").await?;
    for (name, event_type, headers, count) in [
        ("unheard", "order.broken", r#"{"number": 1}"#, UNHEARD),
        ("headers", "order.created", "[]", WRONG_HEADERS),
        ("priority", "order.created", r#"{"number": 1, "amqp-priority": 999}"#, WRONG_PRIORITY),
    ] {
        add(&outbox, name, event_type, headers, count).await?;
        add(&outbox, name, "order.created", r#"{"number": 2}"#, count).await?;
    }
    // One relay stays, so that all goes on between the kills.
    let relay = outbox.relay_process(&SETTINGS).await?;
    tokio::try_join!(mend(&outbox), kill_relays(&outbox, &mut rng))?;
    relay.sigkill()?;
    relay.wait_exit(PATIENCE).await?;
    let relay = outbox.relay_process(&SETTINGS).await?;
    outbox.all_published().await.with_context(|| relay.last_lines())?;
    relay.sigkill()?;
    relay.wait_exit(PATIENCE).await?;

    // Nothing is lost, and every aggregate is in order.
    let got = first_of_each(drain_in_order(&outbox, "all").await?);
    let restored = "SELECT event->>'aggregate_id' FROM outbox_audit WHERE action = 'discard' ORDER BY id LIMIT 1";
    let restored: String = outbox.sql.query_one(restored, &[]).await?.get(0);
    for (aggregate, numbers) in &got {
        let expected: &[i64] = match aggregate.split_once('-').context("a name")?.0 {
            "unheard" | "headers" => &[1, 2],
            "priority" if *aggregate == restored => &[2, 3],
            "priority" => &[2],
            "paid" => &[1, 2, 3],
            _ => &[1],
        };
        ensure!(numbers == expected, "{aggregate}: {numbers:?}");
    }
    let aggregates = UNHEARD + WRONG_HEADERS + WRONG_PRIORITY + LATE + 20 + 20;
    ensure!(i64::try_from(got.len())? == aggregates, "{} of {aggregates}", got.len());

    // The audit has all of it, and one number for each command.
    let audit = "SELECT action, count(*), count(DISTINCT operation_id) FROM outbox_audit GROUP BY 1 ORDER BY 1";
    let rows = outbox.sql.query(audit, &[]).await?;
    let audit: Vec<(String, i64, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected = [
        ("discard", WRONG_PRIORITY, 1),
        ("edit", 2, 2),
        ("pause", 1, 1),
        ("restore", 1, 1),
        ("resume", 1, 1),
        ("retry", WRONG_HEADERS - 1 + UNHEARD + LATE, 3),
    ];
    let expected: Vec<(String, i64, i64)> =
        expected.map(|(action, rows, commands)| (action.to_owned(), rows, commands)).to_vec();
    assert_eq!(audit, expected);
    Ok(())
}
