//! The order service as a process: settings, migrations, limits, logs, metrics and shutdown.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pipeline_tests::blocked_order::until_order_blocked;
use pipeline_tests::order_api::{OrderApi, accepted, count, order, problem};
use pipeline_tests::pipeline::{PATIENCE, address, connect, ready};
use pipeline_tests::raw_http::{exchange, reader};
use serde_json::Value;
use stack::{Database, Service};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

async fn fresh() -> anyhow::Result<Database> {
    stack::shared().await?.database("orders").await
}

async fn spawn(
    database: &str,
    command: &str,
    settings: &[(&str, &str)],
) -> anyhow::Result<Service> {
    let usual = [
        ("DATABASE_URL", database),
        ("CUSTOMER_CHECK", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let settings = usual.iter().chain(settings).copied();
    Service::spawn(stack::binary("order-service").await?, [command], settings).await
}

async fn output(args: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Output> {
    let mut command = Command::new(stack::binary("order-service").await?);
    Ok(command.args(args).env_clear().envs(settings.iter().copied()).output()?)
}

async fn post(url: String) -> anyhow::Result<reqwest::Response> {
    Ok(stack::http_client()?.post(format!("{url}/api/orders")).json(&order()).send().await?)
}

#[tokio::test]
async fn the_schema_can_be_left_to_the_migrate_command() -> anyhow::Result<()> {
    let database = fresh().await?;
    let service = spawn(&database.url, "serve", &[("MIGRATE_ON_START", "false")]).await?;
    let url = address(&service, "HTTP port is open").await?;
    problem(post(url.clone()).await?, 503).await?;
    service.wait_for_line("run order-service migrate", PATIENCE).await?;

    for _ in 0..2 {
        let migrate = spawn(&database.url, "migrate", &[]).await?;
        assert!(migrate.wait_exit(PATIENCE).await?.success(), "{}", migrate.last_lines());
    }
    ready(&service).await?;
    accepted(post(url).await?).await?;
    Ok(())
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_was_applied_stops_the_start() -> anyhow::Result<()> {
    let database = fresh().await?;
    let migrate = spawn(&database.url, "migrate", &[]).await?;
    assert!(migrate.wait_exit(PATIENCE).await?.success());
    let sql = connect(&database.url).await?;
    let change = "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1";
    assert_eq!(sql.execute(change, &[]).await?, 1);
    for command in ["serve", "migrate"] {
        let service = spawn(&database.url, command, &[]).await?;
        assert_eq!(service.wait_exit(PATIENCE).await?.code(), Some(1));
        let log = service.log();
        assert!(log.contains("was changed after it had been applied"), "{log}");
        assert!(log.contains("V1__orders"), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_lets_the_request_in_flight_finish() -> anyhow::Result<()> {
    let database = fresh().await?;
    // Long, so that only the lock blocks the request in flight.
    let settings = [("DATABASE_STATEMENT_TIMEOUT", "60s")];
    let service = spawn(&database.url, "serve", &settings).await?;
    ready(&service).await?;
    let url = address(&service, "HTTP port is open").await?;
    let peer = url.trim_start_matches("http://");
    // Connections that send nothing, or half a request, must not delay the shutdown.
    let _silent = TcpStream::connect(peer).await?;
    let mut halfway = TcpStream::connect(peer).await?;
    halfway.write_all(b"GET /up HTTP/1.1\r\nHo").await?;
    let mut sql = connect(&database.url).await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let in_flight = tokio::spawn(post(url.clone()));
    let begun = Instant::now();
    until_order_blocked(&lock).await?;

    service.sigterm()?;
    while TcpStream::connect(peer).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "new connections are still taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(service.is_running());
    lock.rollback().await?;
    accepted(in_flight.await??).await?;
    assert_eq!(service.wait_exit(Duration::from_secs(10)).await?.code(), Some(0));
    assert_eq!(count(&sql, "orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away_and_make_room_again() -> anyhow::Result<()> {
    let settings = ["--customer-check", "off", "--http-max-connections", "2"];
    let api = OrderApi::start_with(&settings).await?;
    let begun = Instant::now();
    // Neither of them is idle: their responses are not read.
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(reader(&api.url, "/docs", 4096).await?);
    }
    let answer = exchange(&api.url, b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let lower = answer.to_lowercase();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(lower.contains("retry-after: 1") && lower.contains("problem+json"), "{answer}");

    held.clear();
    while stack::http_client()?.get(format!("{}/up", api.url)).send().await?.status() != 200 {
        assert!(begun.elapsed() < PATIENCE, "no room again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_failure_is_logged_once_under_its_request_id_and_shown_to_nobody() -> anyhow::Result<()> {
    let database = fresh().await?;
    let service = spawn(&database.url, "serve", &[("LOG_FORMAT", "json")]).await?;
    service.wait_for_line("postgresql is reachable", PATIENCE).await?;
    let line = service.wait_for_line("HTTP port is open", PATIENCE).await?;
    let line: Value = serde_json::from_str(&line)?;
    let url = format!("http://{}", line["address"].as_str().expect("an address"));
    let sql = connect(&database.url).await?;
    let rule = "ALTER TABLE orders ADD CONSTRAINT secret_rule CHECK (quantity <> 2)";
    sql.batch_execute(rule).await?;
    let request = stack::http_client()?.post(format!("{url}/api/orders")).json(&order());
    let answer = request.header("x-request-id", "look-for-me").send().await?;
    let told = problem(answer, 500).await?.to_string();
    assert!(!told.contains("secret_rule"));

    service.wait_for_line("secret_rule", PATIENCE).await?;
    let log = service.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("secret_rule")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let line: Value = serde_json::from_str(lines[0])?;
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["request_id"], "look-for-me");
    Ok(())
}

#[tokio::test]
async fn metrics_count_calls_by_their_route_and_never_by_their_path() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let id = api.create().await?;
    api.get(&format!("/api/orders/{id}")).await?.error_for_status()?;
    api.patch(&id, "processing").await?.error_for_status()?;
    api.get("/secret-path").await?;
    api.http.request("BREW".parse()?, format!("{}/up", api.url)).send().await?;
    let text = api.http.get(format!("{}/metrics", api.ops_url)).send().await?.text().await?;
    for line in [
        r#"http_requests_total{method="POST",route="/api/orders",status="201"} 1"#,
        r#"http_requests_total{method="GET",route="/api/orders/{id}",status="200"} 1"#,
        r#"http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"http_requests_total{method="other",route="/up",status="405"} 1"#,
        r#"http_request_duration_seconds_count{method="PATCH",route="/api/orders/{id}"} 1"#,
        "orders_created_total 1",
        r#"order_status_changes_total{status="processing"} 1"#,
    ] {
        assert!(text.lines().any(|given| given == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(&id) && !text.contains("secret-path"));
    Ok(())
}

#[tokio::test]
async fn the_document_is_printed_without_settings_and_a_wrong_setting_ends_the_start()
-> anyhow::Result<()> {
    let printed = output(&["openapi"], &[]).await?;
    assert!(printed.status.success());
    assert!(String::from_utf8(printed.stdout)?.starts_with("openapi: 3"));
    let json = output(&["openapi", "--format", "json"], &[]).await?;
    assert!(serde_json::from_slice::<Value>(&json.stdout)?["paths"].is_object());

    let url = ("DATABASE_URL", "postgres://u:hunter2@h/d");
    for (settings, name) in [
        (&[][..], "DATABASE_URL"),
        (&[url, ("CUSTOMER_CHECK", "maybe")], "CUSTOMER_CHECK"),
        (&[url, ("CUSTOMER_SERVICE_URL", "here")], "CUSTOMER_SERVICE_URL"),
        (&[url, ("LISTEN_ADDR", "3000")], "LISTEN_ADDR"),
        (&[url, ("CUSTOMER_TIMEOUT", "soon")], "CUSTOMER_TIMEOUT"),
        (&[url, ("HTTP_MAX_CONNECTIONS", "0")], "HTTP_MAX_CONNECTIONS"),
    ] {
        let refused = output(&[], settings).await?;
        let words = String::from_utf8(refused.stderr)?;
        assert_eq!(refused.status.code(), Some(64), "{words}");
        assert!(
            words.starts_with(&format!("error: {name}")) && words.lines().count() == 1,
            "{words}"
        );
        assert!(!words.contains("hunter2"));
    }
    Ok(())
}
