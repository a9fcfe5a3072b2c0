//! The logins of the console in `sql/roles.sql` and `sql/dead-letters/roles.sql`: by themselves they
//! may do nothing, and each command has the rights of the role that it takes.

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use pipeline_tests::command::Ended;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::{Outbox, connect};
use pipeline_tests::relay_command::outbox_relay;
use stack::Database;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Checks that a login may do nothing of `statements`, and with `role` each of them.
async fn needs_a_role(login: &Client, role: &str, statements: &[&str]) -> anyhow::Result<()> {
    for statement in statements {
        let error = login.batch_execute(statement).await;
        let error = error.err().with_context(|| format!("it was allowed: {statement}"))?;
        ensure!(error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
        let with_role = format!("BEGIN; SET LOCAL ROLE {role}; {statement}; COMMIT");
        login.batch_execute(&with_role).await.with_context(|| with_role.clone())?;
    }
    Ok(())
}

/// Checks that a role may log in, inherits nothing, and has no attribute beyond that.
async fn is_a_mere_login(sql: &Client, role: &str) -> anyhow::Result<()> {
    let query = "SELECT rolcanlogin AND NOT (rolinherit OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
                 FROM pg_roles WHERE rolname = $1";
    ensure!(sql.query_one(query, &[&role]).await?.get::<_, bool>(0), "{role}");
    Ok(())
}

/// A session of a login, in a database that not everybody may connect to.
async fn connect_where_few_may(
    sql: &Client,
    database: &Database,
    login: &str,
) -> anyhow::Result<Client> {
    let revoke = format!("REVOKE CONNECT ON DATABASE \"{}\" FROM PUBLIC", database.name);
    sql.batch_execute(&revoke).await?;
    connect(&database.url_as(login).await?).await
}

/// Runs a command on `outbox` with the rights of `role`, as the console does.
async fn with_role(outbox: &Outbox, role: &str, arguments: &[&str]) -> anyhow::Result<Ended> {
    let login = outbox.database.url_as("outbox_console").await?;
    let settings =
        [("DATABASE_URL", login.as_str()), ("OUTBOX_ROLE", role), ("OUTBOX_ACTOR", "alice")];
    outbox_relay(arguments, &settings).await
}

/// The same on the desk.
async fn with_desk_role(
    desk: &DeadLetterQueue,
    role: &str,
    arguments: &[&str],
) -> anyhow::Result<Ended> {
    let login = desk.database.url_as("dead_letters_console").await?;
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", login.as_str()),
        ("DEAD_LETTERS_ROLE", role),
        ("OUTBOX_ACTOR", "alice"),
    ];
    outbox_relay(&[&["dead-letters"], arguments].concat(), &settings).await
}

