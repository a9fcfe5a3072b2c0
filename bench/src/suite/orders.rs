//! Measures orders over HTTP against `pgbench` and against the framework without a database.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::Suite;
use super::row::{Goal, Row};
use super::write_limits::{self, WriteLimit};
use crate::load::{ClosedLoop, LoadResult, OpenLoop, Requests};
use crate::pipeline::{Apis, CONNECTIONS, CUSTOMERS, OrderDatabase, PHASES, Phases, Pipeline};
use crate::summary::Summary;

/// The results of one round.
#[derive(Debug)]
struct Round {
    two_statements: f64,
    one_statement: f64,
    saturated: LoadResult,
    no_database: f64,
    alone: LoadResult,
    half: LoadResult,
    half_phases: Phases,
    half_without: LoadResult,
}

/// Measures, and returns the pipeline with all its accepted orders, which are not counted yet.
pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let limits = OrderDatabase::new(suite.servers, suite.programs).await?;
    write_limits::prepare(&limits).await?;
    let mut two = WriteLimit::two_statements(&limits, CUSTOMERS);
    let mut one = WriteLimit::one_statement(&limits, CUSTOMERS);
    for (name, limit) in [("two statements", &mut two), ("one statement", &mut one)] {
        let progress = &suite.progress;
        let say = |clients| progress.say(&format!("orders: pgbench, {name}, {clients} clients"));
        limit.choose_clients(&limits, suite.sizes.try_clients, say).await?;
    }

    let mut pipeline = Pipeline::new(suite.servers, suite.programs, CUSTOMERS).await?;
    let apis = pipeline.start_apis().await?;
    let no_database = suite.no_database().await?;
    let mut rounds = Vec::new();
    for number in 1..=suite.sizes.rounds {
        let say = |what: &str| {
            suite
                .progress
                .say(&format!("orders: round {number} of {}: {what}", suite.sizes.rounds));
        };
        let seconds = u32::try_from(suite.sizes.stretch.as_secs())?;
        say("pgbench, two statements");
        let two_statements = two.measure(&limits, seconds).await?;
        say("order-service, 64 clients");
        let saturated = saturate(suite, &mut pipeline, &apis).await?;
        say("pgbench, one statement");
        let one_statement = one.measure(&limits, seconds).await?;
        say("the framework without a database");
        let requests = Requests::NewOrders { customers: CUSTOMERS };
        let without = suite.closed(no_database.address, CONNECTIONS).run(&requests).await?;
        say("order-service, one client");
        let alone = one_client(suite, &mut pipeline, &apis).await?;
        say("order-service at half of its rate");
        let rate = saturated.per_second() / 2.0;
        let before = Phases::of(&apis.order_service).await?;
        let half = at(suite, apis.order_service.address, rate).await?;
        let half_phases = Phases::of(&apis.order_service).await?.since(&before);
        pipeline.accept(&half.accepted);
        say("the framework at that rate");
        let half_without = at(suite, no_database.address, rate).await?;
        let no_database = without.per_second();
        rounds.push(Round {
            two_statements,
            one_statement,
            saturated,
            no_database,
            alone,
            half,
            half_phases,
            half_without,
        });
    }
    apis.stop().await?;
    suite.progress.say("orders: relay and consumer count what was accepted");
    let workers = pipeline.start_workers().await?;
    pipeline.settle().await?;
    workers.stop().await?;

    suite.clients = Some((two.clients, one.clients));
    tell(suite, &rounds)
}

async fn saturate(
    suite: &Suite<'_>,
    pipeline: &mut Pipeline<'_>,
    apis: &Apis,
) -> anyhow::Result<LoadResult> {
    pipeline.orders.calm().await?;
    let load = suite.closed(apis.order_service.address, CONNECTIONS);
    let tally = load.run(&Requests::NewOrders { customers: CUSTOMERS }).await?;
    pipeline.accept(&tally.accepted);
    pipeline.orders.check(pipeline.accepted()).await?;
    Ok(tally)
}

