//! A server process of PostgreSQL, as error messages name it.

use std::fmt;

use serde::Serialize;

use crate::commands::output::escape;

/// A server process that holds a lock or belongs to a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::commands) struct Backend {
    /// None for a prepared transaction, which belongs to no process.
    pub(in crate::commands) pid: Option<i32>,
    /// Its `application_name`, if the role may see it.
    pub(in crate::commands) name: Option<String>,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.name.as_deref().filter(|name| !name.is_empty())) {
            (Some(pid), Some(name)) => write!(f, "{} (pid {pid})", escape::line(name)),
            (Some(pid), None) => write!(f, "the session with pid {pid}"),
            (None, _) => f.write_str("a prepared transaction"),
        }
    }
}
