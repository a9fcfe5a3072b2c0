//! Operators who repair: they retry events that are stuck, and return dead letters.

use std::sync::Arc;
use std::time::Duration;

use pipeline_tests::pipeline::connect;
use rand::RngExt as _;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::operators::{command, done};
use super::{Shared, rng};
use crate::history::now;

const ANSWER: Duration = Duration::from_secs(20);
/// How long an operator tries. An event that stays stuck is one that was never published.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(500);

/// An event as the relay leaves it when it gives up. Written again until the answer arrives.
const STUCK: &str = "
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, last_error)
    VALUES ($1, 'spare', $2, 'spare.made', '{}', 1, 'infinity', 'a fault that was mended')
    ON CONFLICT (event_id) DO NOTHING";
const OPEN: &str =
    "SELECT id, message_id FROM dead_letters WHERE state = 'open' ORDER BY random() LIMIT 1";

/// Retries a stuck event, or returns a dead letter.
pub(super) async fn retry_or_return(shared: Arc<Shared>, number: u64) -> anyhow::Result<()> {
    if rng(number).random_bool(0.5) { retry(&shared).await } else { return_letter(&shared).await }
}

async fn retry(shared: &Shared) -> anyhow::Result<()> {
    let (event_id, end) = (Uuid::new_v4(), Instant::now() + PATIENCE);
    let id = event_id.to_string();
    let write = async || {
        let session = connect(&shared.topology.orders.url).await?;
        anyhow::Ok(session.execute(STUCK, &[&event_id, &id]).await?)
    };
    while !matches!(timeout(ANSWER, write()).await, Ok(Ok(_))) {
        shared.troubles.add();
        if Instant::now() > end {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    while Instant::now() < end {
        if let Some(answer) = command(shared, &["retry", &id, "--reason", "chaos", "--json"]).await
        {
            let done = done("retry", &answer);
            shared.history.record(
                "commands",
                &json!({ "command": "retry", "event_id": id, "ended": now(), "done": done, "exit": answer.code }),
            );
            // Without an error it is due already: an earlier command had no answer.
            if done.is_some() || answer.code == Some(0) || is_published(&answer.out) {
                break;
            }
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Whether `retry` answered that it left the event alone because a relay had published it.
fn is_published(answer: &str) -> bool {
    let report: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    report["not_retried"][0]["why"] == "published"
}

async fn return_letter(shared: &Shared) -> anyhow::Result<()> {
    let find = async {
        let session = connect(&shared.topology.customers.url).await?;
        anyhow::Ok(session.query_opt(OPEN, &[]).await?)
    };
    let Ok(Ok(found)) = timeout(ANSWER, find).await else {
        shared.troubles.add();
        return Ok(());
    };
    let Some(letter) = found else { return Ok(()) };
    let (id, message_id): (i64, Option<String>) = (letter.get(0), letter.get(1));
    let arguments = ["dead-letters", "return", &id.to_string(), "--reason", "chaos", "--json"];
    if let Some(answer) = command(shared, &arguments).await {
        shared.history.record(
            "commands",
            &json!({
                "command": "return", "event_id": message_id.unwrap_or_default(), "letter": id, "ended": now(),
                "done": done("return", &answer), "exit": answer.code,
            }),
        );
    }
    Ok(())
}
