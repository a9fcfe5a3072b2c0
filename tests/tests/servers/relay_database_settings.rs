//! Settings of a database or role: a relay and the commands work with each of them, or report the
//! one that prevents it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use pipeline_tests::metrics::metrics;
use pipeline_tests::outbox::{Outbox, connect, eventually};
use pipeline_tests::readiness::of_postgresql;

/// Settings that a relay works with. The timeouts are short enough to take effect in a test.
const HARMLESS: [&[&str]; 27] = [
    &["statement_timeout = '250ms'"],
    &["lock_timeout = '50ms'"],
    &["idle_session_timeout = '1s'"],
    &["idle_in_transaction_session_timeout = '250ms'"],
    &["transaction_timeout = '500ms'"],
    &["default_transaction_isolation = 'serializable'"],
    &["default_transaction_isolation = 'repeatable read'", "default_transaction_deferrable = on"],
    &["TimeZone = 'Asia/Kathmandu'"],
    &["DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'"],
    &["bytea_output = 'escape'", "extra_float_digits = -15", "xmloption = 'document'"],
    &["client_encoding = 'LATIN1'"],
    &["client_encoding = 'SQL_ASCII'"],
    &["standard_conforming_strings = off", "backslash_quote = off"],
    &["quote_all_identifiers = on"],
    &["row_security = off"],
    &["array_nulls = off", "transform_null_equals = on"],
    &["search_path = pg_catalog, public"],
    &["enable_indexscan = off", "enable_indexonlyscan = off"],
    &["enable_nestloop = off", "enable_hashjoin = off", "enable_mergejoin = off"],
    &["enable_hashagg = off", "enable_material = off", "enable_memoize = off"],
    &["random_page_cost = 1000000", "cpu_index_tuple_cost = 1000000"],
    &["plan_cache_mode = 'force_custom_plan'", "cursor_tuple_fraction = 1"],
    &["jit = on", "jit_above_cost = 0", "jit_inline_above_cost = 0"],
    &["force_parallel_mode = on", "max_parallel_workers_per_gather = 8", "parallel_setup_cost = 0"],
    &["work_mem = '64kB'", "from_collapse_limit = 1", "join_collapse_limit = 1"],
    &["geqo_threshold = 2", "constraint_exclusion = on"],
    &["synchronous_commit = off", "default_text_search_config = 'simple'"],
];

/// Settings that are reported, with a part of the message.
const REPORTED: [(&str, &str); 2] = [
    ("default_transaction_read_only = on", "default_transaction_read_only is on"),
    ("search_path = 'nowhere'", "relation \"outbox\" does not exist"),
];

/// The number of settings tested concurrently, each with its own relay.
const AT_ONCE: usize = 14;

/// An outbox in whose database these settings are set, for everybody or for the relay's role only.
/// Skips those that the server does not know.
async fn outbox_with(settings: &[&str], for_role: bool) -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let name = &outbox.database.name;
    let whose = if for_role {
        format!("ROLE outbox_relay IN DATABASE \"{name}\"")
    } else {
        format!("DATABASE \"{name}\"")
    };
    for setting in settings {
        let known = setting.split(' ').next().unwrap_or_default();
        let query = "SELECT count(*) FROM pg_settings WHERE lower(name) = lower($1)";
        if outbox.count(query, &[&known]).await? == 1 {
            let alter = format!("ALTER {whose} SET {setting}");
            outbox.sql.batch_execute(&alter).await.context(alter)?;
        }
    }
    Ok(outbox)
}

