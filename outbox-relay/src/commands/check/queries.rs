//! One function per statement of `check`.

use super::columns::{ColumnFound, ViewFound};
use super::indexes::IndexFound;
use super::privileges::Privileges;
use super::sequence::SequenceFound;
use super::server::Server;
use super::settings::SettingFound;
use super::table::Found;
use crate::commands::session::Session;

pub(super) async fn check_server(session: &Session) -> anyhow::Result<Server> {
    let sql = include_str!("../../../../sql/relay/commands/check_server.sql");
    let row = session.query_one(sql, &[]).await?;
    Ok(Server {
        version_number: row.try_get("version_number")?,
        version: row.try_get("version")?,
        is_standby: row.try_get("is_standby")?,
        is_read_only: row.try_get("is_read_only")?,
        database: row.try_get("database")?,
    })
}

pub(super) async fn check_table(session: &Session) -> anyhow::Result<Option<Found>> {
    let sql = include_str!("../../../../sql/relay/commands/check_table.sql");
    let table = session.table();
    let audit = format!("{}_audit", table.name());
    let rows = session.query(sql, &[&table.schema(), &table.name(), &audit]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Found {
        oid: row.try_get("oid")?,
        audit_oid: row.try_get("audit_oid")?,
        schema: row.try_get("schema")?,
        may_look: row.try_get("may_look")?,
        is_table: row.try_get("is_table")?,
        has_primary_key: row.try_get("has_primary_key")?,
    }))
}

pub(super) async fn check_columns(session: &Session, oid: u32) -> anyhow::Result<Vec<ColumnFound>> {
    let sql = include_str!("../../../../sql/relay/commands/check_columns.sql");
    let rows = session.query(sql, &[&oid]).await?;
    rows.iter()
        .map(|row| {
            Ok(ColumnFound {
                name: row.try_get("name")?,
                kind: row.try_get("kind")?,
                written: row.try_get("written")?,
                default: row.try_get("default_value")?,
            })
        })
        .collect()
}

pub(super) async fn check_views(
    session: &Session,
    oid: u32,
    column: &str,
) -> anyhow::Result<Vec<ViewFound>> {
    let sql = include_str!("../../../../sql/relay/commands/check_views.sql");
    let rows = session.query(sql, &[&oid, &column]).await?;
    rows.iter()
        .map(|row| {
            Ok(ViewFound { name: row.try_get("name")?, statements: row.try_get("statements")? })
        })
        .collect()
}

pub(super) async fn check_settings(session: &Session) -> anyhow::Result<Vec<SettingFound>> {
    let sql = include_str!("../../../../sql/relay/commands/check_settings.sql");
    let rows = session.query(sql, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(SettingFound { setting: row.try_get("setting")?, place: row.try_get("place")? })
        })
        .collect()
}

pub(super) async fn check_names(
    session: &Session,
    oid: u32,
    names: &[String],
) -> anyhow::Result<Vec<String>> {
    let sql = include_str!("../../../../sql/relay/commands/check_names.sql");
    let rows = session.query(sql, &[&oid, &names]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) async fn check_indexes(
    session: &Session,
    oid: u32,
    audit_oid: u32,
) -> anyhow::Result<Vec<IndexFound>> {
    let sql = include_str!("../../../../sql/relay/commands/check_indexes.sql");
    let rows = session.query(sql, &[&oid, &audit_oid]).await?;
    rows.iter()
        .map(|row| {
            Ok(IndexFound {
                of_audit: row.try_get("of_audit")?,
                name: row.try_get("name")?,
                definition: row.try_get("definition")?,
                is_unique: row.try_get("is_unique")?,
                is_valid: row.try_get("is_valid")?,
            })
        })
        .collect()
}

pub(super) async fn check_sequence(
    session: &Session,
    oid: u32,
) -> anyhow::Result<Option<SequenceFound>> {
    let sql = include_str!("../../../../sql/relay/commands/check_sequence.sql");
    let rows = session.query(sql, &[&oid]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(SequenceFound {
        name: row.try_get("name")?,
        cache: row.try_get("cache")?,
        highest: row.try_get("highest")?,
        increment: row.try_get("increment")?,
    }))
}

pub(super) async fn check_privileges(
    session: &Session,
    oid: u32,
    audit_oid: Option<u32>,
    prunes: bool,
) -> anyhow::Result<Privileges> {
    let sql = include_str!("../../../../sql/relay/commands/check_privileges.sql");
    let row = session.query_one(sql, &[&oid, &audit_oid, &prunes]).await?;
    Ok(Privileges { lacks: row.try_get("lacks")?, lacks_on_audit: row.try_get("lacks_on_audit")? })
}

/// Whether the table for events that can't be settled is there, and what the role lacks on it.
pub(super) async fn check_unsettled(session: &Session) -> anyhow::Result<(bool, Vec<String>)> {
    let sql = include_str!("../../../../sql/relay/commands/check_unsettled.sql");
    let row = session.query_one(sql, &[]).await?;
    Ok((row.try_get("is_there")?, row.try_get("lacks")?))
}
