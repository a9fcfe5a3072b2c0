//! Checks of the messages in the dead-letter and the retry queue.

use amqp::{Delivery, QueueDepth};
use time::OffsetDateTime;

use super::report::{CheckResult, Finding};
use crate::consumer::broker::{Broker, with_timeout};
use crate::consumer::retry_policy::shortened_ttl;
use crate::consumer::topology::{DEAD_LETTER_QUEUE, RETRY_QUEUE};

pub(super) const DEAD_LETTERS: &str = "dead letters";
pub(super) const RETRIES: &str = "retries";

pub(super) fn check_dead_letters(depth: Option<QueueDepth>) -> CheckResult {
    let messages = depth.map_or(0, |depth| depth.messages);
    let mut findings = Vec::new();
    if messages > 0 {
        findings.push(Finding::warn(
            format!("{messages} messages wait in {DEAD_LETTER_QUEUE} for a person"),
            "docs/operations.md, Dead letters: read x-reason, fix the cause, move them back",
        ));
    }
    CheckResult::new(DEAD_LETTERS, findings, "none")
}

/// Reads the first message and puts it back.
pub(super) async fn check_retries(
    broker: &Broker,
    depth: Option<QueueDepth>,
    ttl_ms: u32,
) -> CheckResult {
    let Some(QueueDepth { messages, .. }) = depth else {
        return CheckResult::new(RETRIES, Vec::new(), "none");
    };
    let head = match head(broker).await {
        Ok(head) => head,
        Err(reason) => {
            let finding = format!("{RETRY_QUEUE} can't be read: {reason}");
            let fix = format!(
                "grant the consumer's user the permission to read {RETRY_QUEUE}: otherwise messages with a longer TTL than RABBITMQ_RETRY_TTL_MS delay the rest"
            );
            return CheckResult::new(RETRIES, vec![Finding::warn(finding, fix)], "");
        }
    };
    let mut findings = Vec::new();
    let mut first = String::new();
    if let Some(head) = head {
        let expiration = head.properties().expiration().as_ref();
        let waits = expiration.map_or_else(
            || "for ever, as it has no expiration".to_owned(),
            |milliseconds| format!("{} ms", milliseconds.as_str()),
        );
        if shortened_ttl(&head, ttl_ms, OffsetDateTime::now_utc()).is_some() {
            findings.push(Finding::warn(
                format!(
                    "{messages} messages wait in {RETRY_QUEUE}, delayed by the first one, which waits {waits}: longer than RABBITMQ_RETRY_TTL_MS"
                ),
                "nothing where a consumer runs with this setting: it shortens that within a minute",
            ));
        }
        first = format!("; the first one waits {waits} in all");
    }
    CheckResult::new(
        RETRIES,
        findings,
        format!("{messages} messages wait for their next try{first}"),
    )
}

async fn head(broker: &Broker) -> Result<Option<Delivery>, String> {
    let channel = broker.open_channel().await?;
    let head = with_timeout("answer", channel.get(RETRY_QUEUE)).await?;
    if let Some(head) = &head {
        with_timeout("take an answer", channel.return_to_queue(&[head.info.tag])).await?;
    }
    with_timeout("close a channel", channel.close()).await?;
    Ok(head)
}
