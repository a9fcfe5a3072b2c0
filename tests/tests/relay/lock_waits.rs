//! Another session's locks and each statement of a relay: for which locks it may wait, and that
//! otherwise it handles all other rows.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use outbox_relay::OutboxTable;
use pipeline_tests::outbox::{Outbox, connect};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// A lock in another session's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    ForUpdate,
    ForShare,
    Delete,
    Share,
    AccessExclusive,
    Notes,
}
use Lock::{AccessExclusive, Delete, ForShare, ForUpdate, Notes, Share};

/// Each lock, and the statement that takes it: on rows of one aggregate, on the whole table, on all
/// rows of `outbox_unsettled` but one.
const LOCKS: [(Lock, &str); 6] = [
    (ForUpdate, "SELECT FROM outbox WHERE aggregate_id = 'locked' FOR UPDATE"),
    (ForShare, "SELECT FROM outbox WHERE aggregate_id = 'locked' FOR SHARE"),
    (Delete, "DELETE FROM outbox WHERE aggregate_id = 'locked'"),
    (Share, "LOCK TABLE outbox IN SHARE MODE"),
    (AccessExclusive, "LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"),
    (Notes, "SELECT FROM outbox_unsettled WHERE id <> 8 FOR UPDATE"),
];

/// The locks that a statement may wait for.
type WaitsFor = &'static [Lock];

/// It reads no table that is locked here.
const NOTHING: WaitsFor = &[];
/// ACCESS EXCLUSIVE locks, with which nobody can read the table.
const READS: WaitsFor = &[AccessExclusive];
/// Table locks, with which nobody can write.
const CHANGES: WaitsFor = &[Share, AccessExclusive];
/// It writes only rows of `outbox_unsettled` whose events this relay settles: the session's lock
/// timeout ends the wait.
const CHANGES_NOTES: WaitsFor = &[Notes];

/// The first two rows, as a parameter.
const EVENT_IDS: &str =
    "'{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}'";
/// Both aggregates, likewise.
const KEYS: &str = "ARRAY[hashtextextended('locked', hashtextextended('order', 0)), hashtextextended('other', hashtextextended('order', 0))]";

/// Each statement file, with its parameters and the locks it waits for.
const STATEMENTS: [(&str, &str, WaitsFor); 47] = [
    ("acknowledge_audit", "1, NULL", NOTHING),
    ("audited_up_to", "", NOTHING),
    ("count_digits", "'{1,2}', 1000", READS),
    ("describe_columns", "", NOTHING),
    ("find_hidden_rows", "true", NOTHING),
    ("find_overtaken", "0, 10, '{\"1\": 0}', 10", NOTHING),
    ("find_oldest", "-1, 10", READS),
    ("find_optional", "", NOTHING),
    ("find_pauses", "", NOTHING),
    ("find_questions", "10", NOTHING),
    ("forget_expired", "", READS),
    ("forget_gone", "", READS),
    ("forget_unsettled", "EVENT_IDS", CHANGES_NOTES),
    ("give_answers", "'{72,73}', '{1,2}'", NOTHING),
    ("identify", "'{1,2}'", READS),
    ("join_relays", "", NOTHING),
    ("latest_audit_id", "", NOTHING),
    ("leave_relays", "", NOTHING),
    ("list_relays", "", NOTHING),
    ("list_writers", "", READS),
    ("load", "'{1,2}', 1000, 1000, 1000", READS),
    ("load_pauses", "10", NOTHING),
    ("load_unsettled", "-1, 10", READS),
    ("lock_audit_pruning", "", NOTHING),
    ("lock_in_flight", "'{1}'", NOTHING),
    ("lock_pruning", "", NOTHING),
    ("measure_backlog", "1000", READS),
    ("name_session", "'outbox-relay'", NOTHING),
    ("next_row", "0", READS),
    (
        "note_unsettled",
        "EVENT_IDS, '{1,2}', 'published', '{locked,locked}', '{NULL,NULL}'",
        CHANGES_NOTES,
    ),
    ("prepare_session", "", NOTHING),
    ("prepare_settle_session", "", NOTHING),
    ("probe_deleting", "", CHANGES),
    ("probe_marking", "", CHANGES),
    ("prune", "0, 1000, 3600", CHANGES),
    ("prune_audit", "0, 1000, 3600", NOTHING),
    ("release_lanes", "'{1}'", NOTHING),
    ("respect_pauses", "", NOTHING),
    (
        "scan_due",
        "-1, 1000, true, true, '{t,t,f,f}', '{t,f,t,f}', '{-infinity,-infinity,-infinity,-infinity}',
         '{0,0,0,0}', '{infinity,now,infinity,now}', '{100,100,100,100}', 10, '{}', '{}', '{}'",
        READS,
    ),
    (
        "scan_new",
        "-9223372036854775808, -1, true, true, 2000, '{}', '{}', '{}', true, '{}', '{}', '{}'",
        READS,
    ),
    ("scan_successors", "KEYS, '{-1,-1}', 100, true, '{}', '{}', '{}'", READS),
    ("settle_deleted", "'{1,2}', EVENT_IDS, '{0,0}'", CHANGES),
    (
        "settle_failed",
        "'{1,2}', EVENT_IDS, '{no,no}', '{1,1}', '{0,0}', '{nacked,nacked}', '{1,2}'",
        CHANGES,
    ),
    ("settle_published", "'{1,2}', EVENT_IDS, '{0,0}'", CHANGES),
    ("take_back_answers", "'{72,73}', '{1,2}'", NOTHING),
    ("take_lanes", "'{1}'", NOTHING),
    ("unlock_in_flight", "'{1}'", NOTHING),
];