/// Checks that a command was refused, and said so with each of `words`.
fn refused(ended: &Ended, words: &[&str]) -> anyhow::Result<()> {
    ensure!(ended.code == Some(1), "{ended:?}");
    for word in words {
        ensure!(ended.err.contains(word), "no {word:?} in {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_console_may_do_nothing_in_the_outbox_before_it_takes_a_role() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add(&outbox, "7", Some("infinity")).await?;
    is_a_mere_login(&outbox.sql, "outbox_console").await?;
    let login = connect_where_few_may(&outbox.sql, &outbox.database, "outbox_console").await?;
    let looks = [
        "SELECT FROM outbox",
        "SELECT FROM outbox_audit",
        "SELECT FROM outbox_pauses",
        "SELECT FROM outbox_failures",
        "SELECT FROM outbox_lag",
    ];
    needs_a_role(&login, "outbox_viewer", &looks).await?;
    let mends = ["UPDATE outbox SET next_attempt_at = now()"];
    needs_a_role(&login, "outbox_operator", &mends).await?;
    needs_a_role(&login, "outbox_admin", &["DELETE FROM outbox"]).await?;
    // It may become these three and no other.
    for other in ["outbox_relay", "outbox_writer", "pg_read_all_data"] {
        let error = login.batch_execute(&format!("SET ROLE {other}")).await.err();
        let error = error.with_context(|| format!("it may be {other}"))?;
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{other}");
    }
    Ok(())
}

#[tokio::test]
async fn each_command_on_the_outbox_has_the_rights_of_the_role_that_it_takes() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    let id = add(&outbox, "7", Some("infinity")).await?;
    let login = outbox.database.url_as("outbox_console").await?;

    let without = outbox.command_as(&login, &["show", &id]).await?;
    refused(&without, &["permission denied", "show takes the role outbox_viewer"])?;

    let shown = with_role(&outbox, "outbox_viewer", &["show", &id]).await?;
    ensure!(shown.code == Some(0), "{shown:?}");
    let retry = ["retry", &id, "--reason", "x"];
    let ended = with_role(&outbox, "outbox_viewer", &retry).await?;
    let sentence =
        "retry takes the role outbox_operator, and OUTBOX_ROLE (or --role) is outbox_viewer";
    refused(&ended, &["permission denied", sentence])?;
    ensure!(!ended.err.contains("GRANT"), "the login is a member already: {ended:?}");
    ensure!(outbox.audit().await?.is_empty(), "it changed nothing");

    let ended = with_role(&outbox, "outbox_operator", &retry).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let audit = outbox.audit().await?;
    let written = audit.first().context("an audit row")?;
    assert_eq!(written["actor"], "alice");
    assert_eq!(written["db_user"], "outbox_console", "who logged in, not the role that it took");

    let discard = ["discard", &id, "--reason", "x"];
    let ended = with_role(&outbox, "outbox_operator", &discard).await?;
    refused(&ended, &["discard takes the role outbox_admin"])?;
    let ended = with_role(&outbox, "outbox_admin", &discard).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_role_that_the_login_may_not_take_is_named() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    for role in ["outbox_relay", "no_such_role"] {
        let ended = with_role(&outbox, role, &["status"]).await?;
        let grant = format!("GRANT \"{role}\" TO \"outbox_console\";");
        refused(&ended, &[&format!("OUTBOX_ROLE (or --role) is {role}"), &grant])?;
    }
    Ok(())
}

#[tokio::test]
async fn the_console_may_do_nothing_on_the_desk_before_it_takes_a_role() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add(1, b"x", BasicProperties::default()).await?;
    desk.collect_all().await?;
    is_a_mere_login(&desk.sql, "dead_letters_console").await?;
    let login = connect_where_few_may(&desk.sql, &desk.database, "dead_letters_console").await?;
    let looks = ["SELECT FROM dead_letters", "SELECT FROM dead_letters_audit"];
    needs_a_role(&login, "dead_letters_viewer", &looks).await?;
    let mends = ["UPDATE dead_letters SET note = 'x'"];
    needs_a_role(&login, "dead_letters_operator", &mends).await?;
    let destroys = ["UPDATE dead_letters SET state = 'discarded', settled_at = now()"];
    needs_a_role(&login, "dead_letters_admin", &destroys).await?;
    let error = login.batch_execute("SET ROLE dead_letters_collector").await.err();
    let error = error.context("it may collect")?;
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    Ok(())
}

#[tokio::test]
async fn each_command_on_the_desk_has_the_rights_of_the_role_that_it_takes() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add(1, b"x", BasicProperties::default()).await?;
    desk.collect_all().await?;
    let login = desk.database.url_as("dead_letters_console").await?;

    let without = desk.command_as(&login, "alice", &["show", "1"]).await?;
    refused(&without, &["dead-letters show takes the role dead_letters_viewer"])?;

    let shown = with_desk_role(&desk, "dead_letters_viewer", &["show", "1"]).await?;
    ensure!(shown.code == Some(0), "{shown:?}");
    let note = ["note", "1", "--text", "looked into"];
    let ended = with_desk_role(&desk, "dead_letters_viewer", &note).await?;
    let sentence = "dead-letters note takes the role dead_letters_operator, and DEAD_LETTERS_ROLE (or --role) is dead_letters_viewer";
    refused(&ended, &["permission denied", sentence])?;
    ensure!(desk.audit().await?.is_empty(), "it changed nothing");
    let ended = with_desk_role(&desk, "dead_letters_operator", &note).await?;
    ensure!(ended.code == Some(0), "{ended:?}");

    let discard = ["discard", "1", "--reason", "x"];
    let ended = with_desk_role(&desk, "dead_letters_operator", &discard).await?;
    refused(&ended, &["dead-letters discard takes the role dead_letters_admin"])?;
    let ended = with_desk_role(&desk, "dead_letters_admin", &discard).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let ended = with_desk_role(&desk, "dead_letters_collector", &["show", "1"]).await?;
    refused(&ended, &["DEAD_LETTERS_ROLE (or --role) is dead_letters_collector"])?;
    Ok(())
}
