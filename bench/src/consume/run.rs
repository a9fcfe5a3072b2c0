//! Runs of the consumer, each with processes of its own.

use std::time::{Duration, Instant};

use anyhow::ensure;
use stack::Service;

use super::customers::Customers;
use super::orders::Orders;
use super::program::{ConsumerProgram, TIMEOUT};
use crate::setup::Servers;
use crate::usage::{cpu, cpu_with_children, peak_memory};

/// The interval at which to check whether the consumer is done.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// From the start of the processes until the last event is counted.
    pub(crate) seconds: f64,
    /// Events per second.
    pub(crate) per_second: f64,
    /// CPU time of all consumers since their start.
    pub(crate) cpu: Duration,
    /// CPU time of PostgreSQL, including autovacuum.
    pub(crate) postgres_cpu: Duration,
    pub(crate) rabbit_cpu: Duration,
    /// The peak resident set size of a consumer, in bytes.
    pub(crate) peak_memory: u64,
}

/// Runs a consumer until it has declared its queues.
pub(crate) async fn declare(
    program: &ConsumerProgram,
    customers: &Customers,
    orders: &Orders,
) -> anyhow::Result<()> {
    let service = program.start(&customers.url, &orders.url).await?;
    service.wait_for_line("rabbitmq is reachable", TIMEOUT).await?;
    stop(&service).await
}

/// Runs this many consumers until `events` are counted.
pub(crate) async fn count(
    servers: &Servers,
    program: &ConsumerProgram,
    customers: &Customers,
    orders: &Orders,
    consumers: usize,
    events: usize,
) -> anyhow::Result<Counted> {
    let postgres = cpu_with_children(servers.postgres_pid()?)?;
    let rabbit = cpu(servers.rabbit_pid()?)?;
    let begun = Instant::now();
    let mut services = Vec::new();
    for _ in 0..consumers {
        services.push(program.start(&customers.url, &orders.url).await?);
    }
    let (mut counted, mut progress) = (0, Instant::now());
    while counted < events {
        let now = customers.counted().await?;
        if now > counted {
            (counted, progress) = (now, Instant::now());
        }
        let stalled = progress.elapsed() > TIMEOUT || !services.iter().all(Service::is_running);
        ensure!(!stalled, "{counted} of {events} counted; {}", services[0].last_lines());
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let postgres_cpu = cpu_with_children(servers.postgres_pid()?)? - postgres;
    let rabbit_cpu = cpu(servers.rabbit_pid()?)? - rabbit;
    let (mut own_cpu, mut peak) = (Duration::ZERO, 0);
    for service in &services {
        own_cpu += cpu(service.pid())?;
        peak = peak.max(peak_memory(service.pid())?);
        stop(service).await?;
    }
    let (per_second, cpu) = (events as f64 / seconds, own_cpu);
    Ok(Counted { seconds, per_second, cpu, postgres_cpu, rabbit_cpu, peak_memory: peak })
}

async fn stop(service: &Service) -> anyhow::Result<()> {
    service.sigterm()?;
    let status = service.wait_exit(TIMEOUT).await?;
    ensure!(status.success(), "the consumer ended with {status}; {}", service.last_lines());
    Ok(())
}
