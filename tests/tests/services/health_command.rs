//! `health`: the command for a container's health check, which needs no curl.

use std::process::Output;

use pipeline_tests::pipeline::{PATIENCE, address, ready};
use pipeline_tests::relay_role::relay_url;
use stack::Service;
use tokio::process::Command;

const NOBODY: &str = "postgres://u:hunter2@127.0.0.1:1/d";

async fn health(program: &str, ops_addr: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(stack::binary(program).await?);
    // It needs this setting only.
    Ok(command.arg("health").env_clear().env("OPS_ADDR", ops_addr).output().await?)
}

/// Starts a process that listens on all addresses, as in a container. Returns its `OPS_ADDR` and
/// the process.
async fn start(
    program: &str,
    role: &str,
    settings: &[(&str, &str)],
) -> anyhow::Result<(String, Service)> {
    let usual =
        [("LISTEN_ADDR", "127.0.0.1:0"), ("OPS_ADDR", "0.0.0.0:0"), ("CUSTOMER_CHECK", "off")];
    let settings = usual.iter().chain(settings).copied();
    let service = Service::spawn(stack::binary(program).await?, [role], settings).await?;
    let ops_addr = address(&service, "operations port is open").await?.replace("http://", "");
    assert!(ops_addr.starts_with("0.0.0.0:"), "{ops_addr}");
    Ok((ops_addr, service))
}

#[tokio::test]
async fn health_is_0_for_a_process_that_is_ready() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let (orders, customers) =
        (servers.database("health").await?, servers.database("health").await?);
    let broker = servers.vhost("health").await?;
    let broker = ("RABBITMQ_URL", broker.amqp_url.as_str());
    let (order_db, customer_db) = (orders.url.as_str(), customers.url.as_str());
    let mut running = vec![
        start("order-service", "serve", &[("DATABASE_URL", order_db)]).await?,
        start("customer-service", "api", &[("DATABASE_URL", customer_db)]).await?,
        start("customer-service", "consumer", &[("DATABASE_URL", customer_db), broker]).await?,
    ];
    ready(&running[0].1).await?;
    let sql = pipeline_tests::pipeline::connect(order_db).await?;
    let role = relay_url(&orders, &sql).await?;
    running.push(start("outbox-relay", "run", &[("DATABASE_URL", &role), broker]).await?);

    let programs = ["order-service", "customer-service", "customer-service", "outbox-relay"];
    for (program, (ops_addr, service)) in programs.into_iter().zip(&running) {
        ready(service).await?;
        let asked = health(program, ops_addr).await?;
        let told = String::from_utf8(asked.stdout)?;
        assert_eq!(asked.status.code(), Some(0), "{program}: {told}");
        assert!(told.starts_with("{\"ready\":true") && told.ends_with("}\n"), "{told}");
    }
    // The process has ended.
    let (ops_addr, service) = &running[0];
    service.sigkill()?;
    service.wait_exit(PATIENCE).await?;
    let asked = health("order-service", ops_addr).await?;
    let told = String::from_utf8(asked.stderr)?;
    assert_eq!(asked.status.code(), Some(1), "{told}");
    assert!(told.starts_with("error: no answer from 127.0.0.1:"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    Ok(())
}

#[tokio::test]
async fn health_is_1_and_says_what_is_missing_for_a_process_that_is_not_ready() -> anyhow::Result<()>
{
    let database = ("DATABASE_URL", NOBODY);
    let broker = ("RABBITMQ_URL", "amqp://u:hunter2@127.0.0.1:1");
    for (program, role, settings, missing) in [
        (
            "order-service",
            "serve",
            &[database][..],
            "\"postgresql\":{\"need\":\"required\",\"up\":false",
        ),
        ("customer-service", "api", &[database], "\"postgresql\""),
        ("customer-service", "consumer", &[database, broker], "\"rabbitmq\""),
        ("outbox-relay", "run", &[database, broker], "\"rabbitmq\""),
    ] {
        let (ops_addr, _service) = start(program, role, settings).await?;
        let asked = health(program, &ops_addr).await?;
        let told = String::from_utf8(asked.stdout)?;
        assert_eq!(asked.status.code(), Some(1), "{program} {role}: {told}");
        assert!(told.starts_with("{\"ready\":false") && told.contains(missing), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn health_is_64_for_an_address_that_cannot_be_asked() -> anyhow::Result<()> {
    for program in ["order-service", "customer-service", "outbox-relay"] {
        for wrong in ["9000", "127.0.0.1:0"] {
            let refused = health(program, wrong).await?;
            let words = String::from_utf8(refused.stderr)?;
            assert_eq!(refused.status.code(), Some(64), "{program}: {words}");
            assert!(
                words.starts_with("error: OPS_ADDR: ") && words.lines().count() == 1,
                "{words}"
            );
        }
    }
    Ok(())
}
