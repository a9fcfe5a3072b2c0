//! Columns of text that need not be UTF-8, as in a database with the encoding `SQL_ASCII`: such
//! events must be shown too.

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// Parses the row's first column as JSON.
pub(in crate::commands) fn json<T: DeserializeOwned>(row: &Row) -> anyhow::Result<T> {
    let Lossy(text) = row.try_get(0)?;
    serde_json::from_str(&text).context("the database answered with JSON that can't be read")
}

/// Returns true if the row's first column is NULL, whatever its type.
pub(in crate::commands) fn is_null(row: &Row) -> anyhow::Result<bool> {
    Ok(row.try_get::<_, Option<Anything>>(0)?.is_none())
}

/// Returns the text of `column`.
pub(in crate::commands) fn text(row: &Row, column: &str) -> anyhow::Result<String> {
    let Lossy(text) = row.try_get(column)?;
    Ok(text)
}

/// Returns the text of `column`; `None` if it is NULL or not UTF-8.
pub(in crate::commands) fn exact_text(row: &Row, column: &str) -> anyhow::Result<Option<String>> {
    let text: Option<Exact> = row.try_get(column)?;
    Ok(text.and_then(|Exact(text)| text))
}

/// Text, or `None` if it is not UTF-8.
struct Exact(Option<String>);

impl<'a> FromSql<'a> for Exact {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(std::str::from_utf8(raw).ok().map(ToOwned::to_owned)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }
}

/// A value that is not looked at.
struct Anything;

impl<'a> FromSql<'a> for Anything {
    fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Text in which bytes that are not UTF-8 are replaced.
struct Lossy(String);

impl<'a> FromSql<'a> for Lossy {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }
}
