//! Measures how many orders per second the whole pipeline sustains without a growing backlog.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use super::Suite;
use super::row::{Goal, Row};
use super::write_limits::{self, WriteLimit};
use crate::load::{BacklogLimit, ClosedLoop, LoadResult, OpenLoop, Requests};
use crate::pipeline::{
    Apis, BacklogSample, CONNECTIONS, CUSTOMERS, OrderDatabase, Pipeline, Usage, Workers,
    as_many_as_counted, watched,
};

/// The fraction of the found rate to try first, and of each rate that was too high to try next.
const FIRST: f64 = 0.95;
const NEXT: f64 = 0.93;
const TRIES: usize = 12;

/// A stretch no longer than this has no trial stretch before it, and the limit is not measured
/// again after it.
const SHORT: Duration = Duration::from_secs(30);

/// The share of the orders that may have piled up; less is due to batching.
const PILED_UP: f64 = 0.01;

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let limit = TwoStatements::new(suite).await?;
    let mut pipeline = Pipeline::new(suite.servers, suite.programs, CUSTOMERS).await?;
    let (apis, workers) = tokio::try_join!(pipeline.start_apis(), pipeline.start_workers())?;
    suite.progress.say("end to end: looking for the rate that everything can follow");
    let search = ClosedLoop {
        measured: suite.sizes.search,
        // The orders in progress at first are not counted yet.
        warm_up: suite.sizes.search / 4,
        ..suite.closed(apis.order_service.address, CONNECTIONS)
    };
    let mut rate = FIRST * as_many_as_counted(&mut pipeline, search).await?.per_second();
    // A rate that is too high usually fails soon: the long stretch follows only a successful short
    // one.
    let mut stretch =
        if suite.sizes.sustained > SHORT { suite.sizes.search } else { suite.sizes.sustained };
    let (mut failed, mut before) = (0, Vec::new());
    while failed < TRIES {
        let seconds = stretch.as_secs();
        let all = stretch == suite.sizes.sustained;
        if all && (before.is_empty() || stretch > SHORT) {
            before = limit.measure(suite).await?;
        }
        suite.progress.say(&format!("end to end: {rate:.0} orders a second for {seconds} s"));
        let (tally, samples) = hold(suite, &mut pipeline, (&apis, &workers), rate, stretch).await?;
        if piled_up(&samples, rate) || tally.failed() > 0 {
            failed += 1;
            rate *= NEXT;
            continue;
        }
        if !all {
            stretch = suite.sizes.sustained;
            continue;
        }
        apis.stop().await?;
        workers.stop().await?;
        let limits = [before, limit.measure(suite).await?].concat();
        let measured = vec![tally.per_second(); limits.len()];
        let what = format!("orders sustained for {seconds} s");
        suite.rows.push(
            Row::beside(
                "end to end",
                what,
                &measured,
                "/s",
                ("pgbench (a), before and after", &limits),
            )
            .with_goal(Goal::AtLeast(1.0)),
        );
        suite
            .plots
            .sustained(&points(&samples, |it| it.accepted), &points(&samples, |it| it.counted));
        return Ok(());
    }
    bail!("orders pile up at every rate down to {:.0} a second", rate / NEXT)
}

/// The limit, measured right before and right after, as the machine's speed may have changed.
struct TwoStatements {
    database: OrderDatabase,
    limit: WriteLimit,
}

impl TwoStatements {
    async fn new(suite: &Suite<'_>) -> anyhow::Result<Self> {
        let database = OrderDatabase::new(suite.servers, suite.programs).await?;
        write_limits::prepare(&database).await?;
        let mut limit = WriteLimit::two_statements(&database, CUSTOMERS);
        if let Some((two_statements, _)) = suite.clients {
            limit.clients = two_statements;
        } else {
            let say = |clients| suite.progress.say(&format!("pgbench, {clients} clients"));
            limit.choose_clients(&database, suite.sizes.try_clients, say).await?;
        }
        Ok(Self { database, limit })
    }

