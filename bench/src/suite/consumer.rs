//! The consumer counts what waits, beside one that only takes and acknowledges, and beside one transaction for each event.

use super::Suite;
use super::orders::CUSTOMERS;
use super::row::{Goal, Row};
use crate::consume::{Customers, Orders, Program, one_by_one, take};
use crate::spread::{Spread, grouped};

/// Of the bare consumer, which acknowledges each quarter of it.
const PREFETCH: u16 = 2000;

/// pgbench's clients; one of these numbers suits the machine best.
const CLIENTS: [u32; 3] = [4, 16, 64];

/// Events a second, round by round.
struct Rates {
    ours: Vec<f64>,
    bare: Vec<f64>,
    one_by_one: Option<f64>,
}

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let part = "consumer";
    let many = rates(suite, CUSTOMERS, 0, true).await?;
    let bare = ("bare consumer", many.bare.as_slice());
    suite.rows.push(
        Row::beside(part, "events of 1,000 customers counted", &many.ours, "/s", bare)
            .with_goal(Goal::AtLeast(0.8)),
    );
    if let Some(one_by_one) = many.one_by_one {
        let limit = vec![one_by_one; many.ours.len()];
        let what = "events of 1,000 customers counted";
        suite.rows.push(
            Row::beside(part, what, &many.ours, "/s", ("pgbench, one event each", &limit))
                .with_goal(Goal::AtLeast(5.0)),
        );
    }
    if suite.sizes.name == "quick" {
        return Ok(());
    }
    let one = rates(suite, 1, 0, false).await?;
    suite.rows.push(
        Row::beside(
            part,
            "events of one customer counted",
            &one.ours,
            "/s",
            ("bare consumer", &one.bare),
        )
        .with_goal(Goal::AtLeast(0.8)),
    );
    let history = suite.sizes.history.last().copied().unwrap_or_default();
    let remembered = rates(suite, CUSTOMERS, history, false).await?;
    let empty: Spread = many.ours.iter().copied().collect();
    let empty = vec![empty.median(); remembered.ours.len()];
    suite.rows.push(
        Row::beside(
            part,
            format!("with {} events counted before", grouped(history)),
            &remembered.ours,
            "/s",
            ("with none (median)", &empty),
        )
        .with_goal(Goal::AtLeast(0.9)),
    );
    Ok(())
}

async fn rates(
    suite: &Suite<'_>,
    number: usize,
    history: i64,
    also_one_by_one: bool,
) -> anyhow::Result<Rates> {
    let events = suite.sizes.consume;
    let program = Program::new(Some(suite.programs.customer_service.clone()), Vec::new())?;
    let (customers, orders) = tokio::try_join!(
        Customers::new(suite.servers, number, &program),
        Orders::new(suite.servers)
    )?;
    program.declare(&customers, &orders).await?;
    orders.bind_bare().await?;
    suite.progress.say(&format!("consumer: {} events of the past", grouped(history)));
    customers.remember(usize::try_from(history)?).await?;
    let mut rates = Rates { ours: Vec::new(), bare: Vec::new(), one_by_one: None };
    for round in 0..suite.sizes.rounds {
        let say = |what: &str| {
            let rounds = suite.sizes.rounds;
            let of = if number == 1 { "one customer" } else { "1,000 customers" };
            suite.progress.say(&format!("consumer: {of}, round {} of {rounds}: {what}", round + 1));
        };
        say("publishing");
        orders.publish(events, number).await?;
        for ours_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
            if !ours_is_next {
                say("bare consumer");
                rates.bare.push(take(&orders.url, PREFETCH, events).await?.per_second);
                continue;
            }
            say("consumer");
            customers.calm().await?;
            let counted = customers.counted().await? + events;
            let run = program.count(suite.servers, &customers, &orders, 1, counted).await?;
            customers.check(counted).await?;
            orders.check_empty().await?;
            rates.ours.push(events as f64 / run.seconds);
        }
    }
    if also_one_by_one {
        let seconds = suite.sizes.try_clients * 2;
        let mut best: f64 = 0.0;
        for clients in CLIENTS {
            suite.progress.say(&format!("consumer: pgbench, one event each, {clients} clients"));
            best = best.max(one_by_one(&customers).run(clients, seconds).await?.per_second);
        }
        rates.one_by_one = Some(best);
    }
    Ok(rates)
}
