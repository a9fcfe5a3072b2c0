//! The columns, indexes and views of the outbox, read from `sql/outbox/schema.sql`, so that they are
//! defined in one place.

use crate::commands::schema::{SCHEMA, for_table};
use crate::database::OutboxTable;

/// A column of the schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpectedColumn {
    pub(super) name: &'static str,
    /// Its type, as `format_type` writes it.
    pub(super) kind: &'static str,
    /// What follows its name in CREATE TABLE.
    pub(super) definition: String,
}

impl ExpectedColumn {
    /// Returns true if a relay can use a column of type `kind`.
    pub(super) fn accepts(&self, kind: &str) -> bool {
        // Most object-relational mappers use it for text. They map no column of causes, which a
        // relay leaves alone unless it has exactly its type.
        let is_mapped = !["error_kind", "error_fingerprint"].contains(&self.name);
        self.kind == kind || (is_mapped && self.kind == "text" && kind == "character varying")
    }

    /// Returns its type with its collation, as ALTER TABLE takes it.
    pub(super) fn collated_kind(&self) -> String {
        let collation = r#" COLLATE "C""#;
        let collation = if self.definition.contains(collation) { collation } else { "" };
        format!("{}{collation}", self.kind)
    }

    /// Returns the expression of its default.
    pub(super) fn default(&self) -> Option<&str> {
        let (_, behind) = self.definition.split_once(" DEFAULT ")?;
        behind.split_whitespace().next()
    }
}

/// An index of the schema.
#[derive(Debug)]
pub(super) struct ExpectedIndex {
    pub(super) name: &'static str,
    /// On the audit table instead of the outbox.
    pub(super) of_audit: bool,
    /// What is indexed, in the form of [`normalize`].
    pub(super) definition: String,
    statement: &'static str,
}

impl ExpectedIndex {
    /// Returns what follows `outbox` in its name.
    pub(super) fn suffix(&self) -> &'static str {
        self.name.strip_prefix("outbox").unwrap_or(self.name)
    }

    /// Returns its name for `table`.
    pub(super) fn name_for(&self, table: &OutboxTable) -> String {
        format!("{}{}", table.name(), self.suffix())
    }

    /// Returns the statement that creates it without blocking writers. If its name `is_taken`,
    /// PostgreSQL chooses one.
    pub(super) fn statement(&self, table: &OutboxTable, is_taken: bool) -> String {
        let create = if is_taken {
            format!("CREATE INDEX {}", self.name)
        } else {
            "CREATE INDEX".to_owned()
        };
        let statement = self.statement.replacen(&create, "CREATE INDEX CONCURRENTLY", 1);
        for_table(&statement, table)
    }
}

/// A view of the schema.
#[derive(Debug)]
pub(super) struct ExpectedView {
    name: &'static str,
    statement: &'static str,
}

impl ExpectedView {
    /// Returns what follows `outbox` in its name.
    pub(super) fn suffix(&self) -> &'static str {
        self.name.strip_prefix("outbox").unwrap_or(self.name)
    }

    /// Returns its name for `table`.
    pub(super) fn name_for(&self, table: &OutboxTable) -> String {
        format!("{}{}", table.name(), self.suffix())
    }

    /// Returns the statement that creates it.
    pub(super) fn statement(&self, table: &OutboxTable) -> String {
        for_table(self.statement, table)
    }
}

/// Returns the views.
pub(super) fn views() -> Vec<ExpectedView> {
    let view = |statement: &'static str| {
        let (name, _) = statement.strip_prefix("CREATE VIEW ")?.split_once(' ')?;
        Some(ExpectedView { name, statement })
    };
    statements().filter_map(view).collect()
}

/// Returns the columns of `outbox` or `outbox_audit`.
pub(super) fn columns(table: &str) -> Vec<ExpectedColumn> {
    let Some(statement) = statement(&format!("CREATE TABLE {table} (")) else {
        return Vec::new();
    };
    statement.lines().skip(1).filter_map(column).collect()
}

fn column(line: &'static str) -> Option<ExpectedColumn> {
    let code = line.split("--").next()?.trim().trim_end_matches(',');
    let (name, definition) = code.split_once(' ')?;
    let kind = match definition.split_whitespace().next()? {
        "timestamptz" => "timestamp with time zone",
        kind => kind,
    };
    let definition = definition.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(ExpectedColumn { name, kind, definition })
}

