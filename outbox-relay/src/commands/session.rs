//! A command's session with the database: limits on every statement, errors as sentences that say what to do.

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{self, DatabaseUrl, connect, connect_writable};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use super::queries;
use crate::database::OutboxTable;

/// How much longer than the server's own limit an answer is waited for: a server that answers can say why.
const MARGIN: Duration = Duration::from_secs(5);

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Looking: the server refuses to change anything.
    Look,
    /// Looking at the server that a relay would work with: the first one that takes writes, if any does.
    Check,
    /// Changing something.
    Change,
}

/// Whether a transaction waits for those of other commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    None,
    Taken,
}

/// A session with the database that has the outbox.
#[derive(Debug)]
pub(super) struct Session {
    session: Mutex<postgres::Session>,
    url: DatabaseUrl,
    /// Not the relays' own, by which people count them.
    name: String,
    table: OutboxTable,
    limit: Duration,
    purpose: Purpose,
    /// The role that the session began with.
    pub(super) role: String,
}

impl Session {
    pub(super) async fn open(
        url: &DatabaseUrl,
        table: OutboxTable,
        limit: Duration,
        name: &str,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        let name = format!("outbox command {name}");
        let session = Mutex::new(enter(url, &name, limit, purpose).await?);
        let (url, role) = (url.clone(), String::new());
        let mut session = Self { session, url, name, table, limit, purpose, role };
        session.role = queries::role(&session).await?;
        Ok(session)
    }

    /// Fails when row-level security hides rows from the role: what the command says and does would be wrong.
    pub(super) async fn sees_all_rows(&self) -> anyhow::Result<()> {
        let hidden = queries::find_hidden_rows(self, self.purpose == Purpose::Change).await?;
        match hidden.filter(|hidden| self.purpose == Purpose::Change || hidden.limits("SELECT")) {
            Some(hidden) => Err(anyhow!("{hidden}: {}", hidden.remedy(&self.table.quoted("")))),
            None => Ok(()),
        }
    }

    /// The outbox's name, for people.
    pub(super) const fn table(&self) -> &OutboxTable {
        &self.table
    }

    /// The rows of `sql`, in which `{outbox}` and `{audit}` stand for the tables.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        self.bounded(Turn::None, sql, params).await
    }

    /// The rows of `sql`, which adds audit rows. No other command does so meanwhile.
    pub(super) async fn change(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        self.bounded(Turn::Taken, sql, params).await
    }

    async fn bounded(
        &self,
        turn: Turn,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        let sql = self.table.fill_in(sql);
        let mut session = self.session.lock().await;
        if session.client.is_closed() {
            // A server may end a session that is silent, while a person thinks or the broker is busy. Nothing is left in it.
            *session = enter(&self.url, &self.name, self.limit, self.purpose).await?;
        }
        let done = self.in_transaction(&session.client, turn, &sql, params);
        let done = timeout(self.limit + MARGIN, done).await;
        drop(session);
        match done.map_err(|_| self.too_slow())? {
            Ok(rows) => Ok(rows),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                // On the heap: it asks by this function.
                Err(Box::pin(self.locked()).await)
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// A transaction of its own keeps the settings to itself: behind a pooler the session is somebody else's a moment later, and
    /// must not be left unable to write.
    async fn in_transaction(
        &self,
        client: &Client,
        turn: Turn,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        client
            .batch_execute(match self.purpose {
                Purpose::Look | Purpose::Check => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
                Purpose::Change => "BEGIN ISOLATION LEVEL READ COMMITTED",
            })
            .await?;
        let done = async {
            queries::prepare_transaction(client, self.limit).await?;
            if turn == Turn::Taken {
                queries::take_turn(client, &self.table).await?;
            }
            client.query(sql, params).await
        };
        match done.await {
            Ok(rows) => client.batch_execute("COMMIT").await.map(|()| rows),
            Err(error) => {
                // What went wrong before says more than what goes wrong here.
                client.batch_execute("ROLLBACK").await.ok();
                Err(error)
            }
        }
    }

    /// The one row of `sql`.
    pub(super) async fn query_one(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Row> {
        let rows = self.query(sql, params).await?;
        rows.into_iter().next().ok_or_else(|| anyhow!("the database answered without a row"))
    }

    /// Somebody held for too long what a statement needs.
    async fn locked(&self) -> anyhow::Error {
        let holders = queries::find_table_holders(self).await.unwrap_or_default();
        let who = match holders.first() {
            Some((holder, Some(table))) => format!("{holder} has {table} locked"),
            Some((holder, None)) => format!("{holder} is changing events"),
            None => "somebody has the outbox locked".to_owned(),
        };
        anyhow!("{who}: nothing more was changed, try again when that transaction has ended")
    }

    fn too_slow(&self) -> anyhow::Error {
        let limit = humantime::format_duration(self.limit);
        anyhow!("the database took longer than {limit}: ask for less, or raise --timeout")
    }

    fn explain(&self, error: &Error) -> anyhow::Error {
        let said = postgres::reason(error);
        let table = &self.table;
        let Some(code) = error.code() else {
            return anyhow!("the database does not answer: {said}");
        };
        match *code {
            SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => anyhow!(
                "{said}: add the outbox with `outbox-relay schema | psql \"$DATABASE_URL\"`, or name it in OUTBOX_TABLE \
                 (it is {table} now)"
            ),
            SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH => {
                anyhow!("{table} is no outbox ({said}): `outbox-relay check` says what is wrong")
            }
            SqlState::INSUFFICIENT_PRIVILEGE => anyhow!(
                "{said}: `outbox-relay check` says what to grant, or use a role that may do more"
            ),
            SqlState::QUERY_CANCELED => self.too_slow(),
            SqlState::READ_ONLY_SQL_TRANSACTION => anyhow!(
                "the database takes no writes any more ({said}): `outbox-relay check` says why"
            ),
            _ => anyhow!("the database refuses: {said}"),
        }
    }
}

async fn enter(
    url: &DatabaseUrl,
    name: &str,
    limit: Duration,
    purpose: Purpose,
) -> anyhow::Result<postgres::Session> {
    let connected = timeout(limit + MARGIN, async {
        match purpose {
            Purpose::Look => connect(url, name).await,
            Purpose::Check => match connect_writable(url, name).await {
                Ok(session) => Ok(session),
                Err(_) => connect(url, name).await,
            },
            Purpose::Change => connect_writable(url, name).await,
        }
    });
    connected
        .await
        .unwrap_or_else(|_| Err(anyhow!("it does not answer within {limit:?}")))
        .map_err(|error| anyhow!("the database can't be reached: {error:#}"))
}
