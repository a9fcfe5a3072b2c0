//! `bench soak`: half of the orders that the pipeline sustains, for hours, and a fault now and
//! then. What the processes and the tables use must not grow, and each order must be counted once.
//!
//! `run` is a soak under way, with the `retention` of its programs; `faults` are what happens,
//! `resources` what is read of processes and tables, `growth` judges it; `report` prints and draws
//! it.

mod faults;
mod growth;
mod report;
mod resources;
mod retention;
mod run;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::load::{BacklogLimit, ClosedLoop, OpenLoop, Requests};
use crate::pipeline::{CONNECTIONS, CUSTOMERS, Pipeline, Programs, as_many_as_counted};
use crate::setup::Servers;
use report::Report;
use retention::Retention;
use run::{Run, settle};

/// For how long the rate is looked for that the pipeline sustains.
const SEARCH: Duration = Duration::from_secs(10);

/// For how long events are kept at the least, in seconds: a copy that comes later is counted twice,
/// and a program that was killed takes a while to be ready.
const KEPT: u64 = 100;

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// For how many seconds
    #[arg(long, default_value_t = 7200, value_parser = clap::value_parser!(u64).range(120..))]
    seconds: u64,
    /// Orders per second [default: half of what the pipeline sustains for ten seconds]
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds from one fault to the next, at most an eighth of --seconds [default: 60, or less]
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..))]
    fault_every: Option<u64>,
    /// A folder with the programs to run instead of the checkout's release programs
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// The folder for soak.json and the plots
    #[arg(long, value_name = "FOLDER", default_value = "target/soak")]
    out: PathBuf,
}

impl Soak {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        // Both programs that are killed have to be well again before the second quarter.
        let longest = self.seconds / 8;
        let fault_every = self.fault_every.unwrap_or(longest.min(60));
        ensure!(
            fault_every <= longest,
            "--fault-every must be {longest} at the most for --seconds {}",
            self.seconds
        );
        let programs = match &self.programs {
            Some(folder) => Programs::of(folder),
            None => Programs::build()?,
        };
        let servers = Servers::start().await?;
        let mut pipeline = Pipeline::new(&servers, &programs, CUSTOMERS).await?;
        let apis = pipeline.start_apis().await?;
        let rate = match self.rate {
            Some(rate) => rate,
            None => half_of_sustained(&mut pipeline, apis.order_service.address).await?,
        };
        let retention = Retention::seconds((self.seconds / 12).max(KEPT));
        let backlog_limit = Arc::new(BacklogLimit::new(u64::MAX));
        let mut run = Run::start(&pipeline, &apis, retention, Arc::clone(&backlog_limit)).await?;
        eprintln!("{rate:.0} orders a second for {} s", self.seconds);
        let load = OpenLoop {
            address: apis.order_service.address,
            rate,
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(self.seconds),
            backlog_limit: Some(backlog_limit),
            heard: None,
        };
        let load =
            tokio::spawn(
                async move { load.run(&Requests::NewOrders { customers: CUSTOMERS }).await },
            );
        let watched = run.watch(&load, self.seconds, Duration::from_secs(fault_every)).await;
        let Run { workers, samples, faults, .. } = run;
        let mut report = Report {
            seconds: self.seconds,
            rate,
            samples,
            faults,
            accepted: 0,
            orders: None,
            errors: std::collections::BTreeMap::new(),
        };
        // What was seen until then tells why.
        report.write(&self.out)?;
        watched?;
        let tally = load.await??;
        (report.accepted, report.errors) = (tally.accepted.total, tally.errors.clone());
        // Orders whose clients have no answer are written or given up by then.
        apis.stop().await?;
        report.orders = Some(settle(&pipeline, workers, &tally).await?);
        report.write(&self.out)?;
        report.print();
        report.check()
    }
}

/// Half of the rate at which as many orders are counted as are accepted.
async fn half_of_sustained(
    pipeline: &mut Pipeline<'_>,
    address: SocketAddr,
) -> anyhow::Result<f64> {
    eprintln!("looking for the rate that everything can follow");
    let workers = pipeline.start_workers().await?;
    let search = ClosedLoop {
        address,
        connections: CONNECTIONS,
        warm_up: SEARCH / 4,
        measured: SEARCH,
        backlog_limit: None,
    };
    let sustained = as_many_as_counted(pipeline, search).await?.per_second();
    workers.stop().await?;
    Ok(sustained / 2.0)
}
