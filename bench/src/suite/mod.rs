//! `bench suite`: measures limits and system in one run, and prints a table of ratios with the
//! goals reached or not. `cargo xtask bench` runs it.
//!
//! Each part is a file that measures one thing: `orders` (with `write_limits`), `reads`, `relay`,
//! `consumer`, `collector`, `count_latency`, `sustained`, `history` (with `statements`). The
//! results are `row`s of the `table`, `costs` and `plots`; `latest` writes the files. `sizes` holds
//! the durations, `progress` reports them, `machine` describes the machine.

mod collector;
mod consumer;
mod costs;
mod count_latency;
mod history;
mod latest;
mod machine;
mod orders;
mod plots;
mod progress;
mod reads;
mod relay;
mod row;
mod sizes;
mod statements;
mod sustained;
mod table;
mod write_limits;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::load::{ClosedLoop, LoadResult};
use crate::output::{print_json, print_text};
use crate::pipeline::{Api, Cost, Programs};
use crate::setup::Servers;
use plots::Plots;
use progress::Progress;
use row::Row;
use sizes::Sizes;

#[derive(Debug, Args)]
pub(crate) struct SuiteArgs {
    /// Short stretches and little history: under four minutes
    #[arg(long)]
    quick: bool,
    /// More rounds, and ten million rows of history: 12 GB of disk
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Print the figures as JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Measure these parts only, and write no files unless --out is given
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// A folder with the release programs to measure instead of the checkout's, say those of an
    /// older version
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// The folder for latest.json and the plots [default: docs/benchmarks]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Orders over HTTP
    Orders,
    /// Orders that are read
    Reads,
    /// The relay
    Relay,
    /// The consumer
    Consumer,
    /// The collector of dead letters
    Desk,
    /// From an order to its count, at a small rate
    Visible,
    /// The rate that everything can follow
    Sustained,
    /// What rows of the past cost
    History,
}

/// A run and its results so far.
#[derive(Debug)]
struct Suite<'a> {
    servers: &'a Servers,
    programs: &'a Programs,
    sizes: Sizes,
    progress: Progress,
    rows: Vec<Row>,
    plots: Plots,
    costs: Vec<Value>,
    failed: Vec<Value>,
    /// The best numbers of pgbench clients: with two statements, with one.
    clients: Option<(u32, u32)>,
}

impl SuiteArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let sizes = match (self.quick, self.full) {
            (true, _) => Sizes::quick(),
            (_, true) => Sizes::full(),
            _ => Sizes::usual(),
        };
        let programs = match &self.programs {
            Some(folder) => Programs::of(folder),
            None => Programs::build()?,
        };
        let servers = Servers::start_counting().await?;
        let mut machine = machine::machine(&servers).await?;
        let before = machine::Processors::now();
        let mut suite = Suite {
            servers: &servers,
            programs: &programs,
            sizes,
            progress: Progress::new(),
            rows: Vec::new(),
            plots: Plots::new(),
            costs: Vec::new(),
            failed: Vec::new(),
            clients: None,
        };
        // Switches counting off again, as it has a cost.
        statements::Statements::begin(&servers).await?.end().await?;
        let measured = self.measure(&mut suite).await;
        machine["stolen_percent"] = machine::Processors::stolen_percent(before).into();
        let figures = latest::json(&suite, &machine);
        let out = self.out.clone();
        let out =
            out.or_else(|| self.only.is_empty().then(|| stack::root().join("docs/benchmarks")));
        if let (Some(out), Ok(())) = (&out, &measured) {
            latest::write(&suite, &figures, out)?;
        }
        let Suite { progress, rows, costs, failed, .. } = suite;
        drop(progress);
        if self.json && measured.is_ok() {
            print_json(&figures);
            return Ok(());
        }
        // What was measured before a failure may still be useful.
        print_text(&format!("{}\n\n{}\n", table::table(&rows), costs::table(&costs)));
        for failed in &failed {
            print_text(&format!("failed requests: {failed}"));
        }
        print_text(&machine::words(&machine));
        measured?;
        if let Some(out) = out {
            print_text(&format!("Figures and plots are in {}.", out.display()));
        }
        Ok(())
    }

    async fn measure(&self, suite: &mut Suite<'_>) -> anyhow::Result<()> {
        let wanted = |part| self.only.is_empty() || self.only.contains(&part);
        if wanted(Part::Orders) {
            Box::pin(orders::measure(suite)).await?;
        }
        if wanted(Part::Reads) {
            Box::pin(reads::measure(suite)).await?;
        }
        if wanted(Part::Relay) {
            Box::pin(relay::measure(suite)).await?;
        }
        if wanted(Part::Consumer) {
            Box::pin(consumer::measure(suite)).await?;
        }
        if wanted(Part::Desk) {
            Box::pin(collector::measure(suite)).await?;
        }
        if wanted(Part::Visible) {
            Box::pin(count_latency::measure(suite)).await?;
        }
        if wanted(Part::Sustained) {
            Box::pin(sustained::measure(suite)).await?;
        }
        if wanted(Part::History) {
            Box::pin(history::measure(suite)).await?;
        }
        Ok(())
    }
}

impl Suite<'_> {
    /// A closed loop of the default length.
    fn closed(&self, address: SocketAddr, connections: usize) -> ClosedLoop {
        let Sizes { warm_up, stretch: measured, .. } = self.sizes;
        ClosedLoop { address, connections, warm_up, measured, backlog_limit: None }
    }

    /// Starts the limit of an HTTP service.
    async fn no_database(&self) -> anyhow::Result<Api> {
        Api::start(&std::env::current_exe()?, &["no-database"], &[]).await
    }

    /// Records the cost of an order.
    fn cost(&mut self, load: &str, history: i64, cost: &Cost, statements: Option<f64>) {
        let mut figures = json!({ "load": load, "history": history, "statements": statements.map(crate::summary::rounded) });
        if let (Some(figures), Value::Object(cost)) = (figures.as_object_mut(), cost.json()) {
            figures.extend(cost);
        }
        self.costs.push(figures);
    }

    /// Records failed requests.
    fn failures(&mut self, what: &str, tally: &LoadResult) {
        if tally.failed() > 0 {
            self.failed.push(json!({ "what": what, "errors": tally.errors }));
        }
    }
}
