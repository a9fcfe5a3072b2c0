//! The collector's statements, each a file in `sql/dead-letters/queries/`.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, GenericClient, Statement};
use uuid::Uuid;

use super::message::DeadLetter;

const BEGIN_SESSION: &str = include_str!("../../../sql/dead-letters/queries/begin_session.sql");
const RELEASE: &str = include_str!("../../../sql/dead-letters/queries/release.sql");
const ADOPT_REDELIVERED: &str =
    include_str!("../../../sql/dead-letters/queries/adopt_redelivered.sql");
const INSERT_DEAD_LETTERS: &str =
    include_str!("../../../sql/dead-letters/queries/insert_dead_letters.sql");
const FORGET_SESSIONS: &str = include_str!("../../../sql/dead-letters/queries/forget_sessions.sql");
const HAS_EARLIER_SESSIONS: &str =
    include_str!("../../../sql/dead-letters/queries/has_earlier_sessions.sql");
const LOCK_QUEUE: &str = include_str!("../../../sql/dead-letters/queries/lock_queue.sql");
const END_SESSION: &str = include_str!("../../../sql/dead-letters/queries/end_session.sql");
const MEASURE: &str = include_str!("../../../sql/dead-letters/queries/measure.sql");
const COUNT_SETTLED: &str = include_str!("../../../sql/dead-letters/queries/count_settled.sql");
const PRUNE: &str = include_str!("../../../sql/dead-letters/queries/prune.sql");

/// The prepared statements of a collector.
#[derive(Debug)]
pub(super) struct Statements {
    begin_session: Statement,
    release: Statement,
    adopt_redelivered: Statement,
    insert_dead_letters: Statement,
    forget_sessions: Statement,
    has_earlier_sessions: Statement,
    end_session: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            begin_session: client.prepare(BEGIN_SESSION).await?,
            release: client.prepare(RELEASE).await?,
            adopt_redelivered: client.prepare(ADOPT_REDELIVERED).await?,
            insert_dead_letters: client.prepare(INSERT_DEAD_LETTERS).await?,
            forget_sessions: client.prepare(FORGET_SESSIONS).await?,
            has_earlier_sessions: client.prepare(HAS_EARLIER_SESSIONS).await?,
            end_session: client.prepare(END_SESSION).await?,
        })
    }

    /// Notes a new session and returns its id.
    pub(super) async fn begin_session(
        &self,
        client: &impl GenericClient,
        queue: &str,
    ) -> Result<Uuid, Error> {
        client.query_one(&self.begin_session, &[&queue]).await?.try_get(0)
    }

    /// Notes up to which delivery a session will acknowledge. Returns false if another session has
    /// taken over.
    pub(super) async fn release(
        &self,
        client: &impl GenericClient,
        session: Uuid,
        up_to: i64,
    ) -> Result<bool, Error> {
        Ok(client.execute(&self.release, &[&session, &up_to]).await? == 1)
    }

    /// Returns the tags of those redelivered messages that have a row, which is this session's from
    /// then on.
    pub(super) async fn adopt_redelivered(
        &self,
        client: &impl GenericClient,
        queue: &str,
        session: Uuid,
        messages: &[&DeadLetter],
    ) -> Result<Vec<u64>, Error> {
        let identities = column(messages, |message| &message.identity[..]);
        let tags = column(messages, tag);
        let params: [&(dyn ToSql + Sync); 4] = [&queue, &session, &identities, &tags];
        let rows = client.query(&self.adopt_redelivered, &params).await?;
        rows.iter().map(|row| row.try_get(0).map(i64::unsigned_abs)).collect()
    }

    /// Adds rows.
    pub(super) async fn insert_dead_letters(
        &self,
        client: &impl GenericClient,
        queue: &str,
        session: Uuid,
        messages: &[&DeadLetter],
    ) -> Result<u64, Error> {
        let earlier = column(messages, |message| message.returned_from.as_ref());
        let params: [&(dyn ToSql + Sync); 23] = [
            &queue,
            &session,
            &column(messages, tag),
            &column(messages, |message| &message.identity[..]),
            &column(messages, |message| message.return_to.as_deref()),
            &column(messages, |message| message.message_id.as_deref()),
            &column(messages, |message| message.event_type.as_str()),
            &column(messages, |message| message.exchange.as_str()),
            &column(messages, |message| message.routing_key.as_str()),
            &column(messages, |message| &message.body[..]),
            &column(messages, |message| message.content_type.as_deref()),
            &column(messages, |message| &message.content_header[..]),
            &column(messages, |message| message.properties.as_str()),
            &column(messages, |message| message.headers.as_str()),
            &column(messages, |message| message.kind),
            &column(messages, |message| message.reason.as_deref()),
            &column(messages, |message| message.fingerprint.as_str()),
            &column(messages, |message| message.tries),
            &column(messages, |message| message.first_failed_at.as_deref()),
            &column(messages, |message| message.last_failed_at.as_deref()),
            &column(messages, |message| message.redelivered),
            &earlier.iter().map(|row| row.map(|(queue, _)| queue.as_str())).collect::<Vec<_>>(),
            &earlier.iter().map(|row| row.map(|(_, id)| *id)).collect::<Vec<_>>(),
        ];
        client.execute(&self.insert_dead_letters, &params).await
    }

    /// Forgets all sessions of the queue but this one.
    pub(super) async fn forget_sessions(
        &self,
        client: &impl GenericClient,
        queue: &str,
        session: Uuid,
    ) -> Result<(), Error> {
        client.execute(&self.forget_sessions, &[&queue, &session]).await.map(drop)
    }

    /// Whether there are sessions of the queue besides this one.
    pub(super) async fn has_earlier_sessions(
        &self,
        client: &Client,
        queue: &str,
        session: Uuid,
    ) -> Result<bool, Error> {
        client.query_one(&self.has_earlier_sessions, &[&queue, &session]).await?.try_get(0)
    }

    /// Forgets a session that has acknowledged everything.
    pub(super) async fn end_session(&self, client: &Client, session: Uuid) -> Result<(), Error> {
        client.execute(&self.end_session, &[&session]).await.map(drop)
    }
}

