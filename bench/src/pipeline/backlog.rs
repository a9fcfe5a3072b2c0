//! The orders that are accepted and not counted yet, watched while load is sent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::processes::Pipeline;
use crate::load::{BacklogLimit, ClosedLoop, LoadResult, Requests};

/// The backlog limit during the search for the rate: about a second's orders.
const ON_THEIR_WAY: u64 = 4000;

/// The interval at which counted orders are sampled.
const INTERVAL: Duration = Duration::from_millis(250);

/// How many orders were accepted and counted at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BacklogSample {
    pub(crate) seconds: f64,
    pub(crate) accepted: f64,
    pub(crate) counted: f64,
}

/// Sends as many orders as are counted: what the whole pipeline sustains. The load's limit on the
/// backlog is set here.
pub(crate) async fn as_many_as_counted(
    pipeline: &mut Pipeline<'_>,
    load: ClosedLoop,
) -> anyhow::Result<LoadResult> {
    let backlog_limit = Arc::new(BacklogLimit::new(ON_THEIR_WAY));
    let load = ClosedLoop { backlog_limit: Some(Arc::clone(&backlog_limit)), ..load };
    let requests = Requests::NewOrders { customers: pipeline.customers.number };
    let tally = watched(pipeline, &backlog_limit, &mut Vec::new(), load.run(&requests)).await?;
    pipeline.accept(&tally.accepted);
    pipeline.settle().await?;
    Ok(tally)
}

/// Runs the load, and meanwhile updates the backlog limit and the samples.
pub(crate) async fn watched(
    pipeline: &Pipeline<'_>,
    backlog_limit: &BacklogLimit,
    samples: &mut Vec<BacklogSample>,
    load: impl Future<Output = anyhow::Result<LoadResult>>,
) -> anyhow::Result<LoadResult> {
    tokio::select! {
        tally = load => tally,
        failed = count(pipeline, backlog_limit, samples) => match failed {
            Err(error) => Err(error),
            Ok(never) => match never {},
        },
    }
}

async fn count(
    pipeline: &Pipeline<'_>,
    backlog_limit: &BacklogLimit,
    samples: &mut Vec<BacklogSample>,
) -> anyhow::Result<Infallible> {
    let (begun, before) = (Instant::now(), pipeline.accepted());
    loop {
        let counted = u64::try_from(pipeline.customers.counted().await?)?.saturating_sub(before);
        backlog_limit.counted(counted);
        let (seconds, accepted) = (begun.elapsed().as_secs_f64(), backlog_limit.accepted() as f64);
        samples.push(BacklogSample { seconds, accepted, counted: counted as f64 });
        tokio::time::sleep(INTERVAL).await;
    }
}
