//! The whole pipeline with various settings of databases and roles, and policies of the broker: an
//! order is counted, and then no connection is lost while the pipeline is idle.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use pipeline_tests::metrics::metrics;
use pipeline_tests::order_api::{CUSTOMER, order};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::{Pipeline, connect, orders_count};
use serde_json::{Value, json};
use stack::{Database, Management};

/// The longest idle timeout among these settings.
const IDLE: Duration = Duration::from_secs(1);

/// Settings of a database or a role.
const SETTINGS: [&[&str]; 14] = [
    &["statement_timeout = '1s'", "lock_timeout = '50ms'"],
    &["idle_session_timeout = '1s'"],
    &["idle_in_transaction_session_timeout = '250ms'", "transaction_timeout = '1s'"],
    &["default_transaction_isolation = 'serializable'"],
    &["default_transaction_isolation = 'repeatable read'", "default_transaction_deferrable = on"],
    &["TimeZone = 'Asia/Kathmandu'", "DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'"],
    &["bytea_output = 'escape'", "extra_float_digits = -15", "xmloption = 'document'"],
    &["client_encoding = 'LATIN1'", "standard_conforming_strings = off"],
    &["quote_all_identifiers = on", "row_security = off", "array_nulls = off"],
    &["search_path = pg_catalog, public"],
    &["enable_indexscan = off", "enable_indexonlyscan = off", "enable_nestloop = off"],
    &["plan_cache_mode = 'force_custom_plan'", "jit = on", "jit_above_cost = 0"],
    &["work_mem = '64kB'", "transform_null_equals = on", "geqo_threshold = 2"],
    &["synchronous_commit = off"],
];

/// Policies, each for all of the consumer's queues and exchanges.
fn policies() -> [Value; 6] {
    [
        json!({"max-length": 100_000, "overflow": "reject-publish"}),
        json!({"max-length-bytes": 1_000_000_000}),
        json!({"delivery-limit": 5}),
        json!({"message-ttl": 60_000}),
        json!({"dead-letter-exchange": "elsewhere", "dead-letter-routing-key": "lost"}),
        json!({"alternate-exchange": "unrouted"}),
    ]
}

/// The database or role that the settings are for.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Database,
    /// Each role that a program logs in as.
    Role,
}

async fn set(database: &Database, whose: Whose, settings: &[&str]) -> anyhow::Result<()> {
    let sql = connect(&database.url).await?;
    for setting in settings {
        let known = setting.split(' ').next().unwrap_or_default();
        let query = "SELECT count(*) FROM pg_settings WHERE lower(name) = lower($1)";
        if sql.query_one(query, &[&known]).await?.get::<_, i64>(0) == 0 {
            continue;
        }
        let name = &database.name;
        let roles = match whose {
            Whose::Database => vec![format!("DATABASE \"{name}\"")],
            Whose::Role => ["CURRENT_USER", "outbox_relay"]
                .map(|role| format!("ROLE {role} IN DATABASE \"{name}\""))
                .to_vec(),
        };
        for role in roles {
            let alter = format!("ALTER {role} SET {setting}");
            sql.batch_execute(&alter).await.context(alter)?;
        }
    }
    // Existing sessions must be replaced.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sql.query_one(end, &[]).await?;
    Ok(())
}

/// Restarts a pipeline with these settings and this policy, and checks that it works.
async fn works_under(whose: Whose, settings: &[&str], policy: Option<Value>) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start().await?;
    set(&pipeline.orders, whose, settings).await?;
    set(&pipeline.customers, whose, settings).await?;
    if let Some(definition) = policy {
        let management = Management::new(&pipeline.broker.management_url)?;
        let path = format!("/api/policies/{}/foreign", pipeline.broker.name);
        let policy = json!({"pattern": ".*", "apply-to": "all", "definition": definition});
        management.put(&path, &policy).await?;
    }
    pipeline.start_again().await?;
    let programs =
        [&pipeline.order_service, &pipeline.relay, &pipeline.customer_api, &pipeline.consumer];
    let http = stack::http_client()?;
    for counted in 1..=2 {
        let post = http.post(format!("{}/api/orders", pipeline.order_url)).json(&order());
        let answer = post.send().await?;
        ensure!(answer.status() == 201, "{}", answer.text().await?);
        eventually("it is counted", async || {
            Ok(orders_count(&pipeline.customer_url, CUSTOMER).await? == counted)
        })
        .await?;
        if counted == 1 {
            tokio::time::sleep(IDLE * 3).await;
        }
    }
    for program in programs {
        let shown = metrics(program).await?;
        let connects = shown.lines().filter(|line| line.starts_with("dependency_connects_total{"));
        for line in connects {
            ensure!(line.ends_with(" 1"), "{line}: {}", program.log());
        }
    }
    Ok(())
}

/// The number tested concurrently; each takes four programs.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn the_pipeline_works_whatever_is_set_for_its_databases_and_roles() -> anyhow::Result<()> {
    let cases = SETTINGS.iter().enumerate().map(async |(number, settings)| {
        let whose = if number % 2 == 0 { Whose::Database } else { Whose::Role };
        works_under(whose, settings, None)
            .await
            .with_context(|| format!("{whose:?}: {}", settings.join(", ")))
    });
    futures_util::stream::iter(cases).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

#[tokio::test]
async fn the_pipeline_works_whatever_policy_its_broker_has() -> anyhow::Result<()> {
    let cases = policies().into_iter().map(async |policy| {
        works_under(Whose::Database, &[], Some(policy.clone()))
            .await
            .with_context(|| policy.to_string())
    });
    futures_util::stream::iter(cases).buffer_unordered(AT_ONCE).try_collect::<()>().await
}
