//! Messages that wait: dead letters for a person, others for their next try.

use amqp::{Delivery, Depth};
use time::OffsetDateTime;

use super::finding::{Check, Finding};
use crate::consumer::broker::{Broker, in_time};
use crate::consumer::hasten::shorter_wait;
use crate::consumer::topology::{DEAD_LETTER_QUEUE, RETRY_QUEUE};

pub(super) const DEAD_LETTERS: &str = "dead letters";
pub(super) const RETRIES: &str = "retries";

pub(super) fn check_dead_letters(depth: Option<Depth>) -> Check {
    let messages = depth.map_or(0, |depth| depth.messages);
    let mut findings = Vec::new();
    if messages > 0 {
        findings.push(Finding::warn(
            format!("{messages} messages wait in {DEAD_LETTER_QUEUE} for a person"),
            "docs/operations.md, Dead letters: look at x-reason, mend the cause, move them back",
        ));
    }
    Check::of(DEAD_LETTERS, findings, "none")
}

/// Looks at the message that comes next, and puts it back.
pub(super) async fn check_retries(broker: &Broker, depth: Option<Depth>, wait_ms: u32) -> Check {
    let Some(Depth { messages, .. }) = depth else {
        return Check::of(RETRIES, Vec::new(), "none");
    };
    let head = match head(broker).await {
        Ok(head) => head,
        Err(reason) => {
            let finding = format!("{RETRY_QUEUE} can't be read: {reason}");
            let fix = format!(
                "grant the consumer's user the permission to read {RETRY_QUEUE}: else what waits there longer than RABBITMQ_RETRY_TTL_MS holds up the rest"
            );
            return Check::of(RETRIES, vec![Finding::warn(finding, fix)], "");
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
        if shorter_wait(&head, wait_ms, OffsetDateTime::now_utc()).is_some() {
            findings.push(Finding::warn(
                format!(
                    "{messages} messages wait in {RETRY_QUEUE}, and all behind the first one, which waits {waits}: longer than RABBITMQ_RETRY_TTL_MS"
                ),
                "nothing where a consumer runs with this setting: it shortens that within a minute",
            ));
        }
        first = format!("; the first one waits {waits} in all");
    }
    Check::of(RETRIES, findings, format!("{messages} messages wait for their next try{first}"))
}

async fn head(broker: &Broker) -> Result<Option<Delivery>, String> {
    let channel = broker.another_channel().await?;
    let head = in_time("answer", channel.get(RETRY_QUEUE)).await?;
    if let Some(head) = &head {
        in_time("take an answer", channel.return_to_queue(&[head.envelope.tag])).await?;
    }
    in_time("close a channel", channel.close()).await?;
    Ok(head)
}
