//! The columns of a table, and the SQL that corrects them.

use super::expected::ExpectedColumn;
use super::queries::{self, ExistingColumn, ExistingView};
use super::report::Finding;
use crate::commands::session::Session;

/// A table whose columns are checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckedTable<'a> {
    pub(super) oid: u32,
    /// Its name in SQL.
    pub(super) name: &'a str,
    pub(super) has_primary_key: bool,
}

/// Returns the problems of the columns, and the names of those that have lost their default, so
/// that each INSERT must give a value.
pub(super) async fn check(
    session: &Session,
    table: CheckedTable<'_>,
    expected: &[ExpectedColumn],
) -> anyhow::Result<(Vec<Finding>, Vec<&'static str>)> {
    let existing = queries::check_columns(session, table.oid).await?;
    let (mut findings, mut without_default) = (Vec::new(), Vec::new());
    for column in expected {
        match existing.iter().find(|found| found.name == column.name) {
            None => findings.push(missing(table, column)),
            Some(found) if !column.accepts(&found.base_type) => {
                let views = queries::check_views(session, table.oid, column.name).await?;
                findings.push(wrong_type(table, column, found, &views));
            }
            Some(found) if found.default.is_none() && column.default().is_some() => {
                without_default.push(column.name);
            }
            Some(_) => (),
        }
    }
    Ok((findings, without_default))
}

fn missing(
    CheckedTable { name, has_primary_key, .. }: CheckedTable<'_>,
    column: &ExpectedColumn,
) -> Finding {
    let add =
        |definition: &str| format!("ALTER TABLE {name} ADD COLUMN {} {definition};", column.name);
    let definition = column.definition.as_str();
    let needs_value = definition.contains("NOT NULL") && !definition.contains(" DEFAULT ");
    let fix = if has_primary_key && definition.contains("PRIMARY KEY") {
        add(&definition.replace("PRIMARY KEY", "UNIQUE"))
    } else if needs_value && definition.contains("CHECK") {
        // The value that existing rows should have is not known.
        add(&definition.replace("NOT NULL ", ""))
    } else if needs_value {
        // Existing rows get a value; an INSERT must give one.
        let value = if column.kind == "jsonb" { "'{}'" } else { "'unknown'" };
        let add = add(&format!("{definition} DEFAULT {value}"));
        format!("{add}\nALTER TABLE {name} ALTER COLUMN {} DROP DEFAULT;", column.name)
    } else {
        add(definition)
    };
    Finding::new(format!("the column {} is missing", column.name), fix)
}

fn wrong_type(
    CheckedTable { name: table, .. }: CheckedTable<'_>,
    column: &ExpectedColumn,
    found: &ExistingColumn,
    views: &[ExistingView],
) -> Finding {
    let ExpectedColumn { name, kind, .. } = column;
    let mut finding = format!("the column {name} is of type {}, not {kind}", found.declared_type);
    let Some(value) = conversion(name, &found.base_type, kind) else {
        let fix = format!(
            "add a column {name} of type {kind} instead, under another name for what is in this one: PostgreSQL has no \
             conversion"
        );
        return Finding::new(finding, fix);
    };
    if found.base_type == "timestamp without time zone" {
        finding.push_str("; its times are read as UTC");
    }
    if !views.is_empty() {
        finding.push_str("; do it in one transaction, as views are created again");
    }
    let mut changes =
        vec![format!("ALTER COLUMN {name} TYPE {} USING {value}", column.collated_kind())];
    // A default from a sequence fits any integer type.
    let default = found.default.as_ref().filter(|default| !default.starts_with("nextval("));
    if let Some(default) = default {
        changes.insert(0, format!("ALTER COLUMN {name} DROP DEFAULT"));
        let expected = column.default().map(str::to_owned);
        let default =
            expected.or_else(|| conversion(&format!("({default})"), &found.base_type, kind));
        changes.extend(default.map(|default| format!("ALTER COLUMN {name} SET DEFAULT {default}")));
    }
    let mut fix = String::new();
    if !views.is_empty() {
        // A view that reads another one is dropped first.
        let names: Vec<&str> = views.iter().rev().map(|view| view.name.as_str()).collect();
        fix.push_str(&format!("DROP VIEW {};\n", names.join(", ")));
    }
    fix.push_str(&format!("ALTER TABLE {table} {};", changes.join(", ")));
    for view in views {
        fix.push('\n');
        fix.push_str(&view.statements);
    }
    Finding::new(finding, fix)
}

/// Returns the SQL that converts `value` from one type to another, if there is one.
fn conversion(value: &str, from: &str, to: &str) -> Option<String> {
    let is_text = matches!(from, "text" | "character varying" | "character" | "name" | "citext");
    let is_number = matches!(from, "smallint" | "integer" | "bigint" | "numeric");
    let from_bytes = format!("convert_from({value}, 'UTF8')");
    Some(match to {
        "text" if from == "bytea" => from_bytes,
        "text" => format!("{value}::text"),
        "uuid" if is_text => format!("btrim({value}::text)::uuid"),
        "uuid" if from == "bytea" => format!("encode({value}, 'hex')::uuid"),
        "jsonb" if from == "json" => format!("{value}::jsonb"),
        "jsonb" if is_text => format!("{value}::text::jsonb"),
        "jsonb" if from == "bytea" => format!("{from_bytes}::jsonb"),
        "integer" if is_number => format!("least({value}, 2147483647)::integer"),
        "bigint" if is_number => format!("{value}::bigint"),
        "integer" | "bigint" if is_text => format!("btrim({value}::text)::{to}"),
        "timestamp with time zone" => match from {
            "timestamp without time zone" | "date" => {
                format!("{value}::timestamp AT TIME ZONE 'UTC'")
            }
            _ if is_text => format!("{value}::text::timestamptz"),
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_without_a_conversion_gives_no_sql() {
        for (from, to) in [("uuid", "bigint"), ("point", "jsonb"), ("integer", "uuid")] {
            assert_eq!(conversion("id", from, to), None, "{from} to {to}");
        }
        assert_eq!(conversion("id", "integer", "bigint").as_deref(), Some("id::bigint"));
    }
}
