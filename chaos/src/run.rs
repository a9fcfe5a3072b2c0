//! A run from its start to its verdict.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use chaos_checker::{History as Read, Verdict};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cli::Cli;
use crate::history::History;
use crate::load::{self, Troubles};
use crate::minimise::minimise;
use crate::plan::Plan;
use crate::topology::Topology;
use crate::{backlog, nemesis, plot, samples, tables, tap};

/// How long the end may take: retries wait, and the broker counts its messages every 5 s.
const SETTLED: Duration = Duration::from_secs(180);

/// Returns whether all guarantees held.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<bool> {
    if let Some(file) = cli.replay.as_ref().filter(|_| cli.minimise) {
        minimise(&Plan::read(file)?, &cli.out)?;
        return Ok(false);
    }
    let mut err = std::io::stderr();
    // Before the folder is emptied that may have it.
    let earlier = cli.replay.as_deref().map(Plan::read).transpose()?;
    writeln!(err, "starting PostgreSQL, a RabbitMQ cluster and the programs")?;
    let history = Arc::new(History::create(&cli.out)?);
    let clocks = std::path::absolute(history.folder.join("clocks"))?;
    let topology = Arc::new(Box::pin(Topology::start(&clocks)).await?);
    let plan = earlier.unwrap_or_else(|| {
        Plan::draw(cli.seed.unwrap_or_else(rand::random), cli.faults, cli.gap, &topology)
    });
    plan.write(&history.folder.join("plan.json"))?;
    writeln!(
        err,
        "{} faults from seed {}, written to {}",
        plan.faults.len(),
        plan.seed,
        cli.out.display()
    )?;

    tap::declare(&topology.amqp_urls[0]).await?;
    let tapping = tap::consume(topology.amqp_urls.clone(), Arc::clone(&history));
    let (stop, troubles) = (CancellationToken::new(), Arc::new(Troubles::default()));
    let sending = tokio::spawn(load::send(
        Arc::clone(&topology),
        Arc::clone(&history),
        Arc::clone(&troubles),
        plan.seed,
        stop.clone(),
    ));
    let sampling = samples::take(Arc::clone(&topology), Arc::clone(&history));
    let begun = Instant::now();
    let put_in = nemesis::run(&plan, &topology, &history, &troubles).await;
    stop.cancel();
    sending.await??;
    put_in?;
    writeln!(err, "all faults are over after {:?}: waiting for the rest", begun.elapsed())?;
    topology.all_ready().await?;
    settled(&topology).await?;
    tapping.abort();
    sampling.abort();
    tables::write(&topology, &history.folder).await?;

    plot::draw(&history.folder)?;
    let verdict = Verdict::on(&Read::read(&history.folder)?);
    let mut out = std::io::stdout();
    write!(out, "{verdict}")?;
    if verdict.holds() {
        writeln!(out, "{} faults, seed {}: every guarantee held", plan.faults.len(), plan.seed)?;
    } else {
        let again = history.folder.join("plan.json");
        writeln!(
            out,
            "NOT every guarantee held; the same faults again: --replay {}",
            again.display()
        )?;
    }
    Ok(verdict.holds())
}

/// Waits until nothing is pending and no queue has a message. What is left then is for the checker.
async fn settled(topology: &Topology) -> anyhow::Result<()> {
    let end = Instant::now() + SETTLED;
    let mut empty_since = None;
    while Instant::now() < end {
        let up_to = backlog::latest(topology).await?;
        let pending = backlog::pending(topology, up_to).await?;
        let queues = tables::queues(topology).await?;
        let left: u64 = queues
            .as_object()
            .map_or(0, |queues| queues.values().filter_map(serde_json::Value::as_u64).sum());
        ensure!(!queues[tap::QUEUE].is_null(), "the queue {} is gone", tap::QUEUE);
        if pending > 0 || left > 0 {
            empty_since = None;
        } else if empty_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(11) {
            // Twice the time between two counts of the broker.
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
