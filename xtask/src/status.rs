//! `status`: shows the processes and the backlog.

use std::process::ExitCode;

use serde::Serialize;
use url::Url;

use crate::plan::Addresses;
use crate::process_name::Name;
use crate::ready::{Health, health};
use crate::state::{State, own_postgres, own_rabbitmq};
use crate::terminal::{bold, green, line, red};

#[derive(Serialize)]
struct Status {
    processes: Vec<Row>,
    backlog: Backlog,
}

#[derive(Serialize)]
struct Row {
    process: &'static str,
    pid: Option<u32>,
    port: u16,
    /// `ready`, or the reason why not.
    health: String,
}

/// `None` where it is unknown.
#[derive(Serialize)]
struct Backlog {
    /// Pending events.
    outbox_pending: Option<i64>,
    /// Messages in the consumer's queue, ready and unacknowledged; RabbitMQ counts every 5 s.
    customer_orders_count: Option<u64>,
}

const READY: &str = "ready";

pub(crate) async fn status(json: bool) -> anyhow::Result<ExitCode> {
    let state = State::of_running_stack()?;
    let status =
        Status { processes: rows(&state).await?, backlog: backlog(state.addresses.as_ref()).await };
    if json {
        line(&serde_json::to_string_pretty(&status)?);
    } else {
        show(&status);
    }
    let all_ready = status.processes.iter().all(|row| row.health == READY);
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rows(state: &State) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if state.own_postgres {
        let server = own_postgres()?;
        let pid = server.process().map(|process| process.pid);
        let answers = connect(&server.url("postgres")).await.is_some();
        let port = server.access().port;
        rows.push(Row { process: Name::Postgres.text(), pid, port, health: word(pid, answers) });
    }
    if state.own_rabbitmq {
        let server = own_rabbitmq()?;
        let pid = server.process().map(|process| process.pid);
        let management = stack::Management::new(&server.access().management_url())?;
        let answers = management.get("/api/overview").await.is_ok();
        let port = server.access().amqp_port;
        rows.push(Row { process: Name::Rabbitmq.text(), pid, port, health: word(pid, answers) });
    }
    let http = stack::http_client()?;
    for service in &state.services {
        let pid = service.alive().map(|process| process.pid);
        let health = match health(&http, &service.command.ops).await {
            Health::NotReady(why) if pid.is_some() => format!("not ready: {why}"),
            answer => word(pid, matches!(answer, Health::Ready)),
        };
        rows.push(Row { process: service.name.text(), pid, port: service.command.port, health });
    }
    Ok(rows)
}

fn word(pid: Option<u32>, answers: bool) -> String {
    match (pid, answers) {
        (None, _) => "ended",
        (Some(_), true) => READY,
        (Some(_), false) => "does not answer",
    }
    .to_owned()
}

async fn backlog(addresses: Option<&Addresses>) -> Backlog {
    let Some(at) = addresses else {
        return Backlog { outbox_pending: None, customer_orders_count: None };
    };
    Backlog {
        outbox_pending: pending(&at.order_database).await,
        customer_orders_count: depth(at).await,
    }
}

async fn pending(order_database: &str) -> Option<i64> {
    let client = connect(order_database).await?;
    let count = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    client.query_one(count, &[]).await.ok()?.try_get(0).ok()
}

async fn depth(at: &Addresses) -> Option<u64> {
    let vhost = Url::parse(&at.rabbitmq).ok()?.path().trim_start_matches('/').to_owned();
    let vhost = if vhost.is_empty() { "%2f" } else { &vhost };
    let management = stack::Management::new(at.rabbitmq_management.as_deref()?).ok()?;
    let queue = management.get(&format!("/api/queues/{vhost}/customer.orders_count")).await;
    queue.ok()??["messages"].as_u64()
}

pub(crate) async fn connect(url: &str) -> Option<tokio_postgres::Client> {
    let connecting = tokio_postgres::connect(url, tokio_postgres::NoTls);
    let timeout = std::time::Duration::from_secs(5);
    let (client, connection) = tokio::time::timeout(timeout, connecting).await.ok()?.ok()?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    Some(client)
}

fn show(status: &Status) {
    line(&bold(&format!("{:19} {:>8} {:>6}  HEALTH", "PROCESS", "PID", "PORT")));
    for row in &status.processes {
        let pid = row.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let health = if row.health == READY { green(&row.health) } else { red(&row.health) };
        line(&format!("{:19} {pid:>8} {:>6}  {health}", row.process, row.port));
    }
    let number = |count: Option<String>| count.unwrap_or_else(|| "unknown".to_owned());
    let pending = number(status.backlog.outbox_pending.map(|n| n.to_string()));
    let depth = number(status.backlog.customer_orders_count.map(|n| n.to_string()));
    line(&format!("\n{}", bold("BACKLOG")));
    line(&format!("outbox, not yet published:   {pending}"));
    line(&format!("queue customer.orders_count: {depth}"));
}
