//! A round from its start to its verdict: servers, programs and data of its own.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use chaos_checker::{History as Read, Verdict};
use pipeline_tests::previous_release::PreviousRelease;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::history::History;
use crate::load::{self, Troubles};
use crate::nemesis::Nemesis;
use crate::plan::Plan;
use crate::report::Round;
use crate::samples::LastWait;
use crate::topology::Topology;
use crate::{backlog, plot, samples, tables, tap};

/// How long the end may take: retries wait, and the broker counts its messages every 5 s.
const SETTLED: Duration = Duration::from_secs(180);

/// Runs the plan that `draw` makes for the servers and programs. All that happens is in `folder`.
pub(crate) async fn run(
    folder: &Path,
    previous: Option<Arc<PreviousRelease>>,
    draw: impl FnOnce(&Topology) -> Plan,
) -> anyhow::Result<Round> {
    let (mut err, started) = (std::io::stderr(), Instant::now());
    writeln!(err, "starting PostgreSQL, a RabbitMQ cluster and the programs")?;
    let history = Arc::new(History::create(folder)?);
    let clocks = std::path::absolute(folder.join("clocks"))?;
    let topology = Arc::new(Box::pin(Topology::start(&clocks, previous)).await?);
    let plan = draw(&topology);
    plan.write(&folder.join("plan.json"))?;
    let Plan { seed, faults } = &plan;
    writeln!(
        err,
        "started after {:?}: {} faults from seed {seed}, written to {}",
        started.elapsed(),
        faults.len(),
        folder.display()
    )?;

    tap::declare(&topology.amqp_urls[0]).await?;
    let tapping = tap::consume(topology.amqp_urls.clone(), Arc::clone(&history));
    let (stop, troubles) = (CancellationToken::new(), Arc::new(Troubles::default()));
    let sending = tokio::spawn(load::send(
        Arc::clone(&topology),
        Arc::clone(&history),
        Arc::clone(&troubles),
        *seed,
        stop.clone(),
    ));
    let last_wait = LastWait::default();
    let sampling =
        samples::take(Arc::clone(&topology), Arc::clone(&history), Arc::clone(&last_wait));
    let begun = Instant::now();
    let nemesis = Nemesis { topology: Arc::clone(&topology), history, troubles, last_wait };
    let put_in = nemesis.run(&plan).await;
    drop(nemesis);
    stop.cancel();
    sending.await??;
    put_in?;
    writeln!(err, "all faults are over after {:?}: waiting for the rest", begun.elapsed())?;
    let over = Instant::now();
    topology.all_ready().await?;
    settled(&topology).await?;
    // The servers end with the topology, which the samples use.
    for task in [tapping, sampling] {
        task.abort();
        task.await.err();
    }
    tables::write(&topology, folder).await?;
    drop(topology);
    writeln!(err, "settled and stopped after {:?}", over.elapsed())?;

    plot::draw(&[folder.to_owned()], &folder.join("plot.svg"))?;
    let read = Read::read(folder)?;
    let round = Round::on(*seed, started.elapsed(), &read, Verdict::on(&read));
    round.write(folder)?;
    writeln!(err, "{round}")?;
    Ok(round)
}

/// Waits until nothing is pending and no queue has a message. What is left then is for the checker.
async fn settled(topology: &Topology) -> anyhow::Result<()> {
    let end = Instant::now() + SETTLED;
    let mut empty_since = None;
    while Instant::now() < end {
        let up_to = backlog::latest(topology).await?;
        let pending = backlog::pending(topology, up_to).await?;
        let queues = tables::queues(topology).await?;
        ensure!(queues.get(tap::QUEUE).is_some(), "the queue {} is gone", tap::QUEUE);
        // A node that has just started lists queues without the numbers of their messages.
        let is_empty = |messages: &serde_json::Value| messages.as_u64() == Some(0);
        let all_empty = queues.as_object().is_some_and(|queues| queues.values().all(is_empty));
        if pending > 0 || !all_empty {
            empty_since = None;
        } else if empty_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(11) {
            // Twice the time between two counts of the broker.
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
