//! Measures what years of orders change: the time of a page, and the cost of an order.

use std::time::Duration;

use super::Suite;
use super::row::{Goal, Row};
use super::statements::Statements;
use crate::load::{ClosedLoop, LoadResult, OpenLoop, Requests};
use crate::pipeline::{Apis, CONNECTIONS, CUSTOMERS, Cost, Pipeline, Usage};
use crate::summary::{Summary, grouped};

/// Orders of a page.
const PAGE: i64 = 50;

/// Orders per second while their cost is measured.
const RATE: f64 = 1000.0;

/// The results with this many rows of history.
struct Level {
    rows: i64,
    page: Summary,
    cost: Cost,
    statements: Option<f64>,
}

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let mut small = Pipeline::new(suite.servers, suite.programs, CUSTOMERS).await?;
    let mut large = Pipeline::new(suite.servers, suite.programs, CUSTOMERS).await?;
    small.orders.remember(PAGE, CUSTOMERS, |_| ()).await?;
    let (small_apis, large_apis) = tokio::try_join!(small.start_apis(), large.start_apis())?;
    let mut few_rows = Vec::new();
    let mut levels = vec![Level { rows: 0, ..cost(suite, &mut large, &large_apis, 0).await? }];
    for rows in suite.sizes.history.clone() {
        grow(suite, &mut large, rows).await?;
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for round in 1..=suite.sizes.rounds {
            let rounds = suite.sizes.rounds;
            let say = |of: i64| {
                suite.progress.say(&format!(
                    "history: page of {} orders, round {round} of {rounds}",
                    grouped(of)
                ));
            };
            say(PAGE);
            few.push(page(suite, &small_apis).await?.percentile(50.0));
            say(rows);
            many.push(page(suite, &large_apis).await?.percentile(50.0));
        }
        let row = Row::beside(
            "history",
            format!("a page of 50 among {} orders, p50", grouped(rows)),
            &many,
            "ms",
            ("among 50", &few),
        );
        suite.rows.push(row.with_goal(Goal::AtMost(2.0)));
        let level = cost(suite, &mut large, &large_apis, rows).await?;
        levels.push(Level { page: many.iter().copied().collect(), ..level });
        few_rows.extend(few);
    }
    small_apis.stop().await?;
    large_apis.stop().await?;
    levels[0].page = few_rows.into_iter().collect();
    tell(suite, &levels);
    Ok(())
}

async fn grow(suite: &Suite<'_>, pipeline: &mut Pipeline<'_>, rows: i64) -> anyhow::Result<()> {
    let say = |added: i64| {
        suite.progress.say(&format!(
            "history: {} of {} orders added",
            grouped(added),
            grouped(rows)
        ));
    };
    pipeline.orders.remember(rows, CUSTOMERS, say).await?;
    let known = pipeline.customers.remembered();
    pipeline.customers.remember(usize::try_from((rows - known).max(0))?).await?;
    suite.progress.say("history: clean-up");
    pipeline.orders.calm().await
}

async fn page(suite: &Suite<'_>, apis: &Apis) -> anyhow::Result<LoadResult> {
    let load = ClosedLoop {
        measured: suite.sizes.short,
        warm_up: Duration::from_millis(300),
        ..suite.closed(apis.order_service.address, 1)
    };
    let tally = load.run(&Requests::Page).await?;
    anyhow::ensure!(tally.failed() == 0, "pages failed: {:?}", tally.errors);
    Ok(tally)
}

/// The cost of an order at a fixed rate.
async fn cost(
    suite: &mut Suite<'_>,
    pipeline: &mut Pipeline<'_>,
    apis: &Apis,
    rows: i64,
) -> anyhow::Result<Level> {
    suite.progress.say(&format!("history: {RATE} orders a second beside {} rows", grouped(rows)));
    // The first change of a page after a checkpoint writes the full page to the WAL: each level
    // begins with a checkpoint.
    pipeline.orders.calm().await?;
    pipeline.customers.calm().await?;
    let workers = pipeline.start_workers().await?;
    let statements = Statements::begin(suite.servers).await?;
    let before = Usage::by(pipeline, apis, &workers).await?;
    let load = OpenLoop {
        address: apis.order_service.address,
        rate: RATE,
        connections: CONNECTIONS,
        warm_up: Duration::ZERO,
        measured: suite.sizes.stretch,
        backlog_limit: None,
        heard: None,
    };
    let tally = load.run(&Requests::NewOrders { customers: CUSTOMERS }).await?;
    pipeline.accept(&tally.accepted);
    pipeline.settle().await?;
    let orders = tally.accepted.total;
    let cost = Usage::by(pipeline, apis, &workers).await?.since(&before, orders);
    let statements = statements.end().await?.map(|calls| calls as f64 / orders as f64);
    workers.stop().await?;
    suite.failures(&format!("history, {} rows", grouped(rows)), &tally);
    suite.cost(&format!("{RATE} orders/s"), rows, &cost, statements);
    Ok(Level { rows, page: Summary::default(), cost, statements })
}

fn tell(suite: &mut Suite<'_>, levels: &[Level]) {
    let points = |of: &dyn Fn(&Level) -> f64| -> Vec<(f64, f64)> {
        levels.iter().map(|level| (level.rows as f64, of(level))).collect()
    };
    suite.plots.history("CPU of all processes, µs", points(&|it| it.cost.cpu_of_the_pipeline()));
    suite.plots.history("write-ahead log, bytes", points(&|it| it.cost.wal));
    suite.plots.history("a page of 50, µs", points(&|it| it.page.median() * 1000.0));
    let counted: Vec<_> =
        levels.iter().filter_map(|it| Some((it.rows as f64, it.statements?))).collect();
    let [Some(first), Some(last)] = [levels.first(), levels.last()] else { return };
    let limit = [first.cost.cpu_of_the_pipeline()];
    suite.rows.push(Row::beside(
        "history",
        format!("CPU of an order beside {} rows, all processes", grouped(last.rows)),
        &[last.cost.cpu_of_the_pipeline()],
        "µs",
        ("beside none", &limit),
    ));
    if let Some(&(_, each)) = counted.first() {
        let each = [each].into_iter().collect();
        suite.rows.push(Row::alone("history", "statements an order at 1000 orders/s", each, ""));
    }
}
