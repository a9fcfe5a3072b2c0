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
    let id = event_id.to_string();
    let arguments: &[&str] = match action {
        "discard" => &["discard", &id, "--reason", "chaos", "--json"],
        _ => &["replay", &id, "--json"],
    };
    let Some(answer) = command(&shared, arguments).await else { return Ok(()) };
    let done = (answer.code == Some(0)).then(|| done(action, &answer)).flatten();
    shared.history.record(
        "commands",
        &json!({ "command": action, "event_id": id, "ended": now(), "done": done, "exit": answer.code }),
    );
    Ok(())
}

/// Runs a command of an operator. Returns none if it does not end: it has answered nothing.
pub(super) async fn command(shared: &Shared, arguments: &[&str]) -> Option<Ended> {
    let topology = &shared.topology;
    let broker = topology.amqp_urls.join(",");
    let settings = [
        ("DATABASE_URL", topology.orders.url.as_str()),
        ("DEAD_LETTERS_DATABASE_URL", topology.customers.url.as_str()),
        ("RABBITMQ_URL", broker.as_str()),
        ("OUTBOX_ACTOR", "chaos"),
    ];
    let ended = run("outbox-relay", arguments, &settings).await.ok();
    if ended.is_none() {
        shared.troubles.add();
    }
    ended
}

/// The verb by which the command's answer says that it changed its event or dead letter (`retried`,
/// say); `None` if the answer says that nothing was changed.
pub(super) fn done(action: &str, answer: &Ended) -> Option<&'static str> {
    let report: Value = serde_json::from_str(&answer.out).ok()?;
    let word = match action {
        "discard" => "discarded",
        "replay" => "replayed",
        "retry" => "retried",
        _ => "returned",
    };
    let count = match &report[word] {
        Value::Array(ids) => ids.len(),
        Value::Number(number) => usize::try_from(number.as_u64()?).ok()?,
        _ => 0,
    };
    (count == 1).then_some(word)
}