async fn one_client(
    suite: &Suite<'_>,
    pipeline: &mut Pipeline<'_>,
    apis: &Apis,
) -> anyhow::Result<LoadResult> {
    let address = apis.order_service.address;
    let load = ClosedLoop { measured: suite.sizes.short, ..suite.closed(address, 1) };
    let tally = load.run(&Requests::NewOrders { customers: CUSTOMERS }).await?;
    pipeline.accept(&tally.accepted);
    Ok(tally)
}

/// Orders at a fixed rate.
async fn at(suite: &Suite<'_>, address: SocketAddr, rate: f64) -> anyhow::Result<LoadResult> {
    let load = OpenLoop {
        address,
        rate,
        connections: CONNECTIONS,
        warm_up: suite.sizes.warm_up,
        measured: suite.sizes.stretch,
        backlog_limit: None,
        heard: None,
    };
    load.run(&Requests::NewOrders { customers: CUSTOMERS }).await
}

fn tell(suite: &mut Suite<'_>, rounds: &[Round]) -> anyhow::Result<()> {
    let each = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    let (a, b) = suite.clients.context("no number of clients was chosen")?;
    let orders = each(|round| round.saturated.per_second());
    let part = "orders over HTTP";
    let what = "accepted by 64 clients";
    suite.rows.extend([
        Row::beside(
            part,
            what,
            &orders,
            "/s",
            (format!("pgbench (a), {a} clients"), &each(|it| it.two_statements)),
        )
        .with_goal(Goal::AtLeast(3.0)),
        Row::beside(
            part,
            what,
            &orders,
            "/s",
            (format!("pgbench (b), {b} clients"), &each(|it| it.one_statement)),
        )
        .with_goal(Goal::AtLeast(1.5)),
        Row::beside(part, what, &orders, "/s", ("without a database", &each(|it| it.no_database))),
        Row::beside(
            part,
            "p99 at half of that rate",
            &each(|it| it.half.percentile(99.0)),
            "ms",
            ("p50 of one client", &each(|it| it.alone.percentile(50.0))),
        )
        .with_goal(Goal::AtMost(5.0)),
        Row::beside(
            part,
            "p99 at half of that rate",
            &each(|it| it.half.percentile(99.0)),
            "ms",
            ("p99 without a database, at that rate", &each(|it| it.half_without.percentile(99.0))),
        ),
        Row::alone(
            part,
            "p99.9 at half of that rate",
            each(|it| it.half.percentile(99.9)).into_iter().collect::<Summary>(),
            "ms",
        ),
        Row::alone(
            part,
            "longest at half of that rate",
            each(|it| it.half.percentile(100.0)).into_iter().collect::<Summary>(),
            "ms",
        ),
        Row::alone(
            part,
            "p50 at half of that rate",
            each(|it| it.half.percentile(50.0)).into_iter().collect::<Summary>(),
            "ms",
        ),
        Row::alone(
            part,
            "p99 of 64 clients",
            each(|it| it.saturated.percentile(99.0)).into_iter().collect::<Summary>(),
            "ms",
        ),
    ]);
    tell_phases(suite, rounds);
    for round in rounds {
        for (name, tally) in [
            ("64 clients", &round.saturated),
            ("one client", &round.alone),
            ("half", &round.half),
            ("half, without a database", &round.half_without),
        ] {
            suite.failures(&format!("orders over HTTP, {name}"), tally);
        }
    }
    let last = rounds.last().context("nothing was measured")?;
    suite.plots.rate("order-service, 64 clients", &last.saturated);
    suite.plots.latency("one client", &last.alone);
    suite.plots.latency("half of the saturation rate", &last.half);
    suite.plots.latency("64 clients", &last.saturated);
    suite.plots.latency("half, without a database", &last.half_without);
    Ok(())
}

/// Adds a row for each phase of the orders at half of the rate. The order service of an earlier
/// version has no such metric: there are none then.
fn tell_phases(suite: &mut Suite<'_>, rounds: &[Round]) {
    for phase in PHASES {
        let of_rounds = rounds.iter().filter_map(|it| it.half_phases.percentile(phase, 99.0));
        let of_rounds: Summary = of_rounds.collect();
        if of_rounds.len() > 0 {
            let what = format!("p99 of the phase {phase} at half of that rate");
            suite.rows.push(Row::alone("orders over HTTP", what, of_rounds, "ms"));
        }
    }
}