    /// Orders per second, twice.
    async fn measure(&self, suite: &Suite<'_>) -> anyhow::Result<Vec<f64>> {
        let seconds = u32::try_from(suite.sizes.stretch.as_secs())?;
        let mut rates = Vec::new();
        for _ in 0..2 {
            suite.progress.say("end to end: pgbench, two statements");
            rates.push(self.limit.measure(&self.database, seconds).await?);
        }
        Ok(rates)
    }
}

async fn hold(
    suite: &mut Suite<'_>,
    pipeline: &mut Pipeline<'_>,
    (apis, workers): (&Apis, &Workers),
    rate: f64,
    stretch: Duration,
) -> anyhow::Result<(LoadResult, Vec<BacklogSample>)> {
    let backlog_limit = Arc::new(BacklogLimit::new(u64::MAX));
    let load = OpenLoop {
        address: apis.order_service.address,
        rate,
        connections: CONNECTIONS,
        warm_up: suite.sizes.warm_up,
        measured: stretch,
        backlog_limit: Some(Arc::clone(&backlog_limit)),
        heard: None,
    };
    let before = Usage::by(pipeline, apis, workers).await?;
    let (requests, mut samples) = (Requests::NewOrders { customers: CUSTOMERS }, Vec::new());
    let tally = watched(pipeline, &backlog_limit, &mut samples, load.run(&requests)).await?;
    // After that no more orders are sent, and the backlog is worked off.
    let end = (load.warm_up + load.measured).as_secs_f64();
    samples.retain(|sample| sample.seconds <= end);
    pipeline.accept(&tally.accepted);
    pipeline.settle().await?;
    let cost = Usage::by(pipeline, apis, workers).await?.since(&before, tally.accepted.total);
    if stretch == suite.sizes.sustained && !piled_up(&samples, rate) && tally.failed() == 0 {
        suite.cost(&format!("{rate:.0} orders/s, sustained"), 0, &cost, None);
    }
    suite.failures(&format!("end to end, {rate:.0} orders/s"), &tally);
    Ok((tally, samples))
}

/// Whether the backlog in the last quarter of the time exceeds that of the second quarter. An order
/// counts from its due time: one that waits for a connection to the service is as late as one that
/// waits behind it.
fn piled_up(samples: &[BacklogSample], rate: f64) -> bool {
    let quarter = samples.len() / 4;
    if quarter == 0 {
        return true;
    }
    let mean = |samples: &[BacklogSample], of: &dyn Fn(&BacklogSample) -> f64| {
        samples.iter().map(of).sum::<f64>() / samples.len() as f64
    };
    let (second, last) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let backlog = |samples: &[BacklogSample]| mean(samples, &|it| rate * it.seconds - it.counted);
    let came = rate * (mean(last, &|it| it.seconds) - mean(second, &|it| it.seconds));
    backlog(last) - backlog(second) > PILED_UP * came
}

fn points(samples: &[BacklogSample], of: fn(&BacklogSample) -> f64) -> Vec<(f64, f64)> {
    samples.iter().map(|sample| (sample.seconds, of(sample))).collect()
}

#[cfg(test)]
mod tests {
    use super::{BacklogSample, piled_up};

    #[test]
    fn orders_that_come_faster_than_they_are_counted_pile_up() {
        // Everything accepted is counted at once; late orders wait in front of the service.
        let run = |counted_per_second: f64| -> Vec<BacklogSample> {
            let sample = |n: i32| {
                let seconds = f64::from(n) / 4.0;
                let counted = (counted_per_second * seconds - 30.0).max(0.0);
                BacklogSample { seconds, accepted: counted, counted }
            };
            (0..48).map(sample).collect()
        };
        assert!(!piled_up(&run(1000.0), 1000.0), "always 30 behind");
        assert!(!piled_up(&run(995.0), 1000.0), "less than a hundredth");
        assert!(piled_up(&run(980.0), 1000.0));
        assert!(piled_up(&[], 1000.0));
    }
}
