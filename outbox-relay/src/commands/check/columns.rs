//! The columns of a table, and the SQL that makes them what they must be.

use super::expected::Column;
use super::finding::Finding;
use super::queries;
use crate::commands::session::Session;

/// A column as the catalogue knows it.
#[derive(Debug)]
pub(super) struct ColumnFound {
    pub(super) name: String,
    /// Its type, or the one that its domain is made of.
    pub(super) kind: String,
    /// Its type as it was written, with the length.
    pub(super) written: String,
    /// The expression of its default.
    pub(super) default: Option<String>,
}

/// A view that reads a column.
#[derive(Debug)]
pub(super) struct ViewFound {
    pub(super) name: String,
    /// What makes it anew, with its owner and who may read it.
    pub(super) statements: String,
}

/// A table whose columns are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) oid: u32,
    /// As it stands in SQL.
    pub(super) name: &'a str,
    pub(super) has_primary_key: bool,
}

/// What is wrong with the columns of `table`, and what an INSERT has to name because it has no default.
pub(super) async fn check(
    session: &Session,
    table: Table<'_>,
    expected: &[Column],
) -> anyhow::Result<(Vec<Finding>, Vec<&'static str>)> {
    let there = queries::check_columns(session, table.oid).await?;
    let (mut findings, mut without_default) = (Vec::new(), Vec::new());
    for column in expected {
        match there.iter().find(|found| found.name == column.name) {
            None => findings.push(missing(table, column)),
            Some(found) if !column.accepts(&found.kind) => {
                let views = queries::check_views(session, table.oid, column.name).await?;
                findings.push(wrong(table, column, found, &views));
            }
            Some(found) if found.default.is_none() && column.default().is_some() => {
                without_default.push(column.name);
            }
            Some(_) => (),
        }
    }
    Ok((findings, without_default))
}

fn missing(Table { name, has_primary_key, .. }: Table<'_>, column: &Column) -> Finding {
    let add =
        |definition: &str| format!("ALTER TABLE {name} ADD COLUMN {} {definition};", column.name);
    let definition = column.definition.as_str();
    let needs_value = definition.contains("NOT NULL") && !definition.contains(" DEFAULT ");
    let mend = if has_primary_key && definition.contains("PRIMARY KEY") {
        add(&definition.replace("PRIMARY KEY", "UNIQUE"))
    } else if needs_value && definition.contains("CHECK") {
        // Which of the values it was in rows that are there already is not known.
        add(&definition.replace("NOT NULL ", ""))
    } else if needs_value {
        // Rows that are there already get a value once; whoever adds an event has to name one.
        let value = if column.kind == "jsonb" { "'{}'" } else { "'unknown'" };
        let add = add(&format!("{definition} DEFAULT {value}"));
        format!("{add}\nALTER TABLE {name} ALTER COLUMN {} DROP DEFAULT;", column.name)
    } else {
        add(definition)
    };
    Finding::new(format!("the column {} is missing", column.name), mend)
}

fn wrong(
    Table { name: table, .. }: Table<'_>,
    column: &Column,
    found: &ColumnFound,
    views: &[ViewFound],
) -> Finding {
    let Column { name, kind, .. } = column;
    let mut finding = format!("the column {name} is of type {}, not {kind}", found.written);
    let Some(value) = converted(name, &found.kind, kind) else {
        let mend = format!(
            "add a column {name} of type {kind} instead, under another name for what is in this one: PostgreSQL has no \
             conversion"
        );
        return Finding::new(finding, mend);
    };
    if found.kind == "timestamp without time zone" {
        finding.push_str("; its times are taken as UTC");
    }
    if !views.is_empty() {
        finding.push_str("; do it in one transaction, as views are made anew");
    }
    let mut changes = vec![format!("ALTER COLUMN {name} TYPE {kind} USING {value}")];
    // A sequence gives numbers of whatever type.
    let default = found.default.as_ref().filter(|default| !default.starts_with("nextval("));
    if let Some(default) = default {
        changes.insert(0, format!("ALTER COLUMN {name} DROP DEFAULT"));
        let own = column.default().map(str::to_owned);
        let kept = own.or_else(|| converted(&format!("({default})"), &found.kind, kind));
        changes.extend(kept.map(|kept| format!("ALTER COLUMN {name} SET DEFAULT {kept}")));
    }
    let mut mend = String::new();
    if !views.is_empty() {
        // Those that read others first.
        let names: Vec<&str> = views.iter().rev().map(|view| view.name.as_str()).collect();
        mend.push_str(&format!("DROP VIEW {};\n", names.join(", ")));
    }
    mend.push_str(&format!("ALTER TABLE {table} {};", changes.join(", ")));
    for view in views {
        mend.push('\n');
        mend.push_str(&view.statements);
    }
    Finding::new(finding, mend)
}

/// The SQL that makes of `value`, which is of type `from`, one of type `to`.
fn converted(value: &str, from: &str, to: &str) -> Option<String> {
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
    fn what_postgresql_can_not_convert_is_no_sql() {
        for (from, to) in [("uuid", "bigint"), ("point", "jsonb"), ("integer", "uuid")] {
            assert_eq!(converted("id", from, to), None, "{from} to {to}");
        }
        assert_eq!(converted("id", "integer", "bigint").as_deref(), Some("id::bigint"));
    }
}
