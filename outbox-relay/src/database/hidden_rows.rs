//! Rows that row-level security hides from the relay's role
//! (<https://www.postgresql.org/docs/current/ddl-rowsecurity.html>). A relay would take them for
//! not being there.

use std::fmt;

use tokio_postgres::{Error, Row};

/// The commands of the role that do not reach every row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HiddenRows {
    role: String,
    /// Policies count for the table's owner too: `FORCE ROW LEVEL SECURITY`.
    is_owner: bool,
    /// `SELECT`, `UPDATE`, `DELETE`.
    commands: Vec<String>,
    /// The policies that limit it; empty when no policy applies.
    policies: Vec<String>,
}

impl HiddenRows {
    /// Reads what `find_hidden_rows` returns; `None`: the role reaches every row.
    pub(crate) fn read(rows: &[Row]) -> Result<Option<Self>, Error> {
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let (mut commands, mut policies) = (Vec::new(), Vec::new());
        for row in rows {
            commands.push(row.try_get("command")?);
            policies.extend(row.try_get::<_, Vec<String>>("policies")?);
        }
        policies.sort();
        policies.dedup();
        let (role, is_owner) = (first.try_get("role")?, first.try_get("is_owner")?);
        Ok(Some(Self { role, is_owner, commands, policies }))
    }

    /// Whether `command` does not reach every row.
    pub(crate) fn limits(&self, command: &str) -> bool {
        self.commands.iter().any(|limited| limited == command)
    }

    /// The SQL that shows the role every row of `table`.
    pub(crate) fn remedy(&self, table: &str) -> String {
        if self.is_owner {
            return format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;");
        }
        format!("ALTER ROLE \"{}\" BYPASSRLS;", self.role.replace('"', "\"\""))
    }
}

impl fmt::Display for HiddenRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, commands, policies, .. } = self;
        let commands = commands.join(", ");
        write!(f, "row-level security hides rows of the outbox from the role {role}: ")?;
        match policies.as_slice() {
            [] => write!(f, "no policy lets it {commands}"),
            [policy] => write!(f, "the policy {policy} limits its {commands}"),
            several => write!(f, "the policies {} limit its {commands}", several.join(", ")),
        }?;
        f.write_str(" (only a policy that is literally true is known to hide nothing)")
    }
}
