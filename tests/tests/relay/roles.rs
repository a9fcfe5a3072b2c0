//! The privileges of the roles in `sql/roles.sql`.

use anyhow::{Context as _, ensure};
use pipeline_tests::command::psql;
use pipeline_tests::outbox::{Outbox, connect, eventually};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const ROLES: &str = include_str!("../../../sql/roles.sql");
const SCHEMA: &str = include_str!("../../../sql/outbox/schema.sql");
const ADD: &str = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                   VALUES ('order', '7', 'order.created', '{}')";

/// Checks that each statement is rejected for lack of a privilege, and for nothing else.
async fn refuses(session: &Client, statements: &[&str]) -> anyhow::Result<()> {
    for statement in statements {
        let error = session.batch_execute(statement).await;
        let error = error.err().with_context(|| format!("it was allowed: {statement}"))?;
        ensure!(error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
    Ok(())
}

async fn allows(session: &Client, statements: &[&str]) -> anyhow::Result<()> {
    for statement in statements {
        session.batch_execute(statement).await.with_context(|| (*statement).to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_may_note_what_became_of_an_event_and_not_add_or_change_one() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute("CREATE TABLE orders (id integer)").await?;
    outbox.add("7", "order.created").await?;
    let relay = connect(&outbox.relay_url).await?;
    refuses(
        &relay,
        &[
            ADD,
            "UPDATE outbox SET payload = '{}'",
            "UPDATE outbox SET headers = '{}'",
            "UPDATE outbox SET event_id = gen_random_uuid()",
            "UPDATE outbox SET aggregate_type = 'x'",
            "UPDATE outbox SET aggregate_id = 'x'",
            "UPDATE outbox SET event_type = 'x'",
            "UPDATE outbox SET created_at = now()",
            "TRUNCATE outbox",
            "DROP TABLE outbox",
            "CREATE INDEX ON outbox (event_type)",
            "SELECT nextval('outbox_id_seq')",
            "UPDATE outbox_audit SET reason = 'x'",
            "DELETE FROM outbox_audit",
            "SELECT FROM orders",
            "CREATE ROLE another",
        ],
    )
    .await?;
    allows(
        &relay,
        &[
            "SELECT * FROM outbox FOR UPDATE",
            "UPDATE outbox SET published_at = now(), attempts = 1, next_attempt_at = now(), last_error = 'x'",
            "DELETE FROM outbox",
            "INSERT INTO outbox_audit (actor, action) VALUES ('somebody', 'retry')",
            "SELECT * FROM outbox_audit",
            "SELECT * FROM outbox_pending, outbox_stuck, outbox_lag, outbox_relays, outbox_published_last_minute",
        ],
    )
    .await
}

#[tokio::test]
async fn a_writer_may_add_events_and_do_nothing_else() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.add("6", "order.created").await?;
    let writer = connect(&outbox.database.url_as("outbox_writer").await?).await?;
    let with = |column: &str, value: &str| {
        format!(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, {column})
             VALUES ('order', '7', 'order.created', '{{}}', {value})"
        )
    };
    allows(
        &writer,
        &[
            ADD,
            &with("headers", "'{}'"),
            &with("event_id", "gen_random_uuid()"),
            &with("next_attempt_at", "'infinity'"),
        ],
    )
    .await?;
    refuses(
        &writer,
        &[
            "SELECT FROM outbox",
            "UPDATE outbox SET published_at = now()",
            "DELETE FROM outbox",
            "TRUNCATE outbox",
            "SELECT FROM outbox_pending",
            "SELECT FROM outbox_audit",
            "SELECT FROM outbox_pauses",
            "INSERT INTO outbox_pauses (actor) VALUES ('somebody')",
            "INSERT INTO outbox_audit (actor, action) VALUES ('somebody', 'retry')",
            "SELECT nextval('outbox_id_seq')",
            &format!("{ADD} RETURNING id"),
            &with("published_at", "now()"),
            &with("attempts", "1"),
            &with("last_error", "'x'"),
            &with("created_at", "now()"),
        ],
    )
    .await?;
    assert_eq!(outbox.pending().await?, 5);
    Ok(())
}

#[tokio::test]
async fn the_relays_of_these_tests_are_no_more_than_outbox_relay() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let relay = outbox.relay_process(&[]).await?;
    eventually("a relay has connected", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE application_name = 'outbox-relay' AND datname = current_database()";
        Ok(outbox.count(sessions, &[]).await? > 0)
    })
    .await?;
    let more = "SELECT count(*) FROM pg_stat_activity
                WHERE application_name = 'outbox-relay' AND datname = current_database()
                  AND usename <> 'outbox_relay'";
    assert_eq!(outbox.count(more, &[]).await?, 0, "{}", relay.last_lines());
    let rights = "SELECT count(*) FROM pg_roles
                  WHERE rolname IN ('outbox_relay', 'outbox_writer')
                    AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)";
    assert_eq!(outbox.count(rights, &[]).await?, 2);
    let groups = "SELECT count(*) FROM pg_auth_members
                  WHERE member IN ('outbox_relay'::regrole, 'outbox_writer'::regrole)";
    assert_eq!(outbox.count(groups, &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn the_roles_may_be_made_by_psql_again_and_again() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    for _ in 0..2 {
        let output = psql()?
            .args(["--single-transaction", "-f"])
            .arg(stack::root().join("sql/roles.sql"))
            .arg(&outbox.database.url)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && errors.is_empty(), "{errors}");
    }
    Ok(())
}

#[tokio::test]
async fn the_roles_may_be_made_in_several_databases_at_once_and_later_by_an_owner()
-> anyhow::Result<()> {
    let server = stack::PostgresServer::start_temporary().await?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let session = connect(&server.database("outbox").await?.url).await?;
        session.batch_execute(SCHEMA).await?;
        sessions.push(session);
    }
    futures_util::future::try_join_all(sessions.iter().map(|session| session.batch_execute(ROLES)))
        .await?;

    // The outbox in a separate schema, without the usage privilege for others.
    let admin = connect(&server.url("postgres")).await?;
    admin.batch_execute("CREATE ROLE shop LOGIN PASSWORD 'shop'").await?;
    admin.batch_execute("CREATE DATABASE shop OWNER shop").await?;
    let owner = connect(&server.access().url_as("shop", "shop", "shop")).await?;
    owner.batch_execute("CREATE SCHEMA shop; SET search_path = shop").await?;
    owner.batch_execute(SCHEMA).await?;
    owner.batch_execute(ROLES).await?;
    for (role, statement) in [
        ("outbox_relay", "SELECT FROM shop.outbox"),
        ("outbox_writer", &ADD.replace("INTO outbox", "INTO shop.outbox")),
    ] {
        server.access().set_password(role, "secret").await?;
        let session = connect(&server.access().url_as(role, "secret", "shop")).await?;
        session.batch_execute(statement).await?;
    }
    Ok(())
}
