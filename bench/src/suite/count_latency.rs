//! Measures the latency from an order's 201 response to its visible count.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::Suite;
use super::row::{Goal, Row};
use crate::consume::Customers;
use crate::load::{OpenLoop, Requests};
use crate::pipeline::{CONNECTIONS, Pipeline, Usage};

/// Orders per second.
const RATE: f64 = 200.0;

/// Each has at most one order in progress.
const CUSTOMERS: usize = 10_000;

/// The interval at which to check for counted orders.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// The timeout for an order to be counted.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::new(suite.servers, suite.programs, CUSTOMERS).await?;
    let (apis, workers) = tokio::try_join!(pipeline.start_apis(), pipeline.start_workers())?;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for round in 1..=suite.sizes.rounds {
        let rounds = suite.sizes.rounds;
        suite
            .progress
            .say(&format!("end to end: round {round} of {rounds}: {RATE} orders a second"));
        let (heard, hears) = channel();
        let load = OpenLoop {
            address: apis.order_service.address,
            rate: RATE,
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            measured: suite.sizes.warm_up + suite.sizes.stretch,
            backlog_limit: None,
            heard: Some(heard),
        };
        let before = Usage::by(&pipeline, &apis, &workers).await?;
        let requests = Requests::NewOrders { customers: CUSTOMERS };
        let sending = async {
            let tally = load.run(&requests).await;
            // Closes the channel, which ends `watch`.
            drop(load);
            tally
        };
        let watching = watch(&pipeline.customers, hears, Instant::now() + suite.sizes.warm_up);
        let (tally, visible) = tokio::try_join!(sending, watching)?;
        pipeline.accept(&tally.accepted);
        pipeline.settle().await?;
        let used = Usage::by(&pipeline, &apis, &workers).await?;
        suite.failures("end to end, 200 orders/s", &tally);
        p50.push(milliseconds(&visible, 50.0));
        p99.push(milliseconds(&visible, 99.0));
        if round == rounds {
            suite.cost("200 orders/s", 0, &used.since(&before, tally.accepted.total), None);
            suite.plots.latency_of("201 to visible, 200 orders/s", &visible);
        }
    }
    apis.stop().await?;
    workers.stop().await?;
    let row =
        |what, values: Vec<f64>| Row::alone("end to end", what, values.into_iter().collect(), "ms");
    suite.rows.extend([
        row("201 to visible count at 200 orders/s, p50", p50).with_goal(Goal::AtMost(20.0)),
        row("201 to visible count at 200 orders/s, p99", p99).with_goal(Goal::AtMost(100.0)),
    ]);
    Ok(())
}

fn milliseconds(latency: &Histogram<u64>, percent: f64) -> f64 {
    latency.value_at_quantile(percent / 100.0) as f64 / 1000.0
}

/// Records when each accepted order's count becomes visible; ignores those accepted before `warm`.
async fn watch(
    customers: &Customers,
    heard: Receiver<(usize, Instant)>,
    warm: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let base = customers.counts().await?;
    let mut visible = Histogram::new_with_bounds(1, 100_000_000, 3)?;
    let mut pending: HashMap<usize, Instant> = HashMap::new();
    loop {
        let ended = loop {
            match heard.try_recv() {
                Ok((customer, at)) => drop(pending.insert(customer, at)),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        if pending.is_empty() {
            if ended {
                return Ok(visible);
            }
        } else {
            let bases: Vec<(usize, i64)> =
                pending.keys().map(|&customer| (customer, base[customer])).collect();
            for customer in customers.grown(&bases).await? {
                let now = Instant::now();
                if let Some(at) = pending.remove(&customer)
                    && at >= warm
                {
                    let microseconds = now.saturating_duration_since(at).as_micros();
                    visible.saturating_record(u64::try_from(microseconds)?.max(1));
                }
            }
            let stalled = pending.values().any(|at| at.elapsed() > TIMEOUT);
            ensure!(!stalled, "an accepted order is not counted: this run has no result");
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}
