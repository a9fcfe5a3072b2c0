//! The results, as a table or as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::browsers::Times;
use super::databases::Sizes;
use crate::output::{print_json, print_text};
use crate::setup::RelayProgram;
use crate::summary::{Summary, grouped, rounded};

/// The goal for the 95th percentile of each page, in milliseconds.
const PAGE_WITHIN: f64 = 300.0;

/// The goal for the ratio of a drain with open consoles to one without.
const DRAIN_KEEPS: f64 = 0.97;

/// The times of pages and the rates of drains that a run has measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// In the order of the report.
    pub(super) pages: Vec<String>,
    /// The times of pages while nothing is published.
    pub(super) at_rest: Times,
    /// The times of pages that the open consoles load while a relay drains the outbox.
    pub(super) meanwhile: Times,
    /// Events a second without open consoles.
    pub(super) without: Vec<f64>,
    /// The same in the same rounds while consoles go through all pages.
    pub(super) with_each: Vec<f64>,
    /// The same while all consoles have the overview open.
    pub(super) with_overview: Vec<f64>,
}

impl Measured {
    /// The 95th percentile of each page while nothing is published.
    pub(super) fn p95(&self) -> impl Iterator<Item = f64> {
        self.pages.iter().map(|page| of(&self.at_rest, page).percentile(95))
    }

    /// All times during a drain: each page has few.
    pub(super) fn meanwhile(&self) -> Summary {
        self.meanwhile.values().flatten().copied().collect()
    }

    /// The ratios of drains with open consoles to those without.
    fn ratio(&self, with: &[f64]) -> Summary {
        with.iter().zip(&self.without).map(|(with, without)| with / without).collect()
    }

    pub(super) fn print(&self, sizes: Sizes, program: &RelayProgram, is_json: bool) {
        if is_json {
            print_json(&self.json(sizes, program));
        } else {
            print_text(&self.text(sizes));
        }
    }

    fn json(&self, sizes: Sizes, program: &RelayProgram) -> Value {
        let pages = self.pages.iter().map(|page| {
            json!({
                "page": page,
                "at_rest_ms": percentiles(&of(&self.at_rest, page)),
                "during_a_drain_ms": percentiles(&of(&self.meanwhile, page)),
            })
        });
        json!({
            "measure": "console",
            "ratio": self.ratio(&self.with_each).json(),
            "ratio_of_overviews": self.ratio(&self.with_overview).json(),
            "pending": sizes.pending,
            "published": sizes.published,
            "dead_letters": sizes.dead_letters,
            "open": sizes.open,
            "rounds": sizes.rounds,
            "relay": program.settings(),
            "per_second_without": summary(&self.without).json(),
            "per_second_with": summary(&self.with_each).json(),
            "per_second_with_overviews": summary(&self.with_overview).json(),
            "slowest_p95_ms": rounded(self.p95().fold(0.0, f64::max)),
            "during_a_drain_ms": percentiles(&self.meanwhile()),
            "pages": pages.collect::<Vec<_>>(),
        })
    }

    fn text(&self, sizes: Sizes) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["ms", "looks", "p50", "p95", "max", "during a drain", "p50", "max"]);
        for page in &self.pages {
            let (rest, drain) = (of(&self.at_rest, page), of(&self.meanwhile, page));
            let looks = |summary: &Summary| summary.len().to_string();
            let [p50, p95, most, p50_meanwhile, most_meanwhile] = [
                rest.percentile(50),
                rest.percentile(95),
                rest.max(),
                drain.percentile(50),
                drain.max(),
            ]
            .map(number);
            table.add_row([
                page.clone(),
                looks(&rest),
                p50,
                p95,
                most,
                looks(&drain),
                p50_meanwhile,
                most_meanwhile,
            ]);
        }
        for column in 1..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let slowest = self.p95().fold(0.0, f64::max);
        let all = self.meanwhile();
        let drained = |what: &str, with: &[f64]| {
            let ratio = self.ratio(with);
            format!(
                "Events drained a second while {} consoles {what}: {}, without: {}; ratio {} (goal: at least {DRAIN_KEEPS}): {}",
                sizes.open,
                range(&summary(with)),
                range(&summary(&self.without)),
                range(&ratio),
                reached(ratio.median() >= DRAIN_KEEPS),
            )
        };
        format!(
            "{table}\n\n{} pending, {} published events, {} dead letters.\n\
             The slowest page's p95: {} ms (goal: at most {PAGE_WITHIN} ms): {}\n\
             All pages during a drain: {} looks, p50 {}, p95 {}, at most {} ms.\n{}\n{}",
            grouped(sizes.pending),
            grouped(sizes.published),
            grouped(sizes.dead_letters),
            rounded(slowest),
            reached(slowest <= PAGE_WITHIN),
            all.len(),
            number(all.percentile(50)),
            number(all.percentile(95)),
            number(all.max()),
            drained("go through the pages", &self.with_each),
            drained("show the overview", &self.with_overview),
        )
    }
}

fn summary(values: &[f64]) -> Summary {
    values.iter().copied().collect()
}

/// The median, the least and the greatest.
fn range(summary: &Summary) -> String {
    let [median, least, greatest] = [summary.median(), summary.min(), summary.max()].map(rounded);
    format!("{median} ({least} to {greatest})")
}

fn of(times: &Times, page: &str) -> Summary {
    times.get(page).into_iter().flatten().copied().collect()
}

fn percentiles(summary: &Summary) -> Value {
    json!({
        "looks": summary.len(),
        "p50": rounded(summary.percentile(50)),
        "p95": rounded(summary.percentile(95)),
        "max": rounded(summary.max()),
    })
}

/// Nothing for what was not measured.
fn number(value: f64) -> String {
    if value.is_nan() { String::new() } else { rounded(value).to_string() }
}

const fn reached(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "NOT REACHED" }
}
