//! How many dead letters are open.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command_line::CommandLine;
use super::invocation::{Commands, InvocationError};
use super::users::User;

/// How many times longer than they took to count the dead letters are left alone: where there are so
/// many that this takes long, they are counted more rarely.
const REST: u32 = 100;

/// The open dead letters when they were counted.
pub(super) struct OpenLetters {
    /// How many, whether there may be more, and what went wrong.
    pub(super) shown: Value,
    counted_again_at: Instant,
}

impl OpenLetters {
    /// Counts them. What went wrong is told by what is shown, and tried again the next time.
    pub(super) async fn count(commands: &Commands, user: &User) -> Self {
        let line = CommandLine::new("dead-letters groups").option("limit", Some("500"));
        let begun = Instant::now();
        let groups = commands.read(&line.arguments(), user).await.and_then(|output| output.value());
        let rest = if groups.is_ok() { begun.elapsed() * REST } else { Duration::ZERO };
        Self { shown: open_letters(groups), counted_again_at: Instant::now() + rest }
    }

    /// Whether they need not be counted again yet.
    pub(super) fn are_recent(&self) -> bool {
        Instant::now() < self.counted_again_at
    }
}

/// How many dead letters are open, of what `dead-letters groups --json` prints. A desk that can't be
/// read leaves the outbox to be shown.
fn open_letters(groups: Result<Value, InvocationError>) -> Value {
    let groups = match groups {
        Ok(groups) => groups,
        Err(error) => {
            return json!({ "open": null, "at_least": false, "problem": error.to_string() });
        }
    };
    let is_set = |value: &Value, name: &str| value.get(name).and_then(Value::as_bool) == Some(true);
    let rows = groups.get("groups").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let messages = rows.iter().filter_map(|row| row.get("messages").and_then(Value::as_u64));
    let at_least = is_set(&groups, "has_more")
        || is_set(&groups, "is_cut")
        || rows.iter().any(|row| is_set(row, "is_capped"));
    json!({ "open": messages.sum::<u64>(), "at_least": at_least, "problem": null })
}
