//! The figures of a soak, printed and drawn.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::faults::Fault;
use super::growth::Growth;
use super::resources::{Kind, SERIES, Sample};
use crate::draw::{Axis, Plot, Series, draw};
use crate::output::print_text;
use crate::summary::rounded;

/// A soak that has ended, in which each order was counted once.
#[derive(Debug)]
pub(super) struct Soaked {
    pub(super) seconds: u64,
    /// Orders per second.
    pub(super) rate: f64,
    /// All that were written.
    pub(super) orders: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) faults: Vec<(f64, Fault)>,
    /// The requests that failed, by kind.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Soaked {
    /// Prints the figures, and writes them and the plots to a folder. Fails if something grew.
    pub(super) fn tell(&self, out: &Path) -> anyhow::Result<()> {
        let growths: Vec<Growth> = SERIES
            .iter()
            .enumerate()
            .map(|(place, (kind, _))| Growth::of(*kind, &self.points(place), self.seconds))
            .collect();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["what", "of", "second quarter", "last quarter", "has grown"]);
        for ((kind, of), growth) in SERIES.iter().zip(&growths) {
            let has_grown = match growth.has_grown {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not judged: the soak is too short",
            };
            table.add_row([
                kind.name().to_owned(),
                (*of).to_owned(),
                rounded(growth.before).to_string(),
                rounded(growth.after).to_string(),
                has_grown.to_owned(),
            ]);
        }
        let failed: u64 = self.errors.values().sum();
        print_text(&format!(
            "{} s with {:.0} orders a second and {} faults: {} orders, each counted once; {failed} requests failed.\n{table}",
            self.seconds,
            self.rate,
            self.faults.len(),
            self.orders
        ));
        std::fs::create_dir_all(out)
            .with_context(|| format!("cannot write to {}", out.display()))?;
        std::fs::write(out.join("soak.json"), format!("{:#}\n", self.json(&growths)))?;
        for kind in Kind::ALL {
            self.draw(kind, out)?;
        }
        self.draw_backlog(out)?;
        let grown =
            SERIES.iter().zip(&growths).filter(|(_, growth)| growth.has_grown == Some(true));
        let grown: Vec<String> =
            grown.map(|((kind, of), _)| format!("{} of {of}", kind.name())).collect();
        ensure!(grown.is_empty(), "more and more is used: {}", grown.join(", "));
        Ok(())
    }

    /// The course of one of [`SERIES`].
    fn points(&self, place: usize) -> Vec<(f64, f64)> {
        self.samples.iter().map(|sample| (sample.seconds, sample.values[place])).collect()
    }

    fn json(&self, growths: &[Growth]) -> Value {
        let used = SERIES.iter().zip(growths).map(|((kind, of), growth)| {
            json!({
                "what": kind.name(), "of": of, "second_quarter": rounded(growth.before),
                "last_quarter": rounded(growth.after), "has_grown": growth.has_grown,
            })
        });
        let faults = self.faults.iter().map(|(at, fault)| json!([rounded(*at), fault.name()]));
        json!({
            "seconds": self.seconds, "orders_per_second": rounded(self.rate), "orders": self.orders,
            "failed_requests": self.errors, "used": used.collect::<Vec<_>>(),
            "faults": faults.collect::<Vec<_>>(),
        })
    }

    /// Draws what is read of one kind, each in a file of its own.
    fn draw(&self, kind: Kind, out: &Path) -> anyhow::Result<()> {
        let of_kind = SERIES.iter().enumerate().filter(|(_, (other, _))| *other == kind);
        let series = of_kind
            .map(|(place, (_, of))| Series { name: (*of).to_owned(), points: self.points(place) });
        let (file, title, unit) = kind.plot();
        let plot = Plot {
            file,
            title,
            x: Axis::linear("seconds"),
            y: Axis::linear(unit),
            series: series.collect(),
        };
        draw(&plot, &out.join(file))
    }

    fn draw_backlog(&self, out: &Path) -> anyhow::Result<()> {
        let points = self.samples.iter().map(|sample| (sample.seconds, sample.backlog)).collect();
        let plot = Plot {
            file: "soak-backlog.svg",
            title: "Orders that were accepted and not yet counted",
            x: Axis::linear("seconds"),
            y: Axis::linear("orders"),
            series: vec![Series { name: "backlog".to_owned(), points }],
        };
        draw(&plot, &out.join(plot.file))
    }
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Memory, Self::Files, Self::Threads, Self::Sessions, Self::DeadRows, Self::Size];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "resident memory, MB",
            Self::Files => "open files",
            Self::Threads => "threads",
            Self::Sessions => "sessions",
            Self::DeadRows => "dead rows",
            Self::Size => "size with indexes, MB",
        }
    }

    /// The file, the title and the unit of its plot.
    const fn plot(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Memory => ("soak-memory.svg", "Resident memory of each process", "MB"),
            Self::Files => ("soak-files.svg", "Open files of each process", "files"),
            Self::Threads => ("soak-threads.svg", "Threads of each process", "threads"),
            Self::Sessions => ("soak-sessions.svg", "Sessions with each database", "sessions"),
            Self::DeadRows => ("soak-dead-rows.svg", "Rows that wait for vacuum", "rows"),
            Self::Size => ("soak-sizes.svg", "Tables with their indexes", "MB"),
        }
    }
}
