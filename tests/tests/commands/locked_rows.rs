//! Another session's idle transaction holds locks: a command does what it can for all other rows,
//! reports what is locked and by whom, and ends soon.

use std::time::{Duration, Instant};

use anyhow::ensure;
use pipeline_tests::command::Ended;
use pipeline_tests::outbox::{Outbox, connect};
use pipeline_tests::relay_command::outbox_relay;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

/// The statements that take locks, each in a separate session.
const LOCKS: [(&str, &[&str]); 6] = [
    ("the row", &["SELECT FROM outbox WHERE aggregate_id = 'locked' FOR UPDATE"]),
    ("a share of the row", &["SELECT FROM outbox WHERE aggregate_id = 'locked' FOR SHARE"]),
    (
        "two shares of the row",
        &[
            "SELECT FROM outbox WHERE aggregate_id = 'locked' FOR SHARE",
            "SELECT FROM outbox WHERE aggregate_id = 'locked' FOR SHARE",
        ],
    ),
    ("the row's key", &["SELECT FROM outbox WHERE aggregate_id = 'locked' FOR KEY SHARE"]),
    ("an uncommitted delete", &["DELETE FROM outbox WHERE aggregate_id = 'locked'"]),
    ("the table", &["LOCK TABLE outbox IN SHARE MODE"]),
];

/// How a command behaves with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It does not wait for the lock.
    All,
    /// It skips the locked row.
    AllOthers,
    /// It can do nothing: it may wait for some seconds.
    Nothing,
}
use Does::{All, AllOthers, Nothing};

/// A command, and its behaviour with each of [`LOCKS`].
struct Case {
    arguments: &'static [&'static str],
    /// It takes the events as arguments.
    is_named: bool,
    /// The state of its events.
    events: &'static str,
    /// The members of its JSON: what it did and did not do.
    members: [&'static str; 2],
    does: [Does; 6],
}

const STUCK: &str = "NULL, 'infinity', 1";
const PUBLISHED: &str = "now() - interval '2 hours', NULL, 0";

async fn events(outbox: &Outbox, columns: &str) -> anyhow::Result<[String; 3]> {
    let insert = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at, next_attempt_at, attempts)
         SELECT 'order', name, 'order.created', '{{}}', {columns}
         FROM unnest(ARRAY['before', 'locked', 'behind']) WITH ORDINALITY AS named (name, n) ORDER BY n
         RETURNING event_id"
    );
    let rows = outbox.sql.query(&insert, &[]).await?;
    Ok([0, 1, 2].map(|row: usize| rows[row].get::<_, Uuid>(0).to_string()))
}

/// The sessions that hold the locks, with their pids.
async fn lock(outbox: &Outbox, statements: &[&str]) -> anyhow::Result<(Vec<Client>, Vec<i32>)> {
    let (mut sessions, mut pids) = (Vec::new(), Vec::new());
    for statement in statements {
        let session = connect(&outbox.database.url).await?;
        session
            .batch_execute(&format!("SET application_name = 'psql of bob'; BEGIN; {statement}"))
            .await?;
        pids.push(session.query_one("SELECT pg_backend_pid()", &[]).await?.get(0));
        sessions.push(session);
    }
    Ok((sessions, pids))
}

/// The number of events in a member of a command's JSON.
fn count(value: &Value) -> u64 {
    value.as_u64().or_else(|| Some(value.as_array()?.len() as u64)).unwrap_or(0)
}

/// Runs a command as the table's owner: other roles may not see the lock holder's name, only its
/// pid.
async fn command(outbox: &Outbox, arguments: &[&str]) -> anyhow::Result<Ended> {
    let settings = [
        ("DATABASE_URL", outbox.database.url.as_str()),
        ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
        ("OUTBOX_ACTOR", "alice"),
    ];
    outbox_relay(arguments, &settings).await
}

