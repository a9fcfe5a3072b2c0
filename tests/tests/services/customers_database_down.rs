//! The customer service's API during an outage of its database.

use anyhow::Context as _;
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::customer_api::{CustomerApi, customer};
use pipeline_tests::order_api::problem;
use pipeline_tests::pipeline::connect;
use serde_json::Value;
use stack::PostgresServer;

type Tested = anyhow::Result<()>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_it_says_so_and_recovers_by_itself() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let database = postgres.database("customers").await?;
    let api = CustomerApi::start(&database.url, &[]).await?;
    let id = api.create("Juan").await?["id"].as_str().context("an id")?.to_owned();

    postgres.stop_immediately().await?;
    let path = format!("/api/customers/{id}");
    problem(api.get(&path).await?, 503).await?;
    problem(api.get("/api/customers").await?, 503).await?;
    problem(api.post(&customer("Juan", "Bogotá")).await?, 503).await?;
    assert_eq!(api.get("/up").await?.status(), 200);
    let ready = async || {
        let answer = api.http.get(format!("{}/readyz", api.ops_url)).send().await?;
        anyhow::Ok(answer.status().as_u16())
    };
    until(async || Ok((ready().await? == 503).then_some(()))).await?;

    postgres.start().await?;
    api.ready().await?;
    assert_eq!(api.get(&path).await?.status(), 200);
    api.stop().await?;

    // Started before its database: the port is open, and it becomes ready by itself.
    postgres.stop_gracefully().await?;
    let api = CustomerApi::launch(&database.url, &["--seed-customers", "true"]).await?;
    assert_eq!(api.get("/up").await?.status(), 200);
    problem(api.get("/api/customers").await?, 503).await?;
    postgres.start().await?;
    api.ready().await?;
    let customers: Vec<Value> = api.get("/api/customers").await?.json().await?;
    assert_eq!(customers.len(), 4);
    api.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_given_up_in_time_and_its_connection_not_used_again() -> Tested {
    let database = stack::shared().await?.database("customers").await?;
    let settings = ["--database-statement-timeout", "200ms", "--database-pool-size", "1"];
    let api = CustomerApi::start(&database.url, &settings).await?;
    let sql = connect(&database.url).await?;
    sql.batch_execute("BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await?;
    problem(api.get("/api/customers").await?, 503).await?;
    sql.batch_execute("COMMIT").await?;
    assert_eq!(api.get("/api/customers").await?.status(), 200);

    let backend = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'customer-service api'
                     AND query LIKE '-- list_customers%'";
    let backend: i32 = sql.query_one(backend, &[]).await?.get(0);
    let backend = stack::ProcessId::of(u32::try_from(backend)?).context("no backend")?;
    backend.signal(stack::Signal::SIGSTOP)?;
    let hung = api.get("/api/customers").await;
    let after = until(async || {
        let answer = api.get("/api/customers").await?;
        Ok((answer.status() == 200).then_some(()))
    })
    .await;
    backend.signal(stack::Signal::SIGCONT)?;
    problem(hung?, 503).await?;
    after
}
