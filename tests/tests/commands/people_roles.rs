//! The roles for people in `sql/roles.sql`: who may run which command, as docs/relay.md says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use clap::CommandFactory as _;
use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::{Outbox, connect};
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::temp_folder::TempFolder;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const ROLES: [&str; 3] = ["outbox_viewer", "outbox_operator", "outbox_admin"];

/// Commands that are not an operator's.
const OTHERS: [&str; 9] = [
    "run",
    "health",
    "check",
    "schema",
    "man",
    "completions",
    "dead-letters",
    "console",
    "openapi",
];

/// The roles that may run each command, as the table in docs/relay.md says.
fn documented() -> anyhow::Result<BTreeMap<String, BTreeSet<&'static str>>> {
    let docs = include_str!("../../../docs/relay.md");
    let begin = docs.find("| command | `outbox_viewer` |").context("docs/relay.md has no table")?;
    let mut documented = BTreeMap::new();
    for line in docs[begin..].lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let marks = cells.get(2..5).with_context(|| format!("five columns: {line}"))?;
        let may = ROLES.into_iter().zip(marks).filter(|(_, mark)| **mark == "yes");
        let may: BTreeSet<&str> = may.map(|(role, _)| role).collect();
        for command in cells[1].split('`').skip(1).step_by(2) {
            documented.insert(command.to_owned(), may.clone());
        }
    }
    Ok(documented)
}

/// A file that names an inbox, for `reconcile`.
async fn write_inboxes(outbox: &Outbox, folder: &TempFolder) -> anyhow::Result<String> {
    outbox.sql.batch_execute("CREATE TABLE inbox (event_id uuid PRIMARY KEY)").await?;
    folder.write("url", &outbox.database.url)?;
    let inbox = "[[inbox]]\nname = \"none\"\nurl_file = \"url\"\ntable = \"inbox\"\nkey = \"event_id\"\ntypes = [\"none\"]\n";
    folder.write("inboxes.toml", inbox)
}

/// An event for `command`, and the command's arguments.
async fn prepare(
    outbox: &Outbox,
    admin: &str,
    inboxes: &str,
    command: &str,
) -> anyhow::Result<Vec<String>> {
    let id = add(outbox, command, Some("infinity")).await?;
    let publish =
        "UPDATE outbox SET published_at = now() - $2::text::interval, next_attempt_at = NULL
                   WHERE event_id = $1::text::uuid";
    match command {
        "replay" | "forget" | "where" => outbox.sql.execute(publish, &[&id, &"1 minute"]).await?,
        "prune" => outbox.sql.execute(publish, &[&id, &"2 hours"]).await?,
        "restore" => {
            let ended = outbox.command_as(admin, &["discard", &id, "--reason", "x"]).await?;
            ensure!(ended.code == Some(0), "{ended:?}");
            0
        }
        _ => 0,
    };
    let more: &[&str] = match command {
        "status" | "failures" | "events" | "pauses" | "audit" => {
            return Ok(vec![command.to_owned()]);
        }
        "reconcile" => {
            return Ok(["reconcile", "--inboxes", inboxes].map(ToOwned::to_owned).to_vec());
        }
        "prune" => {
            return Ok(["prune", "--older-than", "1h"].map(ToOwned::to_owned).to_vec());
        }
        "pause" => return Ok(["pause", "--type", "x"].map(ToOwned::to_owned).to_vec()),
        "resume" => {
            let ended = outbox.command_as(admin, &["pause", "--type", "y"]).await?;
            ensure!(ended.code == Some(0), "{ended:?}");
            return Ok(["resume", "--type", "y"].map(ToOwned::to_owned).to_vec());
        }
        "show" | "where" => &[],
        "edit" => &["--reason", "x", "--type", "order.edited"],
        "forget" => &["--reason", "x", "--yes"],
        _ => &["--reason", "x"],
    };
    let arguments = [&[command, &id], more].concat();
    Ok(arguments.into_iter().map(ToOwned::to_owned).collect())
}

/// Everything in the tables.
async fn contents(outbox: &Outbox) -> anyhow::Result<String> {
    let query = "SELECT (SELECT json_agg(o ORDER BY id) FROM outbox AS o)::text || (SELECT json_agg(a ORDER BY id) FROM outbox_audit AS a)::text";
    let row = outbox.sql.query_one(query, &[]).await?;
    Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
}