/// Returns the indexes, without those of primary keys and unique constraints.
pub(super) fn indexes() -> Vec<ExpectedIndex> {
    statements().filter_map(index).collect()
}

fn index(statement: &'static str) -> Option<ExpectedIndex> {
    let rest = statement.strip_prefix("CREATE INDEX ")?;
    let (name, rest) = rest.split_once(char::is_whitespace)?;
    let (table, rest) = rest.trim_start().strip_prefix("ON ")?.split_once(' ')?;
    Some(ExpectedIndex {
        name,
        of_audit: table == "outbox_audit",
        definition: normalize(rest),
        statement,
    })
}

/// Returns the statement that begins with `prefix`.
pub(super) fn statement(prefix: &str) -> Option<&'static str> {
    statements().find(|statement| statement.starts_with(prefix))
}

/// Returns each statement, from its first word to its semicolon.
fn statements() -> impl Iterator<Item = &'static str> {
    SCHEMA.split_inclusive(";\n").map(|text| {
        let mut rest = text.trim();
        while rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind).trim_start();
        }
        rest
    })
}

/// Removes parentheses, quotes, white space and casts, which PostgreSQL writes differently from
/// people.
pub(super) fn normalize(definition: &str) -> String {
    let bare: String = definition
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | ';'))
        .collect();
    // PostgreSQL casts a column of another type.
    bare.replace("::bigint", "").replace("::text", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_read_from_the_schema() {
        let outbox = columns("outbox");
        assert_eq!(outbox.len(), 14);
        assert_eq!(outbox[0].definition, "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
        assert_eq!((outbox[8].name, outbox[8].kind), ("published_at", "timestamp with time zone"));
        assert_eq!(outbox[6].definition, "jsonb NOT NULL DEFAULT '{}'");
        assert_eq!((outbox[1].default(), outbox[2].default()), (Some("gen_random_uuid()"), None));
        assert!(outbox[2].accepts("character varying") && !outbox[2].accepts("character"));
        let cause = outbox.iter().find(|column| column.name == "error_kind").expect("the column");
        assert!(cause.accepts("text") && !cause.accepts("character varying"));
        assert_eq!(cause.collated_kind(), r#"text COLLATE "C""#);
        assert_eq!(outbox[2].collated_kind(), "text");
        let audit = columns("outbox_audit");
        assert!(audit.iter().any(|column| column.name == "detail" && column.kind == "jsonb"));
    }

    #[test]
    fn the_indexes_are_read_from_the_schema() {
        let indexes = indexes();
        let one = indexes.iter().find(|index| index.name == "outbox_held_back").expect("the index");
        let definition = "CREATE INDEX x ON public.outbox USING btree (next_attempt_at) \
                    WHERE ((published_at IS NULL) AND (next_attempt_at IS NOT NULL))";
        let (_, definition) = definition.split_once(" USING btree ").expect("a definition");
        assert_eq!(one.definition, normalize(definition));
        assert!(!one.of_audit);
        let table = "shop.events".parse().expect("a name");
        let statement = one.statement(&table, false);
        let begin =
            r#"CREATE INDEX CONCURRENTLY "events_held_back" ON "shop"."events" (next_attempt_at)"#;
        assert!(statement.starts_with(begin), "{statement}");
        let begin = r#"CREATE INDEX CONCURRENTLY ON "shop"."events" (next_attempt_at)"#;
        assert!(one.statement(&table, true).starts_with(begin));
        assert!(indexes.iter().any(|index| index.of_audit));
    }

    #[test]
    fn the_views_are_read_from_the_schema() {
        let views = views();
        assert_eq!(views.len(), SCHEMA.matches("CREATE VIEW ").count());
        let lag = views.iter().find(|view| view.name == "outbox_lag").expect("the view");
        let statement = lag.statement(&"shop.events".parse().expect("a name"));
        assert!(statement.starts_with(r#"CREATE VIEW "shop"."events_lag" AS"#), "{statement}");
        assert!(statement.ends_with("WHERE published_at IS NULL;"), "{statement}");
    }
}
