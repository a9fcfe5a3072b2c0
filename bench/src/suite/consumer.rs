//! Measures the consumer against one that only receives and acknowledges, and against one
//! transaction per event.

use super::Suite;
use super::row::{Goal, Row};
use crate::consume::{ConsumerProgram, Customers, Orders, count, declare, one_by_one, take};
use crate::pipeline::CUSTOMERS;
use crate::summary::grouped;

/// Prefetch of the bare consumer, which acknowledges each quarter of it.
const PREFETCH: u16 = 2000;

/// Numbers of pgbench clients to try; one of them suits the machine best.
const CLIENTS: [u32; 3] = [4, 16, 64];

/// Concurrent consumers.
const SEVERAL: usize = 3;

/// Events per second in each round.
struct Rates {
    ours: Vec<f64>,
    bare: Vec<f64>,
    one_by_one: Option<f64>,
}

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let part = "consumer";
    let many = rates(suite, CUSTOMERS, true).await?;
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
    let several = several(suite).await?;
    suite.rows.push(several);
    let one = rates(suite, 1, false).await?;
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
    let remembered = remembered(suite).await?;
    suite.rows.push(remembered);
    Ok(())
}

async fn rates(suite: &Suite<'_>, number: usize, also_one_by_one: bool) -> anyhow::Result<Rates> {
    let mut rates = Rates { ours: Vec::new(), bare: Vec::new(), one_by_one: None };
    let backlog = Backlog::new(suite, number, 0).await?;
    backlog.orders.bind_bare().await?;
    for round in 0..suite.sizes.rounds {
        let say = |what: &str| {
            let of = if number == 1 { "one customer" } else { "1,000 customers" };
            backlog.say(&format!("{of}, round {}: {what}", round + 1));
        };
        say("publishing");
        backlog.publish().await?;
        for ours_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
            if ours_is_next {
                say("consumer");
                rates.ours.push(backlog.count(1).await?);
            } else {
                say("bare consumer");
                let bare = take(&backlog.orders.url, PREFETCH, suite.sizes.consume).await?;
                rates.bare.push(bare.per_second);
            }
        }
    }
    if also_one_by_one {
        let seconds = suite.sizes.try_clients * 2;
        let mut best: f64 = 0.0;
        for clients in CLIENTS {
            backlog.say(&format!("pgbench, one event each, {clients} clients"));
            let each = one_by_one(&backlog.customers).run(clients, seconds).await?;
            best = best.max(each.per_second);
        }
        rates.one_by_one = Some(best);
    }
    Ok(rates)
}

/// Several consumers against one. One can saturate the machine; more must not be slower.
async fn several(suite: &Suite<'_>) -> anyhow::Result<Row> {
    let backlog = Backlog::new(suite, CUSTOMERS, 0).await?;
    let [one, more] = in_turn(suite, [(&backlog, 1), (&backlog, SEVERAL)]).await?;
    let what = format!("events counted by {SEVERAL} consumers at once");
    let row = Row::beside("consumer", what, &more, "/s", ("by one", &one));
    Ok(row.with_goal(Goal::AtLeast(0.9)))
}

/// A consumer with many recorded events against one with few.
async fn remembered(suite: &Suite<'_>) -> anyhow::Result<Row> {
    let history = suite.sizes.history.last().copied().unwrap_or_default();
    let empty = Backlog::new(suite, CUSTOMERS, 0).await?;
    let full = Backlog::new(suite, CUSTOMERS, history).await?;
    let [with_none, with_many] = in_turn(suite, [(&empty, 1), (&full, 1)]).await?;
    let what = format!("with {} events counted before", grouped(history));
    let row = Row::beside("consumer", what, &with_many, "/s", ("with none", &with_none));
    Ok(row.with_goal(Goal::AtLeast(0.9)))
}

/// Two backlogs, or one twice, each counted by this many consumers: events per second in each
/// round.
async fn in_turn(
    suite: &Suite<'_>,
    ways: [(&Backlog<'_>, usize); 2],
) -> anyhow::Result<[Vec<f64>; 2]> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..suite.sizes.rounds {
        for way in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (backlog, consumers) = ways[way];
            backlog.say(&format!("round {}: counted by {consumers}", round + 1));
            backlog.publish().await?;
            rates[way].push(backlog.count(consumers).await?);
        }
    }
    Ok(rates)
}

/// A backlog of messages, and the consumer's program.
struct Backlog<'a> {
    suite: &'a Suite<'a>,
    program: ConsumerProgram,
    number: usize,
    customers: Customers,
    orders: Orders,
}

impl<'a> Backlog<'a> {
    /// An empty backlog for `number` customers, with `history` events counted before.
    async fn new(suite: &'a Suite<'a>, number: usize, history: i64) -> anyhow::Result<Self> {
        let program =
            ConsumerProgram::new(Some(suite.programs.customer_service.clone()), Vec::new())?;
        let (customers, orders) = tokio::try_join!(
            Customers::new(suite.servers, number, &program),
            Orders::new(suite.servers)
        )?;
        declare(&program, &customers, &orders).await?;
        let backlog = Self { suite, program, number, customers, orders };
        backlog.say(&format!("{} events of the past", grouped(history)));
        backlog.customers.remember(usize::try_from(history)?).await?;
        Ok(backlog)
    }

    fn say(&self, what: &str) {
        self.suite.progress.say(&format!("consumer: {what}"));
    }

    async fn publish(&self) -> anyhow::Result<()> {
        self.orders.publish(self.suite.sizes.consume, self.number).await
    }

    /// Runs this many consumers on the backlog; returns events per second.
    async fn count(&self, consumers: usize) -> anyhow::Result<f64> {
        let Self { suite, program, customers, orders, .. } = self;
        let events = suite.sizes.consume;
        customers.calm().await?;
        let counted = customers.counted().await? + events;
        let run = count(suite.servers, program, customers, orders, consumers, counted).await?;
        customers.check(counted).await?;
        orders.check_empty().await?;
        Ok(events as f64 / run.seconds)
    }
}