/// Events are published, settled and pruned; then the relay is idle for a while, and keeps its
/// sessions.
async fn works_with(settings: &[&str], for_role: bool) -> anyhow::Result<()> {
    let outbox = outbox_with(settings, for_role).await?;
    let first = outbox.add("7", "order.created").await?;
    let relay = outbox.relay_process(&[("OUTBOX_RETENTION", "1s")]).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    let idle_since = Instant::now();
    eventually("the event is pruned", async || {
        let count = "SELECT count(*) FROM outbox WHERE id = $1";
        Ok(outbox.count(count, &[&first]).await? == 0)
    })
    .await
    .with_context(|| relay.log())?;
    for arguments in [&["check"][..], &["events"], &["retry", "--stuck", "--yes"]] {
        let ended = outbox.command(arguments).await?;
        ensure!(ended.code == Some(0), "{arguments:?}: {ended:?}");
    }
    // Three times the longest timeout.
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(idle_since.elapsed())).await;
    outbox.add("7", "order.shipped").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    ensure!(outbox.depth("all").await? == 2, "each was sent once");
    let shown = metrics(&relay).await?;
    let once = "dependency_connects_total{dependency=\"postgresql\"} 1";
    ensure!(shown.lines().any(|line| line == once), "{shown}\n{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn a_relay_and_the_commands_work_whatever_is_set_for_the_database_or_the_role()
-> anyhow::Result<()> {
    let cases = HARMLESS.iter().enumerate().map(async |(number, settings)| {
        works_with(settings, number % 2 == 0).await.with_context(|| settings.join(", "))
    });
    futures_util::stream::iter(cases).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

#[tokio::test]
async fn what_keeps_a_relay_from_working_is_reported_with_its_name() -> anyhow::Result<()> {
    for (setting, said) in REPORTED {
        let outbox = outbox_with(&[setting], false).await?;
        outbox.add("7", "order.created").await?;
        let relay = outbox.relay_process(&[]).await?;
        eventually("the reason is told", async || {
            let (ready, reason) = of_postgresql(&relay).await?;
            ensure!(!ready, "it says that it is ready");
            Ok(reason.contains(said))
        })
        .await
        .with_context(|| relay.log())?;
        let ended = outbox.command(&["check"]).await?;
        ensure!(ended.code == Some(1), "{setting}: {}", ended.out);
        assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (1, 0), "{setting}");

        let name = setting.split(' ').next().unwrap_or_default();
        let reset = format!("ALTER DATABASE \"{}\" RESET {name}", outbox.database.name);
        outbox.sql.batch_execute(&reset).await?;
        outbox.all_published().await.with_context(|| relay.log())?;
        assert_eq!(outbox.depth("all").await?, 1, "{setting}");
    }
    Ok(())
}

#[tokio::test]
async fn a_command_goes_on_after_the_server_ended_a_silent_session() -> anyhow::Result<()> {
    let outbox = outbox_with(&["idle_session_timeout = '300ms'"], true).await?;
    let program = stack::binary("outbox-relay").await?;
    // Between two polls the session is idle for longer than the timeout.
    let line = format!("{} status --watch 1s --json | head -n 3", program.display());
    let settings = [("DATABASE_URL", outbox.relay_url.as_str())];
    let shell = stack::Service::spawn("/bin/sh", ["-c", &line], settings).await?;
    ensure!(shell.wait_exit(pipeline_tests::outbox::PATIENCE).await?.success());
    ensure!(shell.log().matches("\"pending\"").count() >= 3, "{}", shell.log());
    Ok(())
}

/// The settings of the settling session, and other values for the database. The session that owns
/// the lanes has the same settings except the timeouts of statements.
const SET: [(&str, &str, &str); 36] = [
    ("statement_timeout", "5s", "1h"),
    ("lock_timeout", "1s", "1h"),
    ("idle_session_timeout", "0", "1h"),
    ("idle_in_transaction_session_timeout", "10s", "1h"),
    ("transaction_timeout", "0", "1h"),
    ("tcp_keepalives_idle", "5", "77"),
    ("tcp_keepalives_interval", "3", "77"),
    ("tcp_keepalives_count", "3", "7"),
    ("tcp_user_timeout", "12000", "77s"),
    ("client_connection_check_interval", "500ms", "0"),
    ("transaction_isolation", "read committed", ""),
    ("default_transaction_isolation", "read committed", "serializable"),
    ("default_transaction_deferrable", "off", "on"),
    ("row_security", "on", "off"),
    ("quote_all_identifiers", "off", "on"),
    ("enable_indexscan", "on", "off"),
    ("enable_nestloop", "on", "off"),
    ("enable_hashjoin", "on", "off"),
    ("seq_page_cost", "1", "77"),
    ("random_page_cost", "4", "77"),
    ("cpu_tuple_cost", "0.01", "77"),
    ("cpu_index_tuple_cost", "0.005", "77"),
    ("cpu_operator_cost", "0.0025", "77"),
    ("effective_cache_size", "4GB", "77MB"),
    ("work_mem", "4MB", "77kB"),
    ("from_collapse_limit", "8", "1"),
    ("join_collapse_limit", "8", "1"),
    ("geqo", "on", "off"),
    ("constraint_exclusion", "partition", "on"),
    ("cursor_tuple_fraction", "0.1", "1"),
    ("enable_seqscan", "off", "on"),
    ("enable_bitmapscan", "off", "on"),
    ("enable_sort", "off", "on"),
    ("max_parallel_workers_per_gather", "0", "7"),
    ("plan_cache_mode", "force_generic_plan", "force_custom_plan"),
    ("jit", "off", "on"),
];

#[tokio::test]
async fn a_relays_session_is_set_as_it_has_to_be_whatever_is_set_for_the_database()
-> anyhow::Result<()> {
    let set: Vec<String> = SET
        .iter()
        .filter(|(.., other)| !other.is_empty())
        .map(|(name, _, other)| format!("{name} = '{other}'"))
        .collect();
    let settings: Vec<&str> = set.iter().map(String::as_str).collect();
    let outbox = outbox_with(&settings, false).await?;
    // A trigger runs in the session that changes the row.
    outbox
        .sql
        .batch_execute(
            "CREATE TABLE seen (name text, setting text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO seen SELECT name, current_setting(name) FROM pg_settings;
                 RETURN NULL;
             END $$;
             GRANT INSERT ON seen TO outbox_relay;
             CREATE TRIGGER see AFTER UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION see()",
        )
        .await?;
    outbox.add("7", "order.created").await?;
    outbox.relay(&[])?.until_idle().await?;
    let rows = outbox.sql.query("SELECT name, setting FROM seen", &[]).await?;
    let seen: HashMap<&str, &str> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let wrong: Vec<_> = SET
        .iter()
        .filter_map(|(name, right, _)| Some((name, right, seen.get(name)?)))
        .filter(|(_, right, seen)| right != seen)
        .collect();
    ensure!(seen.contains_key("statement_timeout") && wrong.is_empty(), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn a_poll_waits_for_a_lock_longer_than_the_database_would_have_it() -> anyhow::Result<()> {
    let outbox =
        outbox_with(&["statement_timeout = '250ms'", "lock_timeout = '50ms'"], false).await?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    let locks = connect(&outbox.database.url).await?;
    locks.batch_execute("SET lock_timeout = 0; BEGIN; LOCK TABLE outbox").await?;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- scan_%'
                   AND clock_timestamp() - query_start > interval '1 second'";
    let waited = async {
        eventually("a look has waited for a second", async || {
            Ok(outbox.count(waits, &[]).await? >= 1)
        })
        .await?;
        anyhow::Ok(locks.batch_execute("COMMIT").await?)
    };
    let health = relay.health.clone();
    relay.work_until(waited).await.with_context(|| format!("{:?}", health.statuses()))?;
    relay.until_idle().await
}
