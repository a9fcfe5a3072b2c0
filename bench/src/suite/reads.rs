//! Measures reading an order against a handler of the same framework without a database.

use super::Suite;
use super::row::{Goal, Row};
use crate::load::{LoadResult, Requests};
use crate::pipeline::{CONNECTIONS, CUSTOMERS, Pipeline};

/// The number of orders, which are read in turn.
const ORDERS: i64 = 1000;

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::new(suite.servers, suite.programs, CUSTOMERS).await?;
    pipeline.orders.remember(ORDERS, CUSTOMERS, |_| ()).await?;
    pipeline.orders.calm().await?;
    let requests = Requests::Orders(pipeline.orders.some_ids(ORDERS).await?);
    let (apis, no_database) = tokio::try_join!(pipeline.start_apis(), suite.no_database())?;
    let (mut ours, mut without) = (Vec::new(), Vec::new());
    for round in 0..suite.sizes.rounds {
        for ours_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
            let (what, address, runs) = if ours_is_next {
                ("order-service", apis.order_service.address, &mut ours)
            } else {
                ("the framework without a database", no_database.address, &mut without)
            };
            let rounds = suite.sizes.rounds;
            suite.progress.say(&format!("reading orders: round {} of {rounds}: {what}", round + 1));
            runs.push(suite.closed(address, CONNECTIONS).run(&requests).await?);
        }
    }
    apis.stop().await?;
    for (name, runs) in [("order-service", &ours), ("without a database", &without)] {
        for tally in runs {
            suite.failures(&format!("reading orders, {name}"), tally);
        }
    }
    let [ours, without] =
        [ours, without].map(|runs| runs.iter().map(LoadResult::per_second).collect::<Vec<f64>>());
    suite.rows.push(
        Row::beside(
            "reading",
            "GET /api/orders/{id} by 64 clients",
            &ours,
            "/s",
            ("without a database", &without),
        )
        .with_goal(Goal::AtLeast(0.5)),
    );
    Ok(())
}
