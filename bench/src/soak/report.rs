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

/// The most requests that may fail, as a share of all: clients are refused for seconds after some
/// faults, and then no more.
const MAY_FAIL: f64 = 0.01;

/// A soak, or what was seen of it until it failed.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) seconds: u64,
    /// Orders per second.
    pub(super) rate: f64,
    pub(super) samples: Vec<Sample>,
    pub(super) faults: Vec<(f64, Fault)>,
    /// Orders that clients were told of.
    pub(super) accepted: u64,
    /// All that were written, each counted once; none if that was not seen.
    pub(super) orders: Option<u64>,
    /// The requests that failed, by kind.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Report {
    /// Prints the figures.
    pub(super) fn print(&self) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["what", "of", "second quarter", "last quarter", "has grown"]);
        for (kind, of, growth) in self.growths() {
            let has_grown = match growth.has_grown {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not judged: the soak is too short",
            };
            table.add_row([
                kind.name().to_owned(),
                of.to_owned(),
                rounded(growth.before).to_string(),
                rounded(growth.after).to_string(),
                has_grown.to_owned(),
            ]);
        }
        print_text(&format!(
            "{} s with {:.0} orders a second and {} faults: {} orders, each counted once; {} requests failed.\n{table}",
            self.seconds,
            self.rate,
            self.faults.len(),
            self.orders.unwrap_or_default(),
            self.failed()
        ));
    }

    /// Writes the figures and the plots to a folder.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(out)
            .with_context(|| format!("cannot write to {}", out.display()))?;
        std::fs::write(out.join("soak.json"), format!("{:#}\n", self.json()))?;
        if !self.samples.is_empty() {
            for kind in Kind::ALL {
                self.draw(kind, out)?;
            }
        }
        Ok(())
    }

    /// Fails if something grew, or if too many requests failed.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (failed, accepted) = (self.failed(), self.accepted);
        ensure!(
            failed as f64 <= MAY_FAIL * accepted as f64,
            "{failed} requests failed beside {accepted} that were accepted: {:?}",
            self.errors
        );
        let grown = self.growths().filter(|(.., growth)| growth.has_grown == Some(true));
        let grown: Vec<String> =
            grown.map(|(kind, of, _)| format!("{} of {of}", kind.name())).collect();
        ensure!(grown.is_empty(), "more and more is used: {}", grown.join(", "));
        Ok(())
    }

    fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Each of [`SERIES`], and whether it has grown.
    fn growths(&self) -> impl Iterator<Item = (Kind, &'static str, Growth)> {
        SERIES.iter().enumerate().map(|(place, (kind, of))| {
            (*kind, *of, Growth::of(*kind, &self.points(place), self.seconds))
        })
    }

    /// The course of one of [`SERIES`].
    fn points(&self, place: usize) -> Vec<(f64, f64)> {
        self.samples.iter().map(|sample| (sample.seconds, sample.values[place])).collect()
    }

    fn json(&self) -> Value {
        let used = self.growths().map(|(kind, of, growth)| {
            json!({
                "what": kind.name(), "of": of, "second_quarter": rounded(growth.before),
                "last_quarter": rounded(growth.after), "has_grown": growth.has_grown,
            })
        });
        let faults = self.faults.iter().map(|(at, fault)| json!([rounded(*at), fault.name()]));
        json!({
            "seconds": self.seconds, "orders_per_second": rounded(self.rate),
            "accepted": self.accepted, "orders": self.orders,
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
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Memory,
        Self::Files,
        Self::ServiceFiles,
        Self::Threads,
        Self::Sessions,
        Self::DeadRows,
        Self::Size,
        Self::Backlog,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "resident memory, MB",
            Self::Files | Self::ServiceFiles => "open files",
            Self::Threads => "threads",
            Self::Sessions => "sessions",
            Self::DeadRows => "dead rows",
            Self::Size => "size with indexes, MB",
            Self::Backlog => "backlog",
        }
    }

    /// The file, the title and the unit of its plot.
    const fn plot(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Memory => ("soak-memory.svg", "Resident memory of each process", "MB"),
            Self::Files => ("soak-files.svg", "Open files of relay and consumer", "files"),
            Self::ServiceFiles => {
                ("soak-service-files.svg", "Open files of the services, with clients", "files")
            }
            Self::Threads => ("soak-threads.svg", "Threads of each process", "threads"),
            Self::Sessions => ("soak-sessions.svg", "Sessions with each database", "sessions"),
            Self::DeadRows => ("soak-dead-rows.svg", "Rows that wait for vacuum", "rows"),
            Self::Size => ("soak-sizes.svg", "Tables with their indexes", "MB"),
            Self::Backlog => {
                ("soak-backlog.svg", "Orders that are accepted and not counted", "orders")
            }
        }
    }
}