/// The condition that holds once a statement has handled the unlocked rows, those of the aggregate
/// `other`.
const DONE: [(&str, &str); 6] = [
    ("settle_published", "SELECT published_at IS NOT NULL FROM outbox WHERE id = 2"),
    ("settle_deleted", "SELECT NOT EXISTS (SELECT FROM outbox WHERE id = 2)"),
    ("settle_failed", "SELECT attempts = 1 FROM outbox WHERE id = 2"),
    ("prune", "SELECT NOT EXISTS (SELECT FROM outbox WHERE id = 4)"),
    ("forget_expired", "SELECT NOT EXISTS (SELECT FROM outbox_unsettled WHERE id = 8)"),
    ("forget_unsettled", "SELECT NOT EXISTS (SELECT FROM outbox_unsettled WHERE id = 1)"),
];

/// For each of two aggregates: a pending event, one published long ago, one that failed and is due.
/// In `outbox_unsettled`: a pending one, a published one, and two deleted ones.
const ROWS: &str = "
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, published_at, attempts, next_attempt_at)
    SELECT lpad(n::text, 32, '0')::uuid, 'order', aggregate_id, 'order.created', '{}', published_at,
           CASE WHEN next_attempt_at IS NULL THEN 0 ELSE 1 END, next_attempt_at
    FROM (VALUES (1, 'locked', NULL::timestamptz, NULL::timestamptz), (2, 'other', NULL, NULL),
                 (3, 'locked', now() - interval '2 hours', NULL), (4, 'other', now() - interval '2 hours', NULL),
                 (5, 'locked', NULL, now()), (6, 'other', NULL, now())) AS event (n, aggregate_id, published_at, next_attempt_at)
    ORDER BY n;
    INSERT INTO outbox_unsettled (event_id, id, outcome, kind)
    SELECT event_id, id, 'published', 'locked' FROM outbox WHERE id IN (1, 3);
    INSERT INTO outbox_unsettled (event_id, id, outcome, kind) VALUES
        (gen_random_uuid(), 7, 'expired', 'refused'), (gen_random_uuid(), 8, 'expired', 'refused');
    INSERT INTO outbox_audit (actor, action) VALUES ('bob', 'retry')";

/// The result of a statement with a lock.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Work,
    Wait,
}

fn sql(name: &str) -> anyhow::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/relay/queries");
    let sql =
        std::fs::read_to_string(folder.join(format!("{name}.sql"))).context(name.to_owned())?;
    let table: Result<OutboxTable, String> = "outbox".parse();
    Ok(table.map_err(anyhow::Error::msg)?.fill_in(&sql))
}