async fn try_all(case: Case) -> anyhow::Result<()> {
    // Built before the time is measured.
    stack::binary("outbox-relay").await?;
    for ((name, statements), does) in LOCKS.iter().zip(case.does) {
        let outbox = Outbox::new().await?;
        outbox.queue("all", "#").await?;
        let ids = events(&outbox, case.events).await?;
        let (sessions, pids) = lock(&outbox, statements).await?;
        let mut arguments = [case.arguments, &["--json"]].concat();
        if case.is_named {
            arguments.extend(ids.iter().map(String::as_str));
        }
        let begun = Instant::now();
        let ended = command(&outbox, &arguments).await?;
        let took = begun.elapsed();
        ensure!(took < Duration::from_secs(10), "{arguments:?} beside {name} took {took:?}");
        let said = format!("{arguments:?} beside {name}: {ended:?}");
        match does {
            All => {
                let document = ended.json()?;
                assert_eq!((ended.code, count(&document[case.members[0]])), (Some(0), 3), "{said}");
            }
            AllOthers => {
                ensure!(took < Duration::from_secs(5), "{arguments:?} beside {name} took {took:?}");
                let document = ended.json()?;
                assert_eq!((ended.code, count(&document[case.members[0]])), (Some(1), 2), "{said}");
                let holders: Vec<Value> =
                    pids.iter().map(|pid| json!({ "pid": pid, "name": "psql of bob" })).collect();
                let left = json!([{ "event_id": ids[1], "why": "locked", "locked_by": holders }]);
                assert_eq!(document[case.members[1]], left, "{said}");
                let text: Vec<&str> =
                    arguments.iter().copied().filter(|argument| *argument != "--json").collect();
                let told = command(&outbox, &text).await?;
                let sentence = format!("psql of bob (pid {}) has it locked", pids[0]);
                assert!(told.err.contains(&sentence) && told.err.contains(&ids[1]), "{told:?}");
            }
            Nothing => {
                assert_eq!(ended.code, Some(1), "{said}");
                let sentence = format!("psql of bob (pid {}) has \"outbox\" locked", pids[0]);
                assert!(ended.err.contains(&sentence), "{said}");
                assert!(outbox.audit().await?.is_empty(), "{said}");
                assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 3, "{said}");
            }
        }
        // No lock is left.
        drop(sessions);
    }
    Ok(())
}

#[tokio::test]
async fn discard_goes_past_what_somebody_has_locked() -> anyhow::Result<()> {
    try_all(Case {
        arguments: &["discard", "--reason", "x"],
        is_named: true,
        events: STUCK,
        members: ["discarded", "not_discarded"],
        does: [AllOthers, AllOthers, AllOthers, AllOthers, AllOthers, Nothing],
    })
    .await
}

#[tokio::test]
async fn retry_goes_past_what_somebody_has_locked() -> anyhow::Result<()> {
    try_all(Case {
        arguments: &["retry"],
        is_named: true,
        events: STUCK,
        members: ["retried", "not_retried"],
        // The lock of a foreign key check does not hold back an event.
        does: [AllOthers, AllOthers, AllOthers, All, AllOthers, Nothing],
    })
    .await
}

#[tokio::test]
async fn retry_of_all_that_is_stuck_goes_past_what_somebody_has_locked() -> anyhow::Result<()> {
    try_all(Case {
        arguments: &["retry", "--stuck", "--yes"],
        is_named: false,
        events: STUCK,
        members: ["retried", "not_retried"],
        does: [AllOthers, AllOthers, AllOthers, All, AllOthers, Nothing],
    })
    .await
}

#[tokio::test]
async fn replay_waits_for_no_lock() -> anyhow::Result<()> {
    try_all(Case {
        arguments: &["replay"],
        is_named: true,
        events: PUBLISHED,
        members: ["replayed", "not_replayed"],
        does: [All; 6],
    })
    .await
}

#[tokio::test]
async fn prune_goes_past_what_somebody_has_locked() -> anyhow::Result<()> {
    try_all(Case {
        arguments: &["prune", "--older-than", "1h"],
        is_named: false,
        events: PUBLISHED,
        members: ["pruned", "not_pruned"],
        does: [AllOthers, AllOthers, AllOthers, AllOthers, AllOthers, Nothing],
    })
    .await
}

#[tokio::test]
async fn a_locked_audit_table_is_named_and_nothing_is_changed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    stack::binary("outbox-relay").await?;
    let [stuck, ..] = events(&outbox, STUCK).await?;
    let (_sessions, pids) = lock(&outbox, &["LOCK TABLE outbox_audit IN SHARE MODE"]).await?;
    for arguments in [&["discard", "--reason", "x"][..], &["retry"]] {
        let begun = Instant::now();
        let ended = command(&outbox, &[arguments, &[&stuck]].concat()).await?;
        ensure!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let sentence = format!("(pid {}) has \"outbox_audit\" locked", pids[0]);
        assert!(ended.err.contains(&sentence), "{ended:?}");
    }
    let held_back = "SELECT count(*) FROM outbox WHERE next_attempt_at = 'infinity'";
    assert_eq!(outbox.count(held_back, &[]).await?, 3);
    Ok(())
}
