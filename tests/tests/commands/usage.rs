//! `outbox-relay` on the command line: help, exit statuses, the printed SQL, and the sessions it
//! leaves behind.

use anyhow::Context as _;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::pooler::Pooler;
use pipeline_tests::relay_command::outbox_relay;
use stack::Service;
use tokio_postgres::SimpleQueryMessage;

#[tokio::test]
async fn the_help_shows_every_command_and_how_it_ends() -> anyhow::Result<()> {
    let help = outbox_relay(&["--help"], &[]).await?;
    assert_eq!(help.code, Some(0));
    for said in ["check", "replay", "Examples:", "Exit status: 0", "DATABASE_URL"] {
        assert!(help.out.contains(said), "{said}: {}", help.out);
    }
    assert!(help.out.lines().count() < 55 && !help.out.contains('\x1b'), "{}", help.out);
    // Without a command it runs `run`.
    let run = outbox_relay(&["--relay-window", "7", "--help"], &[]).await?;
    assert!(run.out.contains("--relay-window") && run.out.contains("--ops-addr"), "{}", run.out);
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_end_with_64_and_failures_with_1() -> anyhow::Result<()> {
    let url = ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d");
    for arguments in [
        &["stauts"][..],
        &["events", "--limit", "0"],
        &["events", "--since", "yesterday"],
        &["events", "--stuck", "--published"],
        &["events", "--waiting", "--scheduled"],
        &["events", "--scheduled", "--kind", "returned"],
        &["events", "--after", "last"],
        &["events", "--after", "infinity/x"],
        &["events", "--scan-limit", "0"],
        &["audit", "--action", "publish"],
        &["audit", "--event", "7"],
        &["show", "7"],
        &["retry"],
        &["retry", "--stuck", "0190163d-8694-739b-aea5-966c26f8ad91"],
        &["discard", "0190163d-8694-739b-aea5-966c26f8ad91"],
        &["discard", "0190163d-8694-739b-aea5-966c26f8ad91", "--reason", " "],
        &["edit", "0190163d-8694-739b-aea5-966c26f8ad91", "--type", "order.edited"],
        &["edit", "0190163d-8694-739b-aea5-966c26f8ad91", "--reason", "no terminal"],
        &["restore", "0190163d-8694-739b-aea5-966c26f8ad91"],
        &["forget", "0190163d-8694-739b-aea5-966c26f8ad91", "--reason", "no terminal"],
        &["replay"],
        &["prune", "--older-than", "soon"],
        &["status", "--outbox-table", "a;b"],
    ] {
        let ended = outbox_relay(arguments, &[url]).await?;
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert!(ended.err.starts_with("error: ") && ended.out.is_empty(), "{ended:?}");
    }
    let ended = outbox_relay(&["status"], &[]).await?;
    assert_eq!(ended.code, Some(64));
    assert_eq!(ended.err, "error: DATABASE_URL is not set; see --help\n");
    let ended = outbox_relay(&["status"], &[url, ("OUTBOX_ROLE", "")]).await?;
    let said = "error: --role (OUTBOX_ROLE) is empty; give it a value or unset it\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(64), said));
    let restore = ["restore", "0190163d-8694-739b-aea5-966c26f8ad91"];
    let ended = outbox_relay(&restore, &[url]).await?;
    assert_eq!(ended.err, "error: --reason (OUTBOX_REASON) is not set; see --help\n");
    // From the environment, which other users of the machine can't read.
    let ended = outbox_relay(&restore, &[url, ("OUTBOX_REASON", "no test order")]).await?;
    assert_eq!(ended.code, Some(69), "it tries to connect: {ended:?}");

    let ended = outbox_relay(&["status"], &[url]).await?;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.err.starts_with("error: the database can't be reached: "), "{ended:?}");
    assert!(!ended.err.contains("hunter2") && ended.err.lines().count() == 1, "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_command_says_how_to_add_an_outbox_that_is_not_there() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("no_outbox").await?;
    for arguments in [&["status"][..], &["events"], &["retry", "--stuck", "--yes"], &["prune"]] {
        let ended = outbox_relay(arguments, &[("DATABASE_URL", &database.url)]).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("outbox-relay schema | psql"), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_printed_schema_makes_an_outbox_of_any_name_that_every_command_works_on()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let printed = outbox_relay(&["schema"], &[]).await?;
    assert_eq!(printed.code, Some(0));
    assert_eq!(printed.out, include_str!("../../../sql/outbox/schema.sql"));

    outbox.sql.batch_execute("CREATE SCHEMA \"Shop\"").await?;
    let table = ("OUTBOX_TABLE", "Shop.order");
    let owner = ("DATABASE_URL", outbox.database.url.as_str());
    for arguments in [&["schema"][..], &["schema", "--roles"]] {
        let sql = outbox_relay(arguments, &[table]).await?;
        assert_eq!(sql.code, Some(0), "{sql:?}");
        outbox.sql.batch_execute(&sql.out).await.with_context(|| sql.out.clone())?;
    }
    let there = outbox
        .count(
            "SELECT count(*) FROM pg_class
             WHERE relnamespace = '\"Shop\"'::regnamespace AND relkind IN ('r', 'v', 'i') AND relname LIKE 'order%'",
            &[],
        )
        .await?;
    let usual = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'i')
                 AND relname LIKE 'outbox%'";
    assert_eq!(there, outbox.count(usual, &[]).await?);

    let broker = ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str());
    let role = ("DATABASE_URL", outbox.relay_url.as_str());
    let checked = outbox_relay(&["check"], &[role, broker, table]).await?;
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    outbox
        .sql
        .batch_execute(
            "INSERT INTO \"Shop\".\"order\" (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
             VALUES ('order', '1', 'order.created', '{}', 1, 'infinity')",
        )
        .await?;
    let stuck =
        outbox_relay(&["events", "--stuck", "--json"], &[role, table]).await?.json_lines()?;
    let id = stuck[0]["event_id"].as_str().context("an id")?.to_owned();
    for arguments in [
        &["status"][..],
        &["show", &id],
        &["retry", "--stuck", "--yes"],
        &["discard", &id, "--reason", "a test"],
        &["show", &id],
        &["prune", "--older-than", "0"],
    ] {
        let ended = outbox_relay(arguments, &[role, table]).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }
    for arguments in [
        &["restore", &id, "--reason", "a test"][..],
        &["edit", &id, "--reason", "a test", "--type", "order.edited"],
        &["discard", &id, "--reason", "a test"],
        &["forget", &id, "--reason", "a test", "--yes"],
    ] {
        let ended = outbox_relay(arguments, &[owner, table]).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }
    // The audit table names the actor; the default outbox is unchanged.
    let usual = outbox_relay(&["events", "--json"], &[owner]).await?;
    assert_eq!((usual.code, usual.out.as_str()), (Some(0), ""));
    let noted = "SELECT count(*) FROM \"Shop\".order_audit";
    assert_eq!(outbox.count(noted, &[]).await?, 6);
    Ok(())
}

