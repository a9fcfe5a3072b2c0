//! Who has something locked.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::session::Session;
use super::{plain, queries};

/// A session at the server that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Holder {
    /// None for a transaction that was prepared for a later commit.
    pub(super) pid: Option<i32>,
    /// Its `application_name`, where the role may see it.
    pub(super) name: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.name.as_deref().filter(|name| !name.is_empty())) {
            (Some(pid), Some(name)) => write!(f, "{} (pid {pid})", plain::line(name)),
            (Some(pid), None) => write!(f, "the session with pid {pid}"),
            (None, _) => f.write_str("a prepared transaction"),
        }
    }
}

/// Who has which of some events locked.
pub(super) async fn of(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<HashMap<Uuid, Vec<Holder>>> {
    let found = match queries::find_holders(session, event_ids, true).await {
        Ok(found) => found,
        // A transaction that has ended meanwhile was taken for a group of them.
        Err(_) => queries::find_holders(session, event_ids, false).await?,
    };
    let mut holders: HashMap<Uuid, Vec<Holder>> = HashMap::new();
    for (event_id, holder) in found {
        holders.entry(event_id).or_default().push(holder);
    }
    Ok(holders)
}
