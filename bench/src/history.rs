//! Measures what published rows cost while they are retained in the table.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::output::print_json;
use crate::setup::{
    Arrivals, Drained, Draining, Events, Inserts, Outbox, PAYLOAD, Queue, RelayArgs, RelayProgram,
    Servers, Statements, Window,
};
use crate::summary::{Summary, rounded};

/// Rows added per statement.
const AT_ONCE: i64 = 500_000;

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Published rows in the table
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(i64).range(1..))]
    rows: i64,
    /// Events of a drain
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// How many times a drain with and without history is measured, in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds an idle relay's polls are watched, with and without history
    #[arg(long, default_value_t = 40)]
    idle: u64,
    #[command(flatten)]
    relay: RelayArgs,
}

impl History {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.events > 0 && self.rounds > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start_counting().await?;
        let (empty, full) = tokio::try_join!(Outbox::new(&servers), Outbox::new(&servers))?;
        let queue = Queue::new(&servers).await?;
        self.fill(&full).await?;

        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let turns = [(&empty, &mut without), (&full, &mut with)];
            let turns: Vec<_> =
                if round % 2 == 0 { turns.into() } else { turns.into_iter().rev().collect() };
            for (outbox, runs) in turns {
                eprintln!("round {} of {}: drain", round + 1, self.rounds);
                let draining =
                    Draining { servers: &servers, outbox, queue: &queue, relay: &program };
                outbox.fill(Events::distinct(self.events)).await?;
                outbox.calm().await?;
                runs.push(draining.run(self.events, 0, 0).await?);
            }
            empty.clear().await?;
        }
        self.drained(&program, &without, &with);

        let without = self.watch(&servers, &program, &empty).await?;
        let with = self.watch(&servers, &program, &full).await?;
        self.polled(&program, without, with);
        Ok(())
    }

    async fn fill(&self, outbox: &Outbox) -> anyhow::Result<()> {
        let fill = include_str!("../sql/fill_history.sql");
        let mut first = 1;
        while first <= self.rows {
            let last = self.rows.min(first + AT_ONCE - 1);
            outbox.sql.execute(fill, &[&first, &last, &PAYLOAD]).await?;
            eprintln!("{last} of {} published rows", self.rows);
            first = last + 1;
        }
        outbox.calm().await
    }

    /// The statements of an idle relay.
    async fn watch(
        &self,
        servers: &Servers,
        program: &RelayProgram,
        outbox: &Outbox,
    ) -> anyhow::Result<Window> {
        eprintln!("an idle relay for {} s", self.idle);
        let queue = Queue::new(servers).await?;
        outbox.calm().await?;
        let statements = Statements::of(outbox).await?;
        let arrivals = Arrivals::watch(&queue).await?;
        let relay = program.start(outbox, &queue).await?;
        // The relay is running.
        Inserts::new(outbox).await?.add(Uuid::now_v7()).await?;
        arrivals.until(1, Duration::from_secs(60)).await?;
        let window = statements.watch(Duration::from_secs(self.idle)).await?;
        relay.stop().await?;
        outbox.check_pending(0).await?;
        Ok(window)
    }

    fn drained(&self, program: &RelayProgram, without: &[Drained], with: &[Drained]) {
        let ratios =
            with.iter().zip(without).map(|(with, without)| with.per_second / without.per_second);
        let rates =
            |runs: &[Drained]| runs.iter().map(|run| run.per_second).collect::<Summary>().json();
        let cpu = |runs: &[Drained]| {
            let each = |run: &Drained| run.postgres_cpu.as_micros() as f64 / self.events as f64;
            runs.iter().map(each).collect::<Summary>().json()
        };
        print_json(&json!({
            "measure": "history: drain",
            "ratio": ratios.collect::<Summary>().json(),
            "published_rows": self.rows,
            "events": self.events,
            "rounds": self.rounds,
            "relay": program.settings(),
            "per_second_without": rates(without),
            "per_second_with": rates(with),
            "postgres_cpu_us_per_message_without": cpu(without),
            "postgres_cpu_us_per_message_with": cpu(with),
        }));
    }

    fn polled(&self, program: &RelayProgram, without: Window, with: Window) {
        let ratio = |with: Option<f64>, without: Option<f64>| Some(rounded(with? / without?));
        let window = |window: Window| -> Value {
            json!({
                "statements_per_second": rounded(window.per_second),
                "us_each": window.microseconds_each.map(rounded),
                "pages_each": window.pages_each.map(rounded),
            })
        };
        print_json(&json!({
            "measure": "history: poll",
            "ratio": ratio(with.microseconds_each, without.microseconds_each),
            "ratio_pages": ratio(with.pages_each, without.pages_each),
            "published_rows": self.rows,
            "seconds": self.idle,
            "relay": program.settings(),
            "without": window(without),
            "with": window(with),
        }));
    }
}
