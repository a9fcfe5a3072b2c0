//! Reads from a consumer's inbox which events it has applied.

use std::collections::HashSet;

use anyhow::{Context as _, anyhow, ensure};
use uuid::Uuid;

use super::inboxes::Inbox;
use super::reader::Reader;

/// A session with the database of an inbox.
#[derive(Debug)]
pub(super) struct InboxReader {
    reader: Reader,
    /// The statement, with this inbox's table and column filled in.
    find_applied: String,
}

impl InboxReader {
    /// Connects, and looks up the type of the key column, so that the statement can use its index.
    pub(super) async fn open(inbox: &Inbox, command: &str) -> anyhow::Result<Self> {
        let opened = async {
            let reader = Reader::open(&inbox.url, command, None).await?;
            let sql = include_str!("../../../../sql/relay/commands/find_key_type.sql");
            let rows = reader.query(sql, &[&inbox.table, &inbox.key]).await?;
            let row = rows.first().ok_or_else(|| {
                anyhow!("there is no column {} in a table {}", inbox.key, inbox.table)
            })?;
            let (key_type, is_known): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
            ensure!(
                is_known,
                "the key {} is of the type {key_type}, and has to be uuid, text, varchar or char: name a view that casts it",
                inbox.key
            );
            let find_applied = find_applied(&inbox.table, &inbox.key, &key_type);
            anyhow::Ok(Self { reader, find_applied })
        };
        opened.await.with_context(|| format!("the inbox {} can't be read", inbox.name))
    }

    /// Returns those of `event_ids` that the consumer has applied.
    pub(super) async fn applied(&self, event_ids: &[Uuid]) -> anyhow::Result<HashSet<Uuid>> {
        let texts: Vec<String> = event_ids.iter().map(Uuid::to_string).collect();
        let rows = self.reader.query(&self.find_applied, &[&texts]).await?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get(0)?;
                text.parse().with_context(|| format!("{text} is no event_id"))
            })
            .collect()
    }
}

/// Returns the statement that finds events in an inbox. All placeholders are replaced in one pass,
/// as a name may look like a placeholder.
fn find_applied(table: &str, key: &str, key_type: &str) -> String {
    let sql = include_str!("../../../../sql/relay/commands/find_applied.sql");
    let mut filled = String::new();
    for part in sql.split_inclusive('}') {
        let place = part.rfind('{').unwrap_or(part.len());
        filled.push_str(&part[..place]);
        filled.push_str(match &part[place..] {
            "{table}" => table,
            "{key}" => key,
            "{type}" => key_type,
            other => other,
        });
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_a_place_is_left_alone() {
        let sql = find_applied("\"a{key}\"", "\"{type}\"", "uuid");
        assert!(
            sql.contains("FROM \"a{key}\" WHERE \"{type}\" = ANY ($1::text[]::uuid[])"),
            "{sql}"
        );
    }
}
