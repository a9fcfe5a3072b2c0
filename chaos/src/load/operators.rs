//! Operators: they discard events, some of which are published meanwhile, and replay others.

use std::sync::Arc;
use std::time::Duration;

use pipeline_tests::command::{Ended, run};
use pipeline_tests::pipeline::connect;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{Shared, rng};
use crate::history::now;

const PATIENCE: Duration = Duration::from_secs(30);
/// An event that nobody needs, some of them scheduled. Each has an aggregate of its own.
const SPARE: &str = "
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
    VALUES ($1, 'spare', $2, 'spare.made', '{}', now() + $3::bigint * interval '1 millisecond')";

/// Writes an event that nobody needs and discards it, or replays it.
pub(super) async fn discard_or_replay(shared: Arc<Shared>, number: u64) -> anyhow::Result<()> {
    let mut rng = rng(number);
    let event_id = Uuid::new_v4();
    let discards = rng.random_bool(0.7);
    let due_in = (discards && rng.random_bool(0.6)).then(|| rng.random_range(300..2_000_i64));
    let written = timeout(PATIENCE, async {
        let session = connect(&shared.topology.orders.url).await?;
        anyhow::Ok(session.execute(SPARE, &[&event_id, &event_id.to_string(), &due_in]).await?)
    });
    if !matches!(written.await, Ok(Ok(_))) {
        shared.troubles.add();
        return Ok(());
    }
    // Before it is published, and in that moment.
    let soon = due_in.and_then(|due_in| u64::try_from(due_in).ok()).unwrap_or(60);
    let (action, wait) = match discards {
        true => ("discard", Duration::from_millis(rng.random_range(0..soon))),
        false => ("replay", Duration::from_secs(2)),
    };
    sleep(wait).await;
    let database = shared.topology.orders.url.clone();
    let broker = shared.topology.amqp_urls.join(",");
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("RABBITMQ_URL", broker.as_str()),
        ("OUTBOX_ACTOR", "chaos"),
    ];
    let id = event_id.to_string();
    let arguments: &[&str] = match action {
        "discard" => &["discard", &id, "--reason", "chaos", "--json"],
        _ => &["replay", &id, "--json"],
    };
    // A command that does not end has answered nothing.
    let Ok(ended) = run("outbox-relay", arguments, &settings).await else {
        shared.troubles.add();
        return Ok(());
    };
    shared.history.record(
        "commands",
        &json!({ "command": action, "event_id": id, "ended": now(), "done": done(action, &ended), "exit": ended.code }),
    );
    Ok(())
}

/// What the command said that it did, if it did.
fn done(action: &str, ended: &Ended) -> Option<&'static str> {
    let report: Value = serde_json::from_str(&ended.out).ok()?;
    let (member, word) =
        if action == "discard" { ("discarded", "discarded") } else { ("replayed", "replayed") };
    let count = match &report[member] {
        Value::Array(ids) => ids.len(),
        Value::Number(number) => usize::try_from(number.as_u64()?).ok()?,
        _ => 0,
    };
    (ended.code == Some(0) && count == 1).then_some(word)
}
