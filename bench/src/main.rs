#![doc = include_str!("../README.md")]
#![allow(clippy::print_stderr, reason = "progress goes there")]

mod bare_publisher;
mod collect;
mod commit_latency;
mod console;
mod consume;
mod drain;
mod draw;
mod failing_aggregate;
mod footprint;
mod history;
mod load;
mod message;
mod no_database;
mod notify;
mod open_transaction;
mod output;
mod pgbench;
mod pipeline;
mod setup;
mod single_aggregate;
mod soak;
mod suite;
mod summary;
mod usage;
mod wal;

use anyhow::ensure;
use clap::{Parser, Subcommand};

use open_transaction::{OpenTransaction, OtherSession};

/// Measures the pipeline against limits, on private servers with their durable defaults.
///
/// Each result is one line of JSON with a ratio; a run in which an event was lost has none. The
/// times are those of a machine with two cores; every size can be chosen.
#[derive(Debug, Parser)]
#[command(version)]
struct Bench {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// All of the pipeline beside its limits, as a table with its goals: what `cargo xtask bench`
    /// runs (half an hour; 4 minutes with --quick)
    Suite(suite::SuiteArgs),
    /// The relay drains a backlog; the limit is a bare publisher of the same messages (4 minutes)
    Drain(drain::Drain),
    /// One aggregate with a long backlog; the limit is a bare publisher that sends one message at a
    /// time (4 minutes)
    #[command(name = "hot")]
    SingleAggregate(single_aggregate::SingleAggregate),
    /// From commit to confirm, with events coming in at a steady pace; the floor is a bare
    /// publisher (1 minute)
    #[command(name = "trickle")]
    CommitLatency(commit_latency::CommitLatency),
    /// What other aggregates lose while a failing one has a long backlog (2 minutes)
    #[command(name = "held")]
    FailingAggregate(failing_aggregate::FailingAggregate),
    /// What published rows in the table cost a drain and an idle relay's polls (10 minutes)
    History(history::History),
    /// Events pass through while another session holds a snapshot: the last tenth's rate to the
    /// first's (4 minutes)
    Snapshot(OpenTransaction),
    /// The same beside a transaction that has written an event, which must not be lost (4 minutes)
    Writer(OpenTransaction),
    /// Write-ahead log, dead rows and CPU time of PostgreSQL for each event (2 minutes)
    Wal(wal::Wal),
    /// The consumer counts what waits in its queue; the limits are a bare consumer, and pgbench
    /// with one event at a time (4 minutes)
    Consume(consume::Consume),
    /// The collector turns a dead-letter queue into rows; the limits are a bare consumer, and COPY
    /// of the same rows (2 minutes)
    Collect(collect::Collect),
    /// How long the console's pages take beside many rows, and what ten consoles that are open cost
    /// a drain (15 minutes, 15 GB of disk): what `cargo xtask bench console` runs
    Console(console::Console),
    /// Memory, CPU time and statements of a relay, idle and with much to do (5 minutes)
    Footprint(footprint::Footprint),
    /// Half of the orders that the pipeline sustains, for two hours, with a fault each minute: what
    /// processes and tables use must not grow. What `cargo xtask soak` runs
    Soak(soak::Soak),
    /// What LISTEN/NOTIFY would cost the writers and gain over polling (5 minutes)
    Notify(notify::Notify),
    /// The limit of an HTTP service, which the suite starts
    #[command(hide = true)]
    NoDatabase(no_database::NoDatabase),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let measure = Bench::parse().measure;
    // A soak looks for growth, whatever the speed.
    ensure!(
        !cfg!(debug_assertions) || matches!(measure, Measure::Soak(_)),
        "a debug build measures nothing: cargo run --release -p bench -- drain"
    );
    match measure {
        Measure::Consume(consume) => consume.run().await,
        Measure::Collect(collect) => collect.run().await,
        Measure::Console(console) => console.run().await,
        Measure::Drain(drain) => drain.run().await,
        Measure::SingleAggregate(measure) => measure.run().await,
        Measure::CommitLatency(measure) => measure.run().await,
        Measure::FailingAggregate(measure) => measure.run().await,
        Measure::History(history) => history.run().await,
        Measure::Snapshot(beside) => beside.run("snapshot", OtherSession::HoldsSnapshot).await,
        Measure::Writer(beside) => beside.run("writer", OtherSession::HasWritten).await,
        Measure::Wal(wal) => wal.run().await,
        Measure::Footprint(footprint) => footprint.run().await,
        Measure::Soak(soak) => soak.run().await,
        Measure::Notify(notify) => notify.run().await,
        Measure::Suite(suite) => suite.run().await,
        Measure::NoDatabase(limit) => limit.run().await,
    }
}
