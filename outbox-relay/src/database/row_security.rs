//! Rows that row-level security hides from the relay's role
//! (<https://www.postgresql.org/docs/current/ddl-rowsecurity.html>). To a relay they would look as
//! if they did not exist.

use std::fmt;

use tokio_postgres::{Error, Row};

/// The commands that do not reach every row of the outbox, and the policies that restrict them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HiddenRows {
    role: String,
    /// The role owns the table, and `FORCE ROW LEVEL SECURITY` applies the policies to it too.
    is_owner: bool,
    /// SELECT, UPDATE or DELETE.
    commands: Vec<String>,
    /// The restricting policies; empty if no policy applies to the role.
    policies: Vec<String>,
}

impl HiddenRows {
    /// Reads the result of `find_hidden_rows`; returns `None` if the role reaches every row.
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

    /// Returns true if `command` does not reach every row.
    pub(crate) fn restricts(&self, command: &str) -> bool {
        self.commands.iter().any(|restricted| restricted == command)
    }

    /// Returns the SQL that shows the role every row of `table`.
    pub(crate) fn fix(&self, table: &str) -> String {
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
