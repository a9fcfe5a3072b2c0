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

/// Returns the text of `column`.
pub(in crate::commands) fn text(row: &Row, column: &str) -> anyhow::Result<String> {
    let Lossy(text) = row.try_get(column)?;
    Ok(text)
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
