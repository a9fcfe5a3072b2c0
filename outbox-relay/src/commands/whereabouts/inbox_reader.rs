//! What a consumer has applied, by its inbox.

use std::collections::HashSet;

use anyhow::{Context as _, anyhow};
use uuid::Uuid;

use super::inboxes::Inbox;
use super::reader::Reader;

/// An inbox that can be read.
#[derive(Debug)]
pub(super) struct InboxReader {
    reader: Reader,
    /// The statement, with the names of this inbox.
    find_applied: String,
}

impl InboxReader {
    /// Connects, and finds out of which type the key is, so that its index can be used.
    pub(super) async fn open(inbox: &Inbox, command: &str) -> anyhow::Result<Self> {
        let opened = async {
            let reader = Reader::open(&inbox.url, command).await?;
            let sql = include_str!("../../../../sql/relay/commands/find_key_type.sql");
            let rows = reader.query(sql, &[&inbox.table, &inbox.key]).await?;
            let row = rows.first().ok_or_else(|| {
                anyhow!("there is no column {} in a table {}", inbox.key, inbox.table)
            })?;
            let key_type: String = row.try_get(0)?;
            let find_applied = include_str!("../../../../sql/relay/commands/find_applied.sql")
                .replace("{table}", &inbox.table)
                .replace("{key}", &inbox.key)
                .replace("{type}", &key_type);
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
