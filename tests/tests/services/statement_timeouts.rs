//! Statement timeouts: reads are cancelled, writes are ended by the server, and their outcome is
//! reported where it is known.

use anyhow::ensure;
use pipeline_tests::authority::Authority;
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::disconnecting_client::{send_request, waiting_for};
use pipeline_tests::order_api::{OrderApi, count, order, problem, status};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::connect;
use stack::{PostgresAccess, PostgresServer};

#[tokio::test]
async fn a_statement_whose_time_is_over_is_ended_and_what_became_of_it_is_known()
-> anyhow::Result<()> {
    let settings = ["--customer-check", "off", "--database-statement-timeout", "1s"];
    let api = OrderApi::start_with(&settings).await?;
    let mut sql = api.sql().await?;
    let watching = api.sql().await?;
    let id = api.create().await?;
    let lock = sql.transaction().await?;
    lock.execute("SELECT FROM orders WHERE id = $1::text::uuid FOR UPDATE", &[&id]).await?;
    problem(api.patch(&id, "processing").await?, 503).await?;
    assert_eq!(waiting_for(&watching, "Lock").await?, 0, "it still waits");
    lock.rollback().await?;
    assert_eq!(status(&watching, &id).await?, "created");
    assert_eq!(api.patch(&id, "processing").await?.status(), 200);
    Ok(())
}

/// If cancelled, such a commit would be local to this server, and would be reported as done.
#[tokio::test]
async fn a_commit_that_waits_for_a_standby_is_never_said_to_be_done() -> anyhow::Result<()> {
    let server = PostgresServer::start_temporary().await?;
    let database = server.database("orders").await?;
    let settings = ["--customer-check", "off", "--database-statement-timeout", "1s"];
    let api = OrderApi::launch(&database.url, &settings).await?;
    api.ready().await?;
    let id = api.create().await?;
    let sql = connect(&database.url).await?;
    let standbys = async |names: &str| -> anyhow::Result<()> {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        sql.batch_execute(&set).await?;
        sql.batch_execute("SELECT pg_reload_conf()").await?;
        eventually("it is set", async || {
            let row = sql.query_one("SHOW synchronous_standby_names", &[]).await?;
            Ok(row.get::<_, String>(0) == names)
        })
        .await
    };
    standbys("nobody").await?;
    problem(api.post(&order()).send().await?, 503).await?;
    problem(api.patch(&id, "processing").await?, 503).await?;
    // A client that disconnects does not end it either.
    drop(send_request(&api.url, "POST", "/api/orders", Some(&order())).await?);
    assert_eq!((count(&sql, "orders").await?, status(&sql, &id).await?.as_str()), (1, "created"));
    standbys("").await?;
    eventually("it is committed in the end", async || {
        Ok(count(&sql, "orders").await? >= 2 && status(&sql, &id).await? == "processing")
    })
    .await
}

#[tokio::test]
async fn statements_are_cancelled_over_tls_and_through_several_hosts_as_well() -> anyhow::Result<()>
{
    let authority = Authority::new()?;
    let client = authority.client()?;
    let tls = authority.server(&["localhost"], Some(&authority))?;
    let server = PostgresServer::start_temporary_with_tls(tls).await?;
    let database = server.database("orders").await?;
    let PostgresAccess { password, port } = server.access();
    let sql = connect(&database.url).await?;
    let (closed, right) = (ClosedPort::reserve()?, format!("localhost:{port}"));
    for hosts in [right.clone(), format!("localhost:{},{right}", closed.port())] {
        let url = format!(
            "postgres://postgres:{password}@{hosts}/{}?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
            database.name,
            authority.file(),
            client.certificate,
            client.key
        );
        let settings = ["--customer-check", "off", "--database-statement-timeout", "1s"];
        let api = OrderApi::launch(&url, &settings).await?;
        api.ready().await?;
        let id = api.create().await?;
        ensure!(!api.log().contains("pooler"), "{}", api.log());
        let mut locking = connect(&database.url).await?;
        let lock = locking.transaction().await?;
        lock.execute("SELECT FROM orders WHERE id = $1::text::uuid FOR UPDATE", &[&id]).await?;
        problem(api.patch(&id, "processing").await?, 503).await?;
        assert_eq!(waiting_for(&sql, "Lock").await?, 0, "it still waits");
        lock.rollback().await?;
    }
    Ok(())
}
