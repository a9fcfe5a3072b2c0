//! Events that failed, by their causes.

use crate::outbox::Outbox;

const ADD_FAILED: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, last_error,
                        error_kind, error_fingerprint)
    SELECT 'order', $1 || '-' || i, $2, '{}', 1, 'infinity', $3, $4, $5 FROM generate_series(1, $6::bigint) AS i";

/// The fingerprint of a cause.
pub const NO_QUEUE: &str = "00000000000000aa";
/// That of another.
pub const TOO_LONG: &str = "00000000000000bb";

/// Adds stuck events of this type, kind and fingerprint, each of an aggregate of its own, as a relay
/// notes them.
///
/// # Errors
/// When the database refuses.
pub async fn add_failed(
    outbox: &Outbox,
    event_type: &str,
    [kind, fingerprint]: [&str; 2],
    count: i64,
) -> anyhow::Result<()> {
    let aggregates = format!("{event_type} {fingerprint}");
    let reason = format!("the reason of {fingerprint}");
    outbox
        .sql
        .execute(ADD_FAILED, &[&aggregates, &event_type, &reason, &kind, &fingerprint, &count])
        .await?;
    Ok(())
}
