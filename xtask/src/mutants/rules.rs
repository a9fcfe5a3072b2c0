//! Small changes of a statement's text, each of which some test should notice.

/// A changed statement.
pub(super) struct Mutation {
    /// What was changed.
    pub(super) rule: &'static str,
    /// The line that was changed, from 1.
    pub(super) line: usize,
    pub(super) sql: String,
}

/// Words before which a condition ends, outside of its parentheses.
const AFTER_CONDITION: [&str; 16] = [
    "AND",
    "OR",
    "WHERE",
    "GROUP",
    "ORDER",
    "LIMIT",
    "FOR",
    "RETURNING",
    "UNION",
    "THEN",
    "ELSE",
    "LEFT",
    "JOIN",
    "CROSS",
    "ON",
    "HAVING",
];
/// Words before which a list of sort keys ends.
const AFTER_ORDER: [&str; 7] = ["LIMIT", "OFFSET", "FOR", "ON", "RETURNING", "ROWS", "RANGE"];
/// Every kind of row lock.
const LOCKS: [&str; 4] = ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"];

/// Every mutation of a statement, in the order of the rules.
pub(super) fn mutations(sql: &str) -> Vec<Mutation> {
    let masked = mask(sql);
    let mut mutations = Vec::new();
    let mut add = |rule, from: usize, to: usize, with: &str| {
        let line = 1 + sql[..from].matches('\n').count();
        let sql = [&sql[..from], with, &sql[to..]].concat();
        mutations.push(Mutation { rule, line, sql });
    };
    for at in places(&masked, "ORDER BY") {
        add("no ORDER BY", at, end(&masked, at + 8, &AFTER_ORDER), "");
    }
    for lock in LOCKS {
        for at in places(&masked, lock) {
            add("no row lock", at, end(&masked, at + lock.len(), &[]), "");
        }
    }
    for at in places(&masked, "SKIP LOCKED") {
        add("no SKIP LOCKED", at, at + "SKIP LOCKED".len(), "");
    }
    for at in places(&masked, "WHERE") {
        add("no WHERE", at, at + 5, "WHERE true OR");
    }
    for at in places(&masked, "AND") {
        // The condition stays for the types of its parameters.
        let to = end(&masked, at + 3, &AFTER_CONDITION);
        let with = format!("AND (true OR {})", sql[at + 3..to].trim());
        add("no condition", at, to, &with);
    }
    for (sign, other) in [("<", "<="), (">", ">="), ("<=", "<"), (">=", ">")] {
        for (at, _) in masked.match_indices(&format!(" {sign} ")) {
            add("other bound", at + 1, at + 1 + sign.len(), other);
        }
    }
    for at in places(&masked, "DESC") {
        add("ascending", at, at + 4, "ASC");
    }
    for at in places(&masked, "LIMIT") {
        let from = at + 6;
        let most = masked[from..].find([' ', '\n', ')']).map_or(masked.len(), |most| from + most);
        let limit = &sql[from..most];
        add("no LIMIT", from, most, &format!("nullif({limit}::bigint, {limit}::bigint)"));
    }
    mutations
}

/// The text with blanks for its comments, its strings and each AND of a BETWEEN, byte by byte.
fn mask(sql: &str) -> String {
    let (mut masked, mut in_string) = (String::new(), false);
    for line in sql.split_inclusive('\n') {
        let is_comment = !in_string && line.trim_start().starts_with("--");
        for c in line.chars() {
            in_string ^= c == '\'' && !is_comment;
            if c.is_ascii() && (c == '\n' || !is_comment && !in_string) {
                masked.push(c);
            } else {
                masked.extend(std::iter::repeat_n(' ', c.len_utf8()));
            }
        }
    }
    for between in places(&masked, "BETWEEN") {
        if let Some(and) = places(&masked, "AND").into_iter().find(|and| *and > between) {
            masked.replace_range(and..and + 3, "   ");
        }
    }
    masked
}

/// Where the whole word, or words, are.
fn places(masked: &str, words: &str) -> Vec<usize> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = masked.as_bytes();
    let whole = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !is_word(before) && !is_word(bytes.get(at + words.len()))
    };
    masked.match_indices(words).map(|(at, _)| at).filter(whole).collect()
}

/// Where the clause that goes on at `from` ends: before one of `words`, or with the parentheses,
/// the list or the statement around it.
fn end(masked: &str, from: usize, words: &[&str]) -> usize {
    let rest = &masked[from..];
    let mut ends: Vec<usize> = words.iter().flat_map(|word| places(rest, word)).collect();
    ends.sort_unstable();
    let (opens, closes) = (places(rest, "CASE"), places(rest, "END"));
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        let is_closed = matches!(c, ')' | ']') || closes.contains(&at);
        let ends_here = match c {
            _ if matches!(c, '(' | '[') || opens.contains(&at) => {
                depth += 1;
                false
            }
            _ if is_closed && depth > 0 => {
                depth -= 1;
                false
            }
            _ if is_closed || c == ';' => true,
            // Of a list of sort keys the comma is a part.
            ',' => depth == 0 && words.contains(&"AND"),
            _ => depth == 0 && ends.binary_search(&at).is_ok(),
        };
        if ends_here {
            return from + rest[..at].trim_end().len();
        }
    }
    from + rest.trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_changes_what_it_says_and_nothing_in_comments_and_strings() {
        let sql = "-- a WHERE in a comment\nSELECT 'ORDER BY' FROM (\n    SELECT id FROM t\n    \
                   WHERE a < 'AND' AND b BETWEEN 1 AND 2 AND CASE WHEN c THEN d END\n    ORDER BY a, b DESC\n    \
                   LIMIT $1\n    FOR UPDATE SKIP LOCKED\n)\n";
        let found: Vec<(&str, usize, String)> = mutations(sql)
            .into_iter()
            .map(|one| {
                let line = one.sql.lines().nth(one.line - 1).unwrap_or_default();
                (one.rule, one.line, line.trim().to_owned())
            })
            .collect();
        let expected = [
            ("no ORDER BY", 5, ""),
            ("no row lock", 7, ""),
            ("no SKIP LOCKED", 7, "FOR UPDATE"),
            (
                "no WHERE",
                4,
                "WHERE true OR a < 'AND' AND b BETWEEN 1 AND 2 AND CASE WHEN c THEN d END",
            ),
            (
                "no condition",
                4,
                "WHERE a < 'AND' AND (true OR b BETWEEN 1 AND 2) AND CASE WHEN c THEN d END",
            ),
            (
                "no condition",
                4,
                "WHERE a < 'AND' AND b BETWEEN 1 AND 2 AND (true OR CASE WHEN c THEN d END)",
            ),
            ("other bound", 4, "WHERE a <= 'AND' AND b BETWEEN 1 AND 2 AND CASE WHEN c THEN d END"),
            ("ascending", 5, "ORDER BY a, b ASC"),
            ("no LIMIT", 6, "LIMIT nullif($1::bigint, $1::bigint)"),
        ];
        let expected: Vec<_> =
            expected.map(|(rule, line, text)| (rule, line, text.to_owned())).into();
        assert_eq!(found, expected);
    }
}
