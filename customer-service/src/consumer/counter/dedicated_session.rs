//! Refuses a pooler that lends the session's server connection to other clients, who would get its
//! settings and wait for its locks.

use std::sync::OnceLock;

use service_kit::postgres::{
    DatabaseUrl, Session, connect, has_dedicated_backend, is_pooled, reason,
};

/// Checks that the server connection behind `session` stays its own.
///
/// # Errors
/// Returns what to change when it does not, or why that can't be found out.
pub(in crate::consumer) async fn require_dedicated_session(
    url: &DatabaseUrl,
    session: &Session,
) -> Result<(), String> {
    // Checked once per process, as it takes another connection.
    static IS_DEDICATED: OnceLock<()> = OnceLock::new();
    if IS_DEDICATED.get().is_some()
        || !is_pooled(&session.client).await.map_err(|error| reason(&error))?
    {
        return Ok(());
    }
    let other = connect(url, "customer-service consumer: pooler check").await;
    let other = other.map_err(|error| format!("{error:#}"))?;
    match has_dedicated_backend(session, &other).await {
        Ok(true) => {
            IS_DEDICATED.get_or_init(|| ());
            Ok(())
        }
        Ok(false) => Err(
            "the database does not keep the session's settings: a pooler in transaction mode stands before it; name the server itself in \
             DATABASE_URL, or a pool with pool_mode=session"
                .to_owned(),
        ),
        Err(unanswered) => Err(unanswered.to_string()),
    }
}
