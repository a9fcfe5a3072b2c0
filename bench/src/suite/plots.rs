//! The data of the plots, and their files.

use std::path::Path;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::draw::{Axis, Plot, Series, draw};
use crate::load::{LoadResult, SLICE};
use crate::summary::rounded;

/// The resolution of a latency curve.
const PARTS: [u32; 14] = [
    0, 10_000, 25_000, 50_000, 75_000, 90_000, 95_000, 97_500, 99_000, 99_500, 99_750, 99_900,
    99_950, 99_990,
];

/// The plots of a run.
#[derive(Debug)]
pub(super) struct Plots {
    throughput: Plot,
    sustained: Plot,
    latency: Plot,
    history: Plot,
}

impl Plots {
    pub(super) fn new() -> Self {
        let plot = |file, title, x, y| Plot { file, title, x, y, series: Vec::new() };
        Self {
            throughput: plot(
                "throughput.svg",
                "Orders accepted by 64 clients, over time",
                Axis::linear("seconds"),
                Axis::linear("orders a second"),
            ),
            sustained: plot(
                "sustained.svg",
                "Orders accepted and counted, over time",
                Axis::linear("seconds"),
                Axis::linear("orders a second"),
            ),
            latency: plot(
                "latency.svg",
                "Latency by percentile",
                Axis::nines("percentile"),
                Axis::logarithmic("ms"),
            ),
            history: plot(
                "history.svg",
                "Cost of an order, and of a page, against history",
                Axis::rows("rows of history"),
                Axis::logarithmic("\u{b5}s or bytes"),
            ),
        }
    }

    /// Adds the rate in the course of a run.
    pub(super) fn rate(&mut self, name: &str, tally: &LoadResult) {
        let slice = SLICE.as_secs_f64();
        // The last slice may be incomplete.
        let whole = &tally.slices[..tally.slices.len().saturating_sub(1)];
        let points = whole.iter().enumerate();
        let points = points.map(|(n, &count)| (n as f64 * slice, count as f64 / slice)).collect();
        self.throughput.series.push(Series { name: name.to_owned(), points });
    }

    /// The same from totals sampled during the run.
    pub(super) fn sustained(&mut self, accepted: &[(f64, f64)], counted: &[(f64, f64)]) {
        for (name, totals) in [("accepted", accepted), ("counted", counted)] {
            // Averaged over a second, as batches are counted at once.
            let points = totals.iter().zip(totals.iter().skip(4));
            let points = points.map(|(from, to)| (to.0, (to.1 - from.1) / (to.0 - from.0)));
            self.sustained.series.push(Series { name: name.to_owned(), points: points.collect() });
        }
    }

    pub(super) fn latency(&mut self, name: &str, tally: &LoadResult) {
        self.latency_of(name, &tally.latency);
    }

    /// Adds latencies in microseconds.
    pub(super) fn latency_of(&mut self, name: &str, latency: &Histogram<u64>) {
        // Only up to the percentile that the number of requests supports.
        let told = |part: &u32| u64::from(100_000 - part) * latency.len() >= 100_000;
        let points = PARTS.into_iter().filter(told).map(|part| {
            let part = f64::from(part) / 100_000.0;
            (part, latency.value_at_quantile(part) as f64 / 1000.0)
        });
        self.latency.series.push(Series { name: name.to_owned(), points: points.collect() });
    }

    /// Adds a cost by rows of history.
    pub(super) fn history(&mut self, name: &str, points: Vec<(f64, f64)>) {
        self.history.series.push(Series { name: name.to_owned(), points });
    }

    fn all(&self) -> [&Plot; 4] {
        [&self.throughput, &self.sustained, &self.latency, &self.history]
    }

    /// Writes the plots with data.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        for plot in self.all().into_iter().filter(|plot| !plot.series.is_empty()) {
            draw(plot, &folder.join(plot.file))?;
        }
        Ok(())
    }

    /// The points that were drawn.
    pub(super) fn json(&self) -> Value {
        let plots = self.all().map(|plot| {
            let series = plot.series.iter().map(|series| {
                let points = series.points.iter().map(|(x, y)| json!([x, rounded(*y)]));
                json!({ "name": series.name, "points": points.collect::<Vec<_>>() })
            });
            json!({ "file": plot.file, "title": plot.title, "series": series.collect::<Vec<_>>() })
        });
        plots.to_vec().into()
    }
}
