//! `bench soak`: half of the orders that the pipeline sustains, for hours, and a fault now and
//! then. What the processes and the tables use must not grow, and each order must be counted once.
//!
//! `faults` are what happens, `resources` what is read of processes and tables, `growth` judges it;
//! `report` prints and draws it.

mod faults;
mod growth;
mod report;
mod resources;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;

use crate::load::{BacklogLimit, ClosedLoop, LoadResult, OpenLoop, Requests};
use crate::pipeline::{Pipeline, Programs, Workers, as_many_as_counted};
use crate::setup::Servers;
use faults::Fault;
use report::Soaked;
use resources::{Meters, Sample};

/// Keep-alive connections to the order service.
const CONNECTIONS: usize = 64;

/// Customers, who order in turn.
const CUSTOMERS: usize = 1000;

/// For how long the rate is looked for that the pipeline sustains.
const SEARCH: Duration = Duration::from_secs(10);

/// How many samples a soak has.
const SAMPLES: u64 = 480;

/// How long it may take, after the load, until every order is counted.
const SETTLED: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// For how many seconds
    #[arg(long, default_value_t = 7200, value_parser = clap::value_parser!(u64).range(60..))]
    seconds: u64,
    /// Orders per second [default: half of what the pipeline sustains for ten seconds]
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds from one fault to the next
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..))]
    fault_every: u64,
    /// A folder with the programs to run instead of the checkout's release programs
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// The folder for soak.json and the plots
    #[arg(long, value_name = "FOLDER", default_value = "target/soak")]
    out: PathBuf,
}

impl Soak {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
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
        // So short that the tables have their final size early.
        let retention = format!("{}s", self.seconds.div_ceil(12));
        let settings = Retention { of_events: &retention };
        let workers = settings.start(&pipeline).await?;
        let meters = Meters::new(&pipeline).await?;
        eprintln!("{rate:.0} orders a second for {} s", self.seconds);
        let already = pipeline.accepted();
        let backlog_limit = Arc::new(BacklogLimit::new(u64::MAX));
        let load = OpenLoop {
            address: apis.order_service.address,
            rate,
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(self.seconds),
            backlog_limit: Some(Arc::clone(&backlog_limit)),
            heard: None,
        };
        let mut soaking = Soaking {
            pipeline: &pipeline,
            settings,
            workers,
            meters,
            backlog_limit,
            already,
            samples: Vec::new(),
            faults: Vec::new(),
        };
        let requests = Requests::NewOrders { customers: CUSTOMERS };
        let mut load = Box::pin(load.run(&requests));
        let tally = tokio::select! {
            tally = &mut load => tally?,
            failed = soaking.watch(&self, &apis) => return failed,
        };
        let Soaking { workers, samples, faults, .. } = soaking;
        let orders = settle(&pipeline, already, &tally).await?;
        workers.stop().await?;
        apis.stop().await?;
        Soaked { seconds: self.seconds, rate, orders, samples, faults, errors: tally.errors }
            .tell(&self.out)
    }
}

/// Half of the rate at which as many orders are counted as are accepted.
async fn half_of_sustained(
    pipeline: &mut Pipeline<'_>,
    address: std::net::SocketAddr,
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

/// How long relay and consumer keep what is done with.
#[derive(Debug, Clone, Copy)]
struct Retention<'a> {
    of_events: &'a str,
}

impl Retention<'_> {
    async fn start(&self, pipeline: &Pipeline<'_>) -> anyhow::Result<Workers> {
        Ok(Workers {
            consumer: pipeline.start_consumer(&self.of_consumer()).await?,
            relay: pipeline.start_relay(&self.of_relay()).await?,
        })
    }

    const fn of_consumer(&self) -> [(&str, &str); 1] {
        [("PROCESSED_EVENTS_RETENTION", self.of_events)]
    }

    const fn of_relay(&self) -> [(&str, &str); 1] {
        [("OUTBOX_RETENTION", self.of_events)]
    }
}

/// A soak under way.
struct Soaking<'a> {
    pipeline: &'a Pipeline<'a>,
    settings: Retention<'a>,
    workers: Workers,
    meters: Meters,
    backlog_limit: Arc<BacklogLimit>,
    /// Orders that were accepted and counted before.
    already: u64,
    samples: Vec<Sample>,
    /// When each happened, in seconds.
    faults: Vec<(f64, Fault)>,
}

impl Soaking<'_> {
    /// Samples and puts faults in, until it is dropped.
    async fn watch(&mut self, soak: &Soak, apis: &crate::pipeline::Apis) -> anyhow::Result<()> {
        let begun = Instant::now();
        let between = Duration::from_secs_f64(soak.seconds as f64 / SAMPLES as f64)
            .max(Duration::from_millis(500));
        let fault_every = Duration::from_secs(soak.fault_every);
        let mut next_fault = begun + fault_every;
        loop {
            if Instant::now() >= next_fault {
                next_fault += fault_every;
                let fault = Fault::numbered(self.faults.len());
                self.faults.push((begun.elapsed().as_secs_f64(), fault));
                eprintln!("{:.0} s: {}", begun.elapsed().as_secs_f64(), fault.name());
                self.put_in(fault, apis).await?;
            }
            let values = self.meters.read(apis, &self.workers).await?;
            let counted = u64::try_from(self.pipeline.customers.counted().await?)?;
            let accepted = self.already + self.backlog_limit.accepted();
            let backlog = accepted.saturating_sub(counted) as f64;
            let seconds = begun.elapsed().as_secs_f64();
            self.samples.push(Sample { seconds, backlog, values });
            tokio::time::sleep(between).await;
        }
    }
}

/// Waits until every order is counted once. Returns how many there are: an order whose answer was
/// lost may have been written.
async fn settle(pipeline: &Pipeline<'_>, already: u64, tally: &LoadResult) -> anyhow::Result<u64> {
    let orders = pipeline.orders.by_customer(CUSTOMERS).await?;
    let written: u64 = orders.iter().sum();
    let accepted = already + tally.accepted.total;
    ensure!(
        (accepted..=accepted + tally.failed()).contains(&written),
        "{accepted} orders were accepted and {} failed, but {written} are written",
        tally.failed()
    );
    let end = Instant::now() + SETTLED;
    while pipeline.customers.counted().await? < usize::try_from(written)? {
        ensure!(
            Instant::now() < end,
            "{} of {written} orders are counted after {} s",
            pipeline.customers.counted().await?,
            SETTLED.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let counts = pipeline.customers.counts().await?;
    for (number, (written, counted)) in orders.iter().zip(&counts).enumerate() {
        ensure!(
            u64::try_from(*counted) == Ok(*written),
            "customer {number} has {written} orders, and {counted} are counted"
        );
    }
    pipeline.broker.check_empty().await?;
    Ok(written)
}
