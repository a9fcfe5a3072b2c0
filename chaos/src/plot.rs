//! The plot of a run: its faults, the backlog, and the age of the oldest event that was due.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, IntoFont as _, LineSeries,
    RGBColor, Rectangle, SVGBackend, Text, WHITE,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const SIZE: (u32, u32) = (1_400, 900);
/// The height of the timeline of faults.
const TIMELINE: u32 = 420;
/// The width of the column with the names of the axes.
const NAMES: u32 = 150;
const INTERRUPTED: RGBColor = RGBColor(190, 60, 50);
const NO_EFFECT: RGBColor = RGBColor(160, 160, 160);
const LINE: RGBColor = RGBColor(40, 90, 160);
const MICROSECONDS: f64 = 1_000_000.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

#[derive(Debug, Deserialize)]
struct Fault {
    kind: String,
    began: f64,
    ended: f64,
    interrupted: bool,
}

#[derive(Debug, Deserialize)]
struct Sample {
    at: f64,
    pending: f64,
    oldest: f64,
}

/// Draws the rounds in these folders, one behind the other, into the file.
pub(crate) fn draw(folders: &[PathBuf], file: &Path) -> anyhow::Result<()> {
    let (mut faults, mut samples, mut end) = (Vec::new(), Vec::new(), 0.0);
    for folder in folders {
        end = read_round(folder, end, &mut faults, &mut samples)?;
    }
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (timeline, lines) = root.split_vertically(TIMELINE);
    let (backlog, lag) = lines.split_vertically((SIZE.1 - TIMELINE) / 2);
    draw_faults(&timeline, &faults, end)?;
    let pending = samples.iter().map(|sample| (sample.at, sample.pending));
    draw_line(&backlog, "events that are due", pending.collect(), end)?;
    let oldest = samples.iter().map(|sample| (sample.at, sample.oldest));
    draw_line(&lag, "age of the oldest, in seconds", oldest.collect(), end)?;
    Ok(root.present()?)
}

/// Adds what happened in a round, in seconds, as if it had begun at `start`. Returns when it ended.
fn read_round(
    folder: &Path,
    start: f64,
    faults: &mut Vec<Fault>,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<f64> {
    let of_round: Vec<Fault> = read(&folder.join("faults.jsonl"))?;
    let samples_of_round: Vec<Sample> = read(&folder.join("samples.jsonl"))?;
    let times = of_round.iter().flat_map(|fault| [fault.began, fault.ended]);
    let times: Vec<f64> = times.chain(samples_of_round.iter().map(|sample| sample.at)).collect();
    let began = times.iter().copied().fold(f64::MAX, f64::min);
    let seconds = |at: f64| start + (at - began) / MICROSECONDS;
    faults.extend(of_round.into_iter().map(|fault| Fault {
        began: seconds(fault.began),
        ended: seconds(fault.ended),
        ..fault
    }));
    samples.extend(
        samples_of_round.into_iter().map(|sample| Sample { at: seconds(sample.at), ..sample }),
    );
    Ok(times.into_iter().map(seconds).fold(start, f64::max))
}

/// A row for each kind of fault.
fn draw_faults(area: &Area<'_>, faults: &[Fault], end: f64) -> anyhow::Result<()> {
    let kinds: BTreeSet<&str> = faults.iter().map(|fault| fault.kind.as_str()).collect();
    let rows = f64::from(u32::try_from(kinds.len())?);
    let mut chart = ChartBuilder::on(area)
        .caption("faults: red interrupted work, grey did not", ("sans-serif", 18))
        .margin_right(20)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..end, 0.0..rows.max(1.0))?;
    let whole = |value: &f64| format!("{value:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh().y_labels(0).max_light_lines(0).x_label_formatter(&whole);
    mesh.x_desc("seconds").draw()?;
    let mut bottom = 0.0;
    for kind in kinds {
        let of_kind = faults.iter().filter(|fault| fault.kind == kind);
        chart.draw_series(of_kind.map(|fault| {
            let corners = [(fault.began, bottom + 0.15), (fault.ended, bottom + 0.85)];
            let color = if fault.interrupted { INTERRUPTED } else { NO_EFFECT };
            Rectangle::new(corners, color.filled())
        }))?;
        let row = chart.plotting_area().map_coordinate(&(0.0, bottom + 0.7));
        let (_, top) = area.get_base_pixel();
        area.draw(&Text::new(kind, (10, row.1 - top), ("sans-serif", 14).into_font()))?;
        bottom += 1.0;
    }
    Ok(())
}

fn draw_line(
    area: &Area<'_>,
    caption: &str,
    points: Vec<(f64, f64)>,
    end: f64,
) -> anyhow::Result<()> {
    let highest = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin_right(20)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..end, 0.0..highest)?;
    let whole = |value: &f64| format!("{value:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.max_light_lines(0).x_label_formatter(&whole).y_label_formatter(&whole);
    mesh.x_desc("seconds").draw()?;
    chart.draw_series(LineSeries::new(points, LINE.stroke_width(1)))?;
    Ok(())
}

fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Vec<T>> {
    let place = || file.display().to_string();
    let lines = BufReader::new(File::open(file).with_context(place)?).lines();
    lines.map(|line| serde_json::from_str(&line?).with_context(place)).collect()
}
