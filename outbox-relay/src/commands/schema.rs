//! `schema`: prints the SQL that adds the outbox to a database.

use clap::Args;

use super::outcome::Outcome;
use super::output;
use crate::config::OutboxArgs;
use crate::database::OutboxTable;

/// The SQL of the outbox, its views and its audit table.
pub(super) const SCHEMA: &str = include_str!("../../../sql/outbox/schema.sql");

/// The SQL of the roles of relays, writers and people.
const ROLES: &str = include_str!("../../../sql/roles.sql");

/// Names that begin like the table's and stay as they are: roles belong to the whole server.
const ROLE_NAMES: [&str; 6] = [
    "outbox_relay",
    "outbox_writer",
    "outbox_viewer",
    "outbox_operator",
    "outbox_admin",
    "outbox_console",
];

/// Arguments of `schema`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outbox-relay schema | psql \"$DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction"
)]
pub struct SchemaArgs {
    /// Print the SQL of the least-privilege roles instead, to be run once the outbox exists
    #[arg(long)]
    roles: bool,
    #[command(flatten)]
    outbox: OutboxArgs,
}

impl SchemaArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let sql = if self.roles { ROLES } else { SCHEMA };
        output::text(&for_table(sql, &self.outbox.outbox_table))?;
        Ok(Outcome::Ok)
    }
}

/// Returns `sql`, which is written for the table `outbox`, for `table`. Comments and string
/// literals stay as they are.
pub(super) fn for_table(sql: &str, table: &OutboxTable) -> String {
    if table.schema().is_none() && table.name() == "outbox" {
        return sql.to_owned();
    }
    let mut renamed = String::with_capacity(sql.len() + 1024);
    let mut rest = sql;
    // CREATE INDEX takes a name without a schema.
    let (mut creates, mut names_a_new_index) = (false, false);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if is_word_char(first) {
            rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        match suffix(token) {
            Some(suffix) if names_a_new_index => renamed.push_str(&table.quoted_name(suffix)),
            Some(suffix) => renamed.push_str(&table.quoted(suffix)),
            None if token == "'outbox'" => renamed.push_str(&format!("'{}'", table.quoted(""))),
            None => renamed.push_str(token),
        }
        if !token.trim().is_empty() && token != "CONCURRENTLY" {
            names_a_new_index = creates && token == "INDEX";
            creates = token == "CREATE";
        }
        rest = behind;
    }
    renamed
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns what follows `outbox` in a name that belongs to the table.
fn suffix(word: &str) -> Option<&str> {
    let suffix = word.strip_prefix("outbox")?;
    let belongs = suffix.is_empty() || suffix.starts_with('_');
    (belongs && !ROLE_NAMES.contains(&word)).then_some(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(sql: &str, table: &str) -> String {
        for_table(sql, &table.parse().expect("a table's name"))
    }

    #[test]
    fn names_are_replaced_and_comments_are_not() {
        assert_eq!(
            renamed("CREATE INDEX outbox_by_id ON outbox (id); -- the outbox", "shop.events"),
            r#"CREATE INDEX "events_by_id" ON "shop"."events" (id); -- the outbox"#
        );
        assert_eq!(
            renamed("CREATE INDEX CONCURRENTLY outbox_by_id ON outbox", "e"),
            r#"CREATE INDEX CONCURRENTLY "e_by_id" ON "e""#
        );
        assert_eq!(
            renamed("ALTER INDEX outbox_by_id ALTER COLUMN 1", "shop.events"),
            r#"ALTER INDEX "shop"."events_by_id" ALTER COLUMN 1"#
        );
        assert_eq!(
            renamed("COMMENT ON TABLE outbox_audit IS 'of the outbox'", "events"),
            r#"COMMENT ON TABLE "events_audit" IS 'of the outbox'"#
        );
        assert_eq!(
            renamed("WHERE x = 'outbox'::regclass", "shop.outbox"),
            r#"WHERE x = '"shop"."outbox"'::regclass"#
        );
        assert_eq!(
            renamed("GRANT SELECT ON outbox_relays, outbox TO outbox_relay", "e"),
            r#"GRANT SELECT ON "e_relays", "e" TO outbox_relay"#
        );
        assert_eq!(renamed("SELECT outbox.id, myoutbox", "e"), r#"SELECT "e".id, myoutbox"#);
    }

    #[test]
    fn the_default_name_changes_nothing() {
        assert_eq!(renamed(SCHEMA, "outbox"), SCHEMA);
        assert_eq!(renamed(ROLES, "outbox"), ROLES);
    }

    #[test]
    fn no_default_name_is_left() {
        for line in renamed(&format!("{SCHEMA}{ROLES}"), "shop.events").lines() {
            let code = line.split("--").next().unwrap_or_default();
            let left = ROLE_NAMES.iter().fold(code.to_owned(), |left, role| left.replace(role, ""));
            assert!(!left.contains("outbox") || left.contains("COMMENT ON"), "{line}");
        }
    }
}