#[tokio::test]
async fn each_role_may_run_the_commands_that_the_documentation_says() -> anyhow::Result<()> {
    let documented = documented()?;
    let program = outbox_relay::Cli::command();
    let commands = program.get_subcommands().map(clap::Command::get_name);
    let commands: BTreeSet<&str> = commands.filter(|name| !OTHERS.contains(name)).collect();
    let listed: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(listed, commands, "the table names every command");

    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let admin = outbox.person("outbox_admin").await?;
    let folder = TempFolder::new()?;
    let inboxes = write_inboxes(&outbox, &folder).await?;
    for role in ROLES {
        let url = outbox.person(role).await?;
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
            ("OUTBOX_ACTOR", "alice"),
        ];
        for (command, may) in &documented {
            let arguments = prepare(&outbox, &admin, &inboxes, command).await?;
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let before = contents(&outbox).await?;
            let ended = outbox_relay(&arguments, &settings).await?;
            if may.contains(role) {
                assert_eq!(ended.code, Some(0), "{role} {command}: {ended:?}");
                continue;
            }
            assert_eq!(ended.code, Some(1), "{role} {command}: {ended:?}");
            // The least of the roles that may.
            let needed = ROLES.into_iter().find(|role| may.contains(role)).context("a role")?;
            let grant = format!("GRANT {needed} TO \"person_of_{role}\";");
            assert!(ended.err.contains("permission denied"), "{ended:?}");
            assert!(ended.err.contains(&grant), "{role} {command}: {ended:?}");
            assert_eq!(contents(&outbox).await?, before, "{role} {command}");
        }
    }
    Ok(())
}

/// Checks that each statement is rejected for lack of a privilege, and for nothing else.
async fn refuses(session: &Client, statements: &[&str]) -> anyhow::Result<()> {
    for statement in statements {
        let error = session.batch_execute(statement).await;
        let error = error.err().with_context(|| format!("it was allowed: {statement}"))?;
        ensure!(error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
    Ok(())
}

/// What no person may do.
const NOBODY: [&str; 16] = [
    "UPDATE outbox SET published_at = now()",
    "UPDATE outbox SET attempts = 0",
    "UPDATE outbox SET last_error = NULL",
    "UPDATE outbox SET event_id = gen_random_uuid()",
    "UPDATE outbox SET aggregate_id = 'x'",
    "UPDATE outbox SET created_at = now()",
    "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at) VALUES ('a', 'b', 'c', '{}', now())",
    "TRUNCATE outbox",
    "DELETE FROM outbox_audit",
    "TRUNCATE outbox_audit",
    "UPDATE outbox_audit SET reason = 'x'",
    "UPDATE outbox_audit SET actor = 'x'",
    "INSERT INTO outbox_audit (actor, action, db_user) VALUES ('x', 'retry', 'somebody')",
    "INSERT INTO outbox_audit (actor, action, happened_at) VALUES ('x', 'retry', now())",
    "DELETE FROM outbox_unsettled",
    "DROP TABLE outbox",
];

/// What an administrator may do and an operator may not.
const ADMINS: [&str; 4] = [
    "DELETE FROM outbox",
    "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at)
     VALUES (gen_random_uuid(), 'a', 'b', 'c', '{}', '{}', now())",
    "UPDATE outbox_audit SET event = NULL, detail = NULL, reason = NULL",
    "SELECT FROM outbox FOR UPDATE; DELETE FROM outbox",
];

/// What an operator may do and a viewer may not.
const OPERATORS: [&str; 3] = [
    "UPDATE outbox SET event_type = 'x', payload = '{}', headers = '{}', next_attempt_at = now()",
    "SELECT FROM outbox FOR NO KEY UPDATE",
    "INSERT INTO outbox_audit (actor, action, reason, event_id, event, detail, operation_id)
     VALUES ('x', 'edit', 'x', gen_random_uuid(), '{}', '{}', gen_random_uuid())",
];

#[tokio::test]
async fn a_role_may_do_what_its_commands_take_and_nothing_else() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add(&outbox, "7", None).await?;
    let audit =
        "INSERT INTO outbox_audit (actor, action, reason) VALUES ('x', 'retry', 'a reason')";
    outbox.sql.batch_execute(audit).await?;
    let mut sessions = Vec::new();
    for role in ROLES {
        let session = connect(&outbox.person(role).await?).await?;
        refuses(&session, &NOBODY).await.context(role)?;
        let views = "SELECT FROM outbox, outbox_audit, outbox_unsettled, outbox_pending, outbox_stuck, outbox_failures,
                                 outbox_lag, outbox_relays, outbox_published_last_minute";
        session.batch_execute(views).await.context(role)?;
        sessions.push(session);
    }
    let [viewer, operator, admin] = &sessions[..] else { anyhow::bail!("three roles") };
    refuses(viewer, &OPERATORS).await?;
    refuses(viewer, &ADMINS).await?;
    refuses(operator, &ADMINS).await?;
    for statement in OPERATORS {
        operator.batch_execute(statement).await.context(statement)?;
        admin.batch_execute(statement).await.context(statement)?;
    }
    for statement in ADMINS {
        admin.batch_execute(statement).await.context(statement)?;
    }
    let rights = "SELECT count(*) FROM pg_roles
                  WHERE rolname IN ('outbox_viewer', 'outbox_operator', 'outbox_admin')
                    AND NOT (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)";
    assert_eq!(outbox.count(rights, &[]).await?, 3);
    Ok(())
}
