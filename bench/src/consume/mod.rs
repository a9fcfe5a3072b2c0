//! Measures how fast the consumer counts the orders in its queue.

mod bare_consumer;
mod customers;
mod one_by_one;
mod orders;
mod program;
mod run;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use crate::output::print_json;
use crate::setup::Servers;
use crate::summary::{Summary, rounded};
use run::Counted;

pub(crate) use bare_consumer::consume as take;
pub(crate) use customers::Customers;
pub(crate) use one_by_one::one_by_one;
pub(crate) use orders::{BARE_QUEUE, Orders};
pub(crate) use program::{ConsumerProgram, setting};
pub(crate) use run::{count, declare};

#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// Messages that wait, of as many new orders
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Customers that made them, in turn
    #[arg(long, default_value_t = 1000)]
    customers: usize,
    /// Events that were counted before
    #[arg(long, default_value_t = 0)]
    history: usize,
    /// Consumers at once
    #[arg(long, default_value_t = 1)]
    consumers: usize,
    /// How many times all are measured, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Prefetch of the bare consumer, which acknowledges each quarter of it
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u16).range(4..))]
    bare_prefetch: u16,
    /// Seconds of pgbench for each number of clients, 0 to leave it out
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Any setting of the consumer, as often as you like
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = program::setting)]
    settings: Vec<(String, String)>,
    /// The program to measure instead of the checkout's, say that of an older version
    #[arg(long, value_name = "PATH")]
    consumer: Option<PathBuf>,
}

impl Consume {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.events > 0 && self.rounds > 0, "there is nothing to measure");
        ensure!(self.customers > 0 && self.consumers > 0, "somebody must order, and count");
        let program = ConsumerProgram::new(self.consumer.clone(), self.settings.clone())?;
        let servers = Servers::start().await?;
        let (customers, orders) = tokio::try_join!(
            Customers::new(&servers, self.customers, &program),
            Orders::new(&servers)
        )?;
        declare(&program, &customers, &orders).await?;
        orders.bind_bare().await?;
        eprintln!("adding {} events that were counted before", self.history);
        customers.remember(self.history).await?;

        let (mut bare, mut counted) = (Vec::new(), Vec::<Counted>::new());
        for round in 0..self.rounds {
            eprintln!("round {} of {}: publishing", round + 1, self.rounds);
            orders.publish(self.events, self.customers).await?;
            // Each runs first equally often, as the first may slow down the second.
            for ours_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
                if ours_is_next {
                    eprintln!("round {} of {}: consumer", round + 1, self.rounds);
                    customers.calm().await?;
                    counted.push(self.count(&servers, &program, &customers, &orders).await?);
                } else {
                    eprintln!("round {} of {}: bare consumer", round + 1, self.rounds);
                    bare.push(
                        bare_consumer::consume(&orders.url, self.bare_prefetch, self.events)
                            .await?,
                    );
                }
            }
        }
        let one_by_one = one_by_one::best(&customers, self.seconds).await?;

        let ratios =
            counted.iter().zip(&bare).map(|(ours, bare)| ours.per_second / bare.per_second);
        let rates: Summary = counted.iter().map(|ours| ours.per_second).collect();
        let each = |of: fn(&Counted) -> std::time::Duration| {
            let values = counted.iter().map(|run| of(run).as_micros() as f64 / self.events as f64);
            values.collect::<Summary>().json()
        };
        print_json(&json!({
            "measure": "consume",
            "ratio": ratios.collect::<Summary>().json(),
            "ratio_to_one_by_one": one_by_one.map(|rate| rounded(rates.median() / rate)),
            "events": self.events,
            "customers": self.customers,
            "history": self.history,
            "consumers": self.consumers,
            "rounds": self.rounds,
            "consumer": program.settings(),
            "bare_per_second": bare.iter().map(|bare| bare.per_second).collect::<Summary>().json(),
            "bare_cpu_us_per_message": bare
                .iter()
                .map(|bare| bare.cpu.as_micros() as f64 / self.events as f64)
                .collect::<Summary>()
                .json(),
            "consumer_per_second": rates.json(),
            "one_by_one_per_second": one_by_one.map(rounded),
            "consumer_cpu_us_per_message": each(|run| run.cpu),
            "postgres_cpu_us_per_message": each(|run| run.postgres_cpu),
            "rabbitmq_cpu_us_per_message": each(|run| run.rabbit_cpu),
            "consumer_peak_mb":
                rounded(counted.iter().map(|run| run.peak_memory).max().unwrap_or(0) as f64 / 1e6),
        }));
        Ok(())
    }

    async fn count(
        &self,
        servers: &Servers,
        program: &ConsumerProgram,
        customers: &Customers,
        orders: &Orders,
    ) -> anyhow::Result<Counted> {
        let before = customers.counted().await?;
        let counted =
            run::count(servers, program, customers, orders, self.consumers, before + self.events)
                .await?;
        customers.check(before + self.events).await?;
        orders.check_empty().await?;
        Ok(Counted { per_second: self.events as f64 / counted.seconds, ..counted })
    }
}
