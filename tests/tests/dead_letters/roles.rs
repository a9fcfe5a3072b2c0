//! The roles of the desk: each may do what its work takes and nothing else.

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::metrics::shows;
use pipeline_tests::pipeline::connect;
use pipeline_tests::relay_command::outbox_relay;
use stack::Service;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

type Tested = anyhow::Result<()>;

/// A desk with the roles, as the command prints them.
async fn with_roles() -> anyhow::Result<DeadLetterQueue> {
    let desk = DeadLetterQueue::start().await?;
    let printed = outbox_relay(&["dead-letters", "schema", "--roles"], &[]).await?;
    ensure!(printed.code == Some(0), "{printed:?}");
    // Running it again does no harm.
    for _ in 0..2 {
        desk.sql.batch_execute(&printed.out).await?;
    }
    Ok(desk)
}

/// Whether `role` may run a statement, which has no effect.
async fn may(sql: &Client, role: &str, statement: &str) -> anyhow::Result<bool> {
    let run = sql.batch_execute(&format!("BEGIN; SET LOCAL ROLE {role}; {statement}")).await;
    sql.batch_execute("ROLLBACK").await?;
    match run {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{role}: {statement}")),
    }
}

#[tokio::test]
async fn the_printed_schema_is_that_of_the_file() -> Tested {
    let printed = outbox_relay(&["dead-letters", "schema"], &[]).await?;
    assert_eq!(printed.code, Some(0));
    assert_eq!(printed.out, include_str!("../../../sql/dead-letters/schema.sql"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_works_with_the_rights_of_its_role() -> Tested {
    let desk = with_roles().await?;
    let url = desk.database.url_as("dead_letters_collector").await?;
    desk.add(20, b"x", BasicProperties::default()).await?;
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", url.as_str()),
        ("RABBITMQ_URL", desk.broker.amqp_url.as_str()),
        ("DEAD_LETTERS_RETENTION", "60s"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let once = outbox_relay(&["dead-letters", "collect", "--queue", QUEUE], &settings).await?;
    assert_eq!(once.code, Some(0), "{once:?}");
    assert_eq!(desk.rows().await?, 20);
    desk.sql
        .batch_execute("UPDATE dead_letters SET state = 'discarded', settled_at = now() - interval '1 hour' WHERE id <= 5")
        .await?;
    let arguments = ["dead-letters", "collect", "--queue", QUEUE, "--follow"];
    let binary = stack::binary("outbox-relay").await?;
    let collector = Service::spawn(binary, arguments, settings).await?;
    let lines = [
        r#"dead_letters_pruned_total{queue="billing.dlq"} 5"#,
        r#"dead_letters_open{queue="billing.dlq"} 15"#,
    ];
    shows(&collector, &lines).await?;
    desk.add(10, b"x", BasicProperties::default()).await?;
    desk.collected(25).await
}

#[tokio::test]
async fn without_a_right_the_collector_says_which_role_it_takes() -> Tested {
    let desk = with_roles().await?;
    desk.add(1, b"x", BasicProperties::default()).await?;
    let login = "person_of_dead_letters_viewer";
    let create = format!(
        "DO $$ BEGIN CREATE ROLE {login} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         DO $$ BEGIN GRANT dead_letters_viewer TO {login}; EXCEPTION WHEN unique_violation THEN NULL; END $$"
    );
    desk.sql.batch_execute(&create).await?;
    let url = desk.database.url_as(login).await?;
    let settings =
        [("DATABASE_URL", url.as_str()), ("RABBITMQ_URL", desk.broker.amqp_url.as_str())];
    let ended = outbox_relay(&["dead-letters", "collect", "--queue", QUEUE], &settings).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("collecting takes the role dead_letters_collector"), "{ended:?}");
    assert_eq!(desk.depth().await?.0, 1, "it has received nothing");
    Ok(())
}

#[tokio::test]
async fn each_role_may_do_what_its_work_takes_and_nothing_else() -> Tested {
    let desk = with_roles().await?;
    desk.add(2, b"x", BasicProperties::default()).await?;
    desk.collect_all().await?;
    let discard = "UPDATE dead_letters SET state = 'discarded', settled_at = now(), original = '{}' WHERE id = 2";
    desk.sql.batch_execute(discard).await?;
    let sql = connect(&desk.database.url).await?;
    let roles = [
        "dead_letters_collector",
        "dead_letters_viewer",
        "dead_letters_operator",
        "dead_letters_admin",
    ];
    let audit = "INSERT INTO dead_letters_audit (actor, action, dead_letter_id, operation_id) VALUES ('a', 'note', 1, gen_random_uuid())";
    for (statement, expected) in [
        // Of the collector alone.
        ("INSERT INTO dead_letters_sessions (queue) VALUES ('q')", [true, false, false, false]),
        ("DELETE FROM dead_letters WHERE id = 1", [false; 4]),
        ("UPDATE dead_letters SET delivery_tag = 1", [true, false, false, false]),
        // Looking.
        ("SELECT id, state FROM dead_letters", [true, true, true, true]),
        ("SELECT body, headers FROM dead_letters", [false, true, true, true]),
        ("SELECT * FROM dead_letters_open", [false, true, true, true]),
        ("SELECT * FROM dead_letters_open_groups", [false, true, true, true]),
        ("SELECT * FROM dead_letters_old", [false, true, true, true]),
        ("SELECT * FROM dead_letters_audit", [false, true, true, true]),
        // Mending.
        ("UPDATE dead_letters SET body = 'y', note = 'z' WHERE id = 1", [false, false, true, true]),
        ("UPDATE dead_letters SET state = 'returning' WHERE id = 1", [false, false, true, true]),
        ("UPDATE dead_letters SET original = '{}' WHERE id = 1", [false, false, true, true]),
        ("UPDATE dead_letters SET may_have_arrived = true", [false, false, true, true]),
        (audit, [false, false, true, true]),
        // Destroying.
        (
            "UPDATE dead_letters SET state = 'discarded', settled_at = now()",
            [false, false, false, true],
        ),
        (
            "UPDATE dead_letters SET state = 'open', settled_at = NULL WHERE id = 2",
            [false, false, false, true],
        ),
        ("UPDATE dead_letters SET original = NULL WHERE id = 2", [false, false, false, true]),
        ("UPDATE dead_letters SET reason = NULL, properties = '{}'", [false, false, false, true]),
        ("UPDATE dead_letters SET identity = '', routing_key = NULL", [false, false, false, true]),
        (
            "UPDATE dead_letters SET exchange = NULL, content_type = NULL, event_type = ''",
            [false, false, false, true],
        ),
        ("UPDATE dead_letters_audit SET before = NULL, reason = NULL", [false, false, false, true]),
        // Nobody.
        ("DELETE FROM dead_letters_audit", [false; 4]),
        ("UPDATE dead_letters_audit SET actor = 'b'", [false; 4]),
        ("UPDATE dead_letters SET collected_at = now()", [false; 4]),
        ("UPDATE dead_letters SET message_id = 'm'", [false; 4]),
        ("TRUNCATE dead_letters", [false; 4]),
    ] {
        for (role, expected) in roles.into_iter().zip(expected) {
            assert_eq!(may(&sql, role, statement).await?, expected, "{role}: {statement}");
        }
    }
    Ok(())
}

/// What no privilege of a column can say.
#[tokio::test]
async fn nobody_settles_or_deletes_by_hand_what_was_not_returned() -> Tested {
    let desk = with_roles().await?;
    desk.add(3, b"x", BasicProperties::default()).await?;
    desk.collect_all().await?;
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET state = 'discarded', settled_at = now() WHERE id = 2;
             UPDATE dead_letters SET state = 'returning' WHERE id = 3",
        )
        .await?;
    let sql = connect(&desk.database.url).await?;
    let insert = "INSERT INTO dead_letters (queue, identity, event_type, body, content_header, properties, headers, error_kind, fingerprint)
                  VALUES ('q', '', '', '', '', '{}', '{}', 'unknown', '')";
    let insert_settled =
        "INSERT INTO dead_letters (queue, state, settled_at) VALUES ('q', 'discarded', now())";
    let (collector, operator) = ("dead_letters_collector", "dead_letters_operator");
    for (role, statement, expected) in [
        (collector, insert, true),
        (collector, insert_settled, false),
        (collector, "DELETE FROM dead_letters WHERE id = 1", false),
        (collector, "DELETE FROM dead_letters WHERE id = 2", true),
        (collector, "DELETE FROM dead_letters WHERE id = 3", false),
        (operator, "UPDATE dead_letters SET state = 'returning' WHERE id = 1", true),
        (operator, "UPDATE dead_letters SET state = 'open' WHERE id = 3", true),
        (operator, "UPDATE dead_letters SET state = 'returned' WHERE id = 3", true),
        (operator, "UPDATE dead_letters SET state = 'returned' WHERE id = 1", false),
        (operator, "UPDATE dead_letters SET state = 'open', settled_at = NULL WHERE id = 2", false),
        (operator, "UPDATE dead_letters SET settled_at = '-infinity' WHERE id = 2", false),
        (operator, "UPDATE dead_letters SET body = '' WHERE id = 2", false),
    ] {
        assert_eq!(may(&sql, role, statement).await?, expected, "{role}: {statement}");
    }
    Ok(())
}

/// What an operator changes is kept, and when it returned a message is no matter of its own.
#[tokio::test]
async fn an_operator_changes_nothing_without_a_trace() -> Tested {
    let desk = with_roles().await?;
    desk.add(1, b"x", BasicProperties::default()).await?;
    desk.collect_all().await?;
    let original = "SELECT original ->> 'body' FROM dead_letters";
    let kept = "SELECT settled_at > now() - interval '1 minute' FROM dead_letters";
    let sql = connect(&desk.database.url).await?;
    sql.batch_execute("SET ROLE dead_letters_operator").await?;
    sql.batch_execute("UPDATE dead_letters SET body = 'y', original = NULL").await?;
    assert_eq!(sql.query_one(original, &[]).await?.get::<_, Option<&str>>(0), Some("eA=="));
    sql.batch_execute("UPDATE dead_letters SET body = 'z'").await?;
    assert_eq!(sql.query_one(original, &[]).await?.get::<_, Option<&str>>(0), Some("eA=="));
    let steps = [
        "UPDATE dead_letters SET state = 'returning'",
        "UPDATE dead_letters SET state = 'returned', settled_at = '-infinity'",
    ];
    for step in steps {
        sql.batch_execute(step).await?;
    }
    assert!(sql.query_one(kept, &[]).await?.get::<_, bool>(0));
    Ok(())
}
