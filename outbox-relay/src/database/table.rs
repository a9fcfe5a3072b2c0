//! The name of the outbox, wherever it is.

use std::fmt;
use std::str::FromStr;

/// PostgreSQL cuts longer identifiers
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>); the
/// audit table's name is the longest that is made of the outbox's.
const NAME_LIMIT: usize = 63 - "_held_back_by_aggregate".len();

/// The condition that replaces `{is_held_back}` in the statements that scan for events.
const IS_HELD_BACK: &str = include_str!("../../../sql/relay/fragments/is_held_back.sql");

/// The assignments that replace `{set_cause}` in the statement that notes failures.
const SET_CAUSE: &str = include_str!("../../../sql/relay/fragments/set_cause.sql");

/// The expression that replaces `{contents_digest}` in the statements that edit an event.
const CONTENTS_DIGEST: &str = include_str!("../../../sql/relay/fragments/contents_digest.sql");

/// The expression that replaces `{pause_kind}` in these statements.
const PAUSE_KIND: &str = include_str!("../../../sql/relay/fragments/pause_kind.sql");

/// The table `outbox`, or one with another name or in another schema. Only plain identifiers are
/// accepted, so that the name can stand in SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxTable {
    schema: Option<String>,
    name: String,
}

impl OutboxTable {
    /// The statement `sql`, with `{outbox}`, `{audit}`, `{unsettled}` and `{pauses}` replaced by the
    /// names of the outbox and the tables beside it, and `{is_held_back}`, `{pause_kind}`,
    /// `{set_cause}` and `{contents_digest}` by the parts of those names.
    #[must_use]
    pub fn fill_in(&self, sql: &str) -> String {
        sql.replace("{is_held_back}", IS_HELD_BACK)
            .replace("{pause_kind}", PAUSE_KIND)
            .replace("{set_cause}", SET_CAUSE)
            .replace("{contents_digest}", CONTENTS_DIGEST)
            .replace("{outbox}", &self.quoted(""))
            .replace("{audit}", &self.quoted("_audit"))
            .replace("{unsettled}", &self.quoted("_unsettled"))
            .replace("{pauses}", &self.quoted("_pauses"))
    }

    /// The schema, when one was named.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The name without its schema.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name with `suffix`, as it stands in SQL.
    pub(crate) fn quoted(&self, suffix: &str) -> String {
        let name = self.quoted_name(suffix);
        self.schema.as_ref().map_or_else(|| name.clone(), |schema| format!("\"{schema}\".{name}"))
    }

    /// The name with `suffix` and without its schema, as it stands in SQL.
    pub(crate) fn quoted_name(&self, suffix: &str) -> String {
        format!("\"{}{suffix}\"", self.name)
    }
}

impl fmt::Display for OutboxTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for OutboxTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(identifier(schema)?), name),
            None => (None, text),
        };
        let name = identifier(name)?;
        if name.len() > NAME_LIMIT {
            return Err(format!("the table's name must not be longer than {NAME_LIMIT} bytes"));
        }
        Ok(Self { schema, name })
    }
}

fn identifier(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins_well && text.chars().all(plain) && text.len() <= 63 {
        return Ok(text.to_owned());
    }
    Err("it must be a table's name, such as outbox or shop.outbox: letters, digits and underscores, as PostgreSQL \
         shows it"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_where_it_stands_in_sql() {
        let fill = |name: &str| {
            let table: OutboxTable = name.parse().expect(name);
            assert_eq!(table.to_string(), name);
            table.fill_in("SELECT FROM {outbox}, {audit}")
        };
        assert_eq!(fill("outbox"), r#"SELECT FROM "outbox", "outbox_audit""#);
        assert_eq!(fill("shop.Events"), r#"SELECT FROM "shop"."Events", "shop"."Events_audit""#);
    }

    #[test]
    fn a_condition_that_statements_share_names_the_tables_as_well() {
        let table: OutboxTable = "shop.events".parse().expect("a name");
        let sql = table.fill_in("SELECT {is_held_back}");
        assert!(sql.contains(r#"FROM "shop"."events" AS ahead"#) && !sql.contains('{'), "{sql}");
    }

    #[test]
    fn what_is_no_plain_identifier_is_refused() {
        let (long, longest) = ("x".repeat(41), "x".repeat(40));
        for wrong in
            ["", ".", "a.", ".a", "a.b.c", "1a", "a b", "a\"b", "a;DROP TABLE x", "ä", "a-b", &long]
        {
            assert!(wrong.parse::<OutboxTable>().is_err(), "{wrong:?}");
        }
        assert!(longest.parse::<OutboxTable>().is_ok());
    }
}
