//! The consumer: the release program as a process, configured by environment variables.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};
use stack::Service;

use super::customers::Customers;
use super::orders::Orders;
use crate::setup::Servers;
use crate::usage::{cpu, cpu_with_children, peak_memory};

/// The interval at which to check whether the consumer is done.
const LOOK: Duration = Duration::from_millis(20);

/// The timeout for starting, for stopping, and without any progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `value_parser` for NAME=VALUE.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Events per second, from the start of the processes until the last event is counted.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// CPU time of all consumers since their start.
    pub(crate) cpu: Duration,
    /// CPU time of PostgreSQL, including autovacuum.
    pub(crate) postgres_cpu: Duration,
    pub(crate) rabbit_cpu: Duration,
    /// The peak resident set size of a consumer, in bytes.
    pub(crate) peak_memory: u64,
}

/// The program and its settings.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    settings: Vec<(String, String)>,
}

impl Program {
    /// The program at `path`, or else the checkout's, which is built.
    pub(crate) fn new(
        path: Option<PathBuf>,
        settings: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let path = match path {
            Some(path) => path,
            None => stack::build(&["customer-service"], &["--release".to_owned()])?
                .remove("customer-service")
                .context("cargo built no customer-service")?,
        };
        Ok(Self { path, settings })
    }

    /// The settings as JSON, for the result.
    pub(crate) fn settings(&self) -> Value {
        let settings = self.settings.iter();
        settings
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect::<Map<_, _>>()
            .into()
    }

    pub(crate) async fn migrate(&self, url: &str) -> anyhow::Result<()> {
        let migrate = Service::spawn(&self.path, ["migrate"], [("DATABASE_URL", url)]).await?;
        let status = migrate.wait_exit(PATIENCE).await?;
        ensure!(status.success(), "migrate ended with {status}; {}", migrate.last_lines());
        Ok(())
    }

    async fn start(&self, customers: &Customers, orders: &Orders) -> anyhow::Result<Service> {
        let own = [
            ("DATABASE_URL", customers.url.as_str()),
            ("RABBITMQ_URL", &orders.url),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Service::spawn(&self.path, ["consumer"], own.into_iter().chain(settings)).await
    }

    /// Runs a consumer until it has declared its queues.
    pub(crate) async fn declare(
        &self,
        customers: &Customers,
        orders: &Orders,
    ) -> anyhow::Result<()> {
        let service = self.start(customers, orders).await?;
        service.wait_for_line("rabbitmq is reachable", PATIENCE).await?;
        stop(&service).await
    }

    /// Runs this many consumers until `events` are counted.
    pub(crate) async fn count(
        &self,
        servers: &Servers,
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
            services.push(self.start(customers, orders).await?);
        }
        let (mut counted, mut progress) = (0, Instant::now());
        while counted < events {
            let now = customers.counted().await?;
            if now > counted {
                (counted, progress) = (now, Instant::now());
            }
            let stalled =
                progress.elapsed() > PATIENCE || !services.iter().all(Service::is_running);
            ensure!(!stalled, "{counted} of {events} counted; {}", services[0].last_lines());
            tokio::time::sleep(LOOK).await;
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
}

async fn stop(service: &Service) -> anyhow::Result<()> {
    service.sigterm()?;
    let status = service.wait_exit(PATIENCE).await?;
    ensure!(status.success(), "the consumer ended with {status}; {}", service.last_lines());
    Ok(())
}
