//! One function per statement of `check`, and what it returns.

use crate::commands::session::Session;

/// What the server says about itself.
#[derive(Debug)]
pub(super) struct Server {
    /// `server_version_num`.
    pub(super) version_number: i32,
    pub(super) version: String,
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
    pub(super) database: String,
}

/// A setting of the database or the role.
#[derive(Debug)]
pub(super) struct StoredSetting {
    /// `name=value`.
    pub(super) setting: String,
    /// Which role or database it is set for; empty for all.
    pub(super) scope: String,
}

/// The outbox in the catalogue.
#[derive(Debug, Clone)]
pub(super) struct ExistingTable {
    pub(super) oid: u32,
    /// The oid of the audit table, if there is one.
    pub(super) audit_oid: Option<u32>,
    pub(super) schema: String,
    /// Whether the role has USAGE on the schema.
    pub(super) schema_usage: bool,
    pub(super) is_table: bool,
    pub(super) has_primary_key: bool,
}

/// A column in the catalogue.
#[derive(Debug)]
pub(super) struct ExistingColumn {
    pub(super) name: String,
    /// Its type, or the base type of its domain.
    pub(super) base_type: String,
    /// Its type as declared, with its length.
    pub(super) declared_type: String,
    /// The expression of its default.
    pub(super) default: Option<String>,
}

/// A view that reads a column.
#[derive(Debug)]
pub(super) struct ExistingView {
    pub(super) name: String,
    /// The SQL that creates it again, with its owner and its privileges.
    pub(super) statements: String,
}

/// An index in the catalogue.
#[derive(Debug)]
pub(super) struct ExistingIndex {
    pub(super) of_audit: bool,
    /// With its schema, quoted where needed.
    pub(super) name: String,
    /// The result of `pg_get_indexdef`.
    pub(super) definition: String,
    pub(super) is_unique: bool,
    pub(super) is_valid: bool,
}

/// A sequence in the catalogue.
#[derive(Debug)]
pub(super) struct ExistingSequence {
    /// With its schema, quoted where needed.
    pub(super) name: String,
    pub(super) cache: i64,
    pub(super) increment: i64,
    pub(super) highest: i64,
}

/// The privileges that the role lacks, as GRANT names them.
#[derive(Debug)]
pub(super) struct MissingPrivileges {
    pub(super) on_outbox: Vec<String>,
    pub(super) on_audit: Vec<String>,
}

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

/// Returns the outbox, if it exists.
pub(super) async fn check_table(session: &Session) -> anyhow::Result<Option<ExistingTable>> {
    let sql = include_str!("../../../../sql/relay/commands/check_table.sql");
    let table = session.table();
    let audit = format!("{}_audit", table.name());
    let rows = session.query(sql, &[&table.schema(), &table.name(), &audit]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(ExistingTable {
        oid: row.try_get("oid")?,
        audit_oid: row.try_get("audit_oid")?,
        schema: row.try_get("schema")?,
        schema_usage: row.try_get("schema_usage")?,
        is_table: row.try_get("is_table")?,
        has_primary_key: row.try_get("has_primary_key")?,
    }))
}

pub(super) async fn check_columns(
    session: &Session,
    oid: u32,
) -> anyhow::Result<Vec<ExistingColumn>> {
    let sql = include_str!("../../../../sql/relay/commands/check_columns.sql");
    let rows = session.query(sql, &[&oid]).await?;
    rows.iter()
        .map(|row| {
            Ok(ExistingColumn {
                name: row.try_get("name")?,
                base_type: row.try_get("base_type")?,
                declared_type: row.try_get("declared_type")?,
                default: row.try_get("default_value")?,
            })
        })
        .collect()
}

/// Returns the views that read `column`, directly or through another view.
pub(super) async fn check_views(
    session: &Session,
    oid: u32,
    column: &str,
) -> anyhow::Result<Vec<ExistingView>> {
    let sql = include_str!("../../../../sql/relay/commands/check_views.sql");
    let rows = session.query(sql, &[&oid, &column]).await?;
    rows.iter()
        .map(|row| {
            Ok(ExistingView { name: row.try_get("name")?, statements: row.try_get("statements")? })
        })
        .collect()
}

/// Returns the settings that are stored for the database or the role.
pub(super) async fn check_settings(session: &Session) -> anyhow::Result<Vec<StoredSetting>> {
    let sql = include_str!("../../../../sql/relay/commands/check_settings.sql");
    let rows = session.query(sql, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(StoredSetting { setting: row.try_get("setting")?, scope: row.try_get("scope")? })
        })
        .collect()
}

/// Returns those of `names` that a relation in the outbox's schema has.
pub(super) async fn check_taken_names(
    session: &Session,
    oid: u32,
    names: &[String],
) -> anyhow::Result<Vec<String>> {
    let sql = include_str!("../../../../sql/relay/commands/check_taken_names.sql");
    let rows = session.query(sql, &[&oid, &names]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) async fn check_indexes(
    session: &Session,
    oid: u32,
    audit_oid: u32,
) -> anyhow::Result<Vec<ExistingIndex>> {
    let sql = include_str!("../../../../sql/relay/commands/check_indexes.sql");
    let rows = session.query(sql, &[&oid, &audit_oid]).await?;
    rows.iter()
        .map(|row| {
            Ok(ExistingIndex {
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
) -> anyhow::Result<Option<ExistingSequence>> {
    let sql = include_str!("../../../../sql/relay/commands/check_sequence.sql");
    let rows = session.query(sql, &[&oid]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(ExistingSequence {
        name: row.try_get("name")?,
        cache: row.try_get("cache")?,
        highest: row.try_get("highest")?,
        increment: row.try_get("increment")?,
    }))
}

/// Returns the constraints on the column `action` of the audit table, by name and definition.
pub(super) async fn check_actions(
    session: &Session,
    audit_oid: u32,
) -> anyhow::Result<Vec<(String, String)>> {
    let sql = include_str!("../../../../sql/relay/commands/check_actions.sql");
    let rows = session.query(sql, &[&audit_oid]).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("definition")?))).collect()
}

/// What a relay deletes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deletes {
    /// Published events.
    pub(super) events: bool,
    /// Old audit rows.
    pub(super) audit: bool,
}

pub(super) async fn check_privileges(
    session: &Session,
    oid: u32,
    audit_oid: Option<u32>,
    deletes: Deletes,
) -> anyhow::Result<MissingPrivileges> {
    let sql = include_str!("../../../../sql/relay/commands/check_privileges.sql");
    let Deletes { events, audit } = deletes;
    let row = session.query_one(sql, &[&oid, &audit_oid, &events, &audit]).await?;
    Ok(MissingPrivileges {
        on_outbox: row.try_get("on_outbox")?,
        on_audit: row.try_get("on_audit")?,
    })
}

/// Returns whether the table of unsettled events exists, and which privileges the role lacks on it.
pub(super) async fn check_unsettled(session: &Session) -> anyhow::Result<(bool, Vec<String>)> {
    let sql = include_str!("../../../../sql/relay/commands/check_unsettled.sql");
    let row = session.query_one(sql, &[]).await?;
    Ok((row.try_get("table_exists")?, row.try_get("missing")?))
}
