//! A run of the collector, a process of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use stack::Service;

use super::dead_letter_queue::{DEAD_LETTER_QUEUE, DeadLetterQueue};
use super::desk::Desk;
use crate::setup::Servers;
use crate::usage::{cpu, cpu_with_children, peak_memory};

/// The interval at which to check whether the collector has ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collected {
    /// Messages a second, from the start of the process until it has ended.
    pub(crate) per_second: f64,
    /// CPU time of the collector.
    pub(crate) cpu: Duration,
    /// CPU time of PostgreSQL, including autovacuum.
    pub(crate) postgres_cpu: Duration,
    pub(crate) rabbit_cpu: Duration,
    /// The peak resident set size of the collector, in bytes.
    pub(crate) peak_memory: u64,
}

/// Collects what is in the queue, which are `messages`. Fails unless each becomes one row.
pub(crate) async fn collect(
    servers: &Servers,
    program: &Path,
    settings: &[(String, String)],
    desk: &Desk,
    queue: &DeadLetterQueue,
    messages: usize,
) -> anyhow::Result<Collected> {
    let arguments = ["dead-letters", "collect", "--queue", DEAD_LETTER_QUEUE];
    let own =
        [("DEAD_LETTERS_DATABASE_URL", desk.url.as_str()), ("RABBITMQ_URL", queue.url.as_str())];
    let settings = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let postgres = cpu_with_children(servers.postgres_pid()?)?;
    let rabbit = cpu(servers.rabbit_pid()?)?;
    let begun = Instant::now();
    // Gives up below 100 messages per second.
    let patience = Duration::from_secs(60) + Duration::from_millis(10) * u32::try_from(messages)?;
    let collector = Service::spawn(program, arguments, own.into_iter().chain(settings)).await?;
    let (mut own_cpu, mut peak) = (Duration::ZERO, 0);
    while collector.is_running() {
        // What it used is not known any more when it has ended.
        if let (Ok(cpu), Ok(memory)) = (cpu(collector.pid()), peak_memory(collector.pid())) {
            (own_cpu, peak) = (cpu, memory);
        }
        ensure!(
            begun.elapsed() < patience,
            "the collector is not through after {patience:?}; {}",
            collector.last_lines()
        );
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let postgres_cpu = cpu_with_children(servers.postgres_pid()?)? - postgres;
    let rabbit_cpu = cpu(servers.rabbit_pid()?)? - rabbit;
    let status = collector.wait_exit(patience).await?;
    ensure!(status.success(), "the collector ended with {status}; {}", collector.last_lines());
    desk.check(messages).await?;
    queue.check_empty().await?;
    let per_second = messages as f64 / seconds;
    Ok(Collected { per_second, cpu: own_cpu, postgres_cpu, rabbit_cpu, peak_memory: peak })
}
