//! Classifies a failed statement: is a row the cause, or the database?

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// The cause of a failed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// One of the rows can't be stored; others may be.
    Rows,
    /// Nothing can be stored now.
    Database,
    /// Either: a trigger may raise any error over one row, and a slow statement may just be large.
    /// Storing a sample message tells which.
    Unclear,
}

/// The classes of SQLSTATE that are about rows: data exceptions, integrity constraints, WITH CHECK
/// OPTION, limits on sizes, and exceptions of PL/pgSQL
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const ABOUT_ROWS: [&str; 5] = ["22", "23", "44", "54", "P0"];

/// The classes of SQLSTATE that are about the database: connection exceptions, insufficient
/// resources, operator intervention (57P) and system errors.
const ABOUT_DATABASE: [&str; 4] = ["08", "53", "57P", "58"];

impl Blame {
    /// Classifies the error of a failed statement by its SQLSTATE.
    pub(super) fn of(error: &Error) -> Self {
        Self::of_state(error.code())
    }

    /// Without a SQLSTATE the error comes from the connection, not from the server.
    fn of_state(state: Option<&SqlState>) -> Self {
        let Some(state) = state else {
            return Self::Database;
        };
        let is_in = |classes: &[&str]| classes.iter().any(|class| state.code().starts_with(class));
        match *state {
            SqlState::OUT_OF_MEMORY => Self::Unclear,
            SqlState::READ_ONLY_SQL_TRANSACTION => Self::Database,
            _ if is_in(&ABOUT_ROWS) => Self::Rows,
            _ if is_in(&ABOUT_DATABASE) => Self::Database,
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_somebody_to_blame() {
        assert_eq!(Blame::of_state(None), Blame::Database);
        for (state, expected) in [
            ("22009", Blame::Rows),
            ("23514", Blame::Rows),
            ("54000", Blame::Rows),
            ("P0001", Blame::Rows),
            ("08006", Blame::Database),
            ("25006", Blame::Database),
            ("53100", Blame::Database),
            ("57P01", Blame::Database),
            ("58030", Blame::Database),
            ("53200", Blame::Unclear),
            ("57014", Blame::Unclear),
            ("55P03", Blame::Unclear),
            ("40P01", Blame::Unclear),
            ("42501", Blame::Unclear),
            ("42P01", Blame::Unclear),
            ("AB001", Blame::Unclear),
        ] {
            assert_eq!(Blame::of_state(Some(&SqlState::from_code(state))), expected, "{state}");
        }
    }
}