/// Locks the queue for the session with the database. Returns false if another one has it.
pub(super) async fn lock_queue(client: &Client, queue: &str) -> Result<bool, Error> {
    client.query_one(LOCK_QUEUE, &[&queue]).await?.try_get(0)
}

/// How many dead letters are open, and the age of the oldest in seconds.
pub(super) async fn measure(client: &Client, queue: &str) -> Result<(i64, Option<f64>), Error> {
    let row = client.query_one(MEASURE, &[&queue]).await?;
    Ok((row.try_get("open")?, row.try_get("oldest_age")?))
}

/// The rows that people settled in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SettledRows {
    pub(super) returned: i64,
    pub(super) discarded: i64,
    /// The end of the period: the beginning of the next one.
    pub(super) until: String,
}

/// Counts the rows that people settled `since` the end of the period before, or none the first time.
pub(super) async fn count_settled(
    client: &Client,
    queue: &str,
    since: Option<&str>,
) -> Result<SettledRows, Error> {
    let row = client.query_one(COUNT_SETTLED, &[&queue, &since]).await?;
    Ok(SettledRows {
        returned: row.try_get("returned")?,
        discarded: row.try_get("discarded")?,
        until: row.try_get("until")?,
    })
}

/// Deletes at most `most` rows that were settled `seconds` ago. Returns how many.
pub(super) async fn prune(
    client: &Client,
    queue: &str,
    seconds: f64,
    most: i64,
) -> Result<u64, Error> {
    client.execute(PRUNE, &[&queue, &seconds, &most]).await
}

fn column<'a, T>(messages: &[&'a DeadLetter], value: impl Fn(&'a DeadLetter) -> T) -> Vec<T> {
    messages.iter().map(|message| value(message)).collect()
}

fn tag(message: &DeadLetter) -> i64 {
    i64::try_from(message.tag).unwrap_or(i64::MAX)
}
