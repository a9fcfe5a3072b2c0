//! The words for what people do, which the audit table's CHECK constraint must take.

use super::schema::SCHEMA;
use crate::database::OutboxTable;

/// Where the schema lists them.
const CONSTRAINT: &str = "CHECK (action IN (";

/// Returns the words that this release writes into the column `action`.
pub(super) fn words() -> Vec<&'static str> {
    let list = SCHEMA.split_once(CONSTRAINT).and_then(|(_, rest)| rest.split_once(')'));
    list.map_or_else(Vec::new, |(list, _)| quoted(list).collect())
}

/// Returns the words of this release that are not in the definition of a constraint.
pub(super) fn missing(definition: &str) -> Vec<&'static str> {
    let taken: Vec<&str> = quoted(definition).collect();
    let words = words();
    // One that lists none of them says something else, such as that the word is not empty.
    if !words.iter().any(|word| taken.contains(word)) {
        return Vec::new();
    }
    words.into_iter().filter(|word| !taken.contains(word)).collect()
}

/// Returns the statement that makes a constraint take the words of this release, and those that it
/// takes by its `definition`.
pub(super) fn fix(table: &OutboxTable, constraint: &str, definition: &str) -> String {
    let mut all = words();
    for word in quoted(definition) {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    let name = format!("\"{}\"", constraint.replace('"', "\"\""));
    format!(
        "ALTER TABLE {} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {CONSTRAINT}'{}'));",
        table.quoted("_audit"),
        all.join("', '")
    )
}

/// Returns what stands between quotes in `sql`.
fn quoted(sql: &str) -> impl Iterator<Item = &str> {
    sql.split('\'').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_that_lists_none_of_the_words_is_somebody_elses() {
        for other in ["CHECK ((action <> ''::text))", "CHECK ((action <> 'drop'::text))"] {
            assert!(missing(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn the_words_of_an_older_schema_are_not_enough() {
        let older = "CHECK ((action = ANY (ARRAY['retry'::text, 'discard'::text, 'replay'::text, 'ours'::text])))";
        assert_eq!(missing(older), ["edit", "restore", "forget", "pause", "resume"]);
        let table = "shop.outbox".parse().expect("a name");
        assert_eq!(
            fix(&table, "outbox_audit_action_check", older),
            "ALTER TABLE \"shop\".\"outbox_audit\" DROP CONSTRAINT \"outbox_audit_action_check\", \
             ADD CONSTRAINT \"outbox_audit_action_check\" CHECK (action IN \
             ('retry', 'discard', 'replay', 'edit', 'restore', 'forget', 'pause', 'resume', 'ours'));"
        );
    }
}