/// Whether the file has several statements, which can't be prepared.
fn is_script(sql: &str) -> bool {
    sql.lines().any(|line| line.ends_with(';'))
}

/// A session like a relay's, with every statement prepared and a lock timeout.
async fn session(outbox: &Outbox) -> anyhow::Result<Client> {
    let session = connect(&outbox.relay_url).await?;
    session.batch_execute(&sql("prepare_session")?).await?;
    for (name, ..) in STATEMENTS {
        let sql = sql(name)?;
        if !is_script(&sql) {
            let prepare = format!("PREPARE {name} AS {sql}");
            session.batch_execute(&prepare).await.with_context(|| prepare)?;
        }
    }
    session.batch_execute("SET lock_timeout = '200ms'").await?;
    Ok(session)
}

/// Runs a statement and rolls it back.
async fn carry_out(session: &Client, name: &str, parameters: &str) -> anyhow::Result<Did> {
    let statement = match sql(name)? {
        script if is_script(&script) => script,
        _ if parameters.is_empty() => format!("EXECUTE {name}"),
        _ => format!("EXECUTE {name} ({parameters})")
            .replace("EVENT_IDS", EVENT_IDS)
            .replace("KEYS", KEYS),
    };
    session.batch_execute("BEGIN").await?;
    let did = match session.batch_execute(&statement).await {
        Ok(()) => Did::Work,
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Did::Wait,
        Err(error) => return Err(error).with_context(|| statement),
    };
    let done = DONE.iter().find(|(statement, _)| *statement == name);
    if let (Some((_, done)), Did::Work) = (done, &did) {
        let is_done: bool = session.query_one(*done, &[]).await?.get(0);
        ensure!(is_done, "{name} left out what nobody has locked");
    }
    session.batch_execute("ROLLBACK").await?;
    Ok(did)
}

#[tokio::test]
async fn no_statement_waits_for_a_row_and_none_for_a_table_that_it_does_not_need()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    // As OUTBOX_AUDIT_RETENTION takes it.
    outbox.sql.batch_execute("GRANT DELETE ON outbox_audit TO outbox_relay").await?;
    outbox.sql.batch_execute(ROWS).await?;
    let session = session(&outbox).await?;
    for (name, parameters, _) in STATEMENTS {
        let did = carry_out(&session, name, parameters).await?;
        ensure!(did == Did::Work, "{name} waits though nothing is locked");
    }
    let mut wrong = Vec::new();
    for (lock, takes) in LOCKS {
        let other = connect(&outbox.database.url).await?;
        other.batch_execute(&format!("BEGIN; {takes}")).await?;
        for (name, parameters, waits_for) in STATEMENTS {
            let did = carry_out(&session, name, parameters).await?;
            let wanted = if waits_for.contains(&lock) { Did::Wait } else { Did::Work };
            if did != wanted {
                wrong.push(format!("{name} beside {lock:?}: {did:?}, not {wanted:?}"));
            }
        }
        other.batch_execute("ROLLBACK").await?;
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn every_statement_of_a_relay_is_tried_beside_locks() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/relay/queries");
    let mut files = BTreeSet::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name")?.to_owned();
        ensure!(sql(&name)?.starts_with(&format!("-- {name}: ")), "{name}: what does it do?");
        files.insert(name);
    }
    let named: BTreeSet<String> = STATEMENTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(files, named, "each statement has a line in the table of this test");
    Ok(())
}

#[tokio::test]
async fn each_session_of_a_relay_ends_a_statement_that_waits() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let session = connect(&outbox.relay_url).await?;
    for (prepare, limit, longest) in [
        ("prepare_session", "statement_timeout", Duration::from_secs(10)),
        ("prepare_settle_session", "lock_timeout", Duration::from_secs(1)),
    ] {
        session.batch_execute(&sql(prepare)?).await?;
        let query = "SELECT setting::bigint FROM pg_settings WHERE name = $1 AND unit = 'ms'";
        let limit: i64 = session.query_one(query, &[&limit]).await?.get(0);
        let limit = Duration::from_millis(limit.try_into()?);
        ensure!(!limit.is_zero() && limit <= longest, "{prepare}: {limit:?}");
    }
    Ok(())
}