#[tokio::test]
async fn a_statement_that_has_to_wait_too_long_is_given_up() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.add("7", "order.created").await?;
    let pending = outbox.sql.query_one("SELECT event_id::text FROM outbox", &[]).await?;
    let pending: String = pending.get(0);
    outbox.sql.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE MODE").await?;
    let ended =
        outbox.command(&["discard", &pending, "--reason", "x", "--timeout", "300ms"]).await?;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(
        ended.err.contains("longer than 300ms") && ended.err.contains("--timeout"),
        "{ended:?}"
    );
    // Also at the server: none of its statements is waiting there.
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'outbox command%' AND wait_event_type = 'Lock'";
    assert_eq!(outbox.count(waiting, &[]).await?, 0);
    outbox.sql.batch_execute("ROLLBACK").await?;
    assert_eq!(outbox.pending().await?, 1);
    assert!(outbox.audit().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_status_that_is_watched_ends_when_nobody_reads_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let program = stack::binary("outbox-relay").await?;
    // A pipe in the shell: `head` ends after one line.
    let line = format!("{} status --watch 100ms --json | head -n 1 >/dev/null", program.display());
    let settings = [("DATABASE_URL", outbox.relay_url.as_str())];
    let shell = Service::spawn("/bin/sh", ["-c", &line], settings).await?;
    assert!(shell.wait_exit(PATIENCE).await?.success());
    eventually("the command has ended", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE application_name = 'outbox command status' AND datname = current_database()";
        Ok(outbox.count(sessions, &[]).await? == 0)
    })
    .await
}

#[tokio::test]
async fn a_command_through_a_pool_leaves_its_connections_as_they_were() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let (pooler, url) = Pooler::before(&outbox.relay_url).await?;
    for arguments in [&["check"][..], &["status"], &["events"], &["retry", "--stuck", "--yes"]] {
        let settings =
            [("DATABASE_URL", url.as_str()), ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str())];
        let ended = outbox_relay(arguments, &settings).await?;
        assert!(!ended.err.starts_with("error"), "{ended:?}");
    }
    // Each transaction of another session takes the connection that was returned last, so that all
    // are checked.
    let mut sessions = Vec::new();
    for _ in 0..pooler.idle() {
        let session = connect(&url).await?;
        session.batch_execute("BEGIN").await?;
        for (setting, usual) in [
            ("default_transaction_read_only", "off"),
            ("transaction_read_only", "off"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            ("plan_cache_mode", "auto"),
        ] {
            let row = session.simple_query(&format!("SHOW {setting}")).await?;
            let value = row.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            assert_eq!(value, Some(usual), "{setting}");
        }
        sessions.push(session);
    }
    Ok(())
}
