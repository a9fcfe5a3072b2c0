//! Draws a plot as SVG.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 480);

/// Values below this are drawn as no history.
const FEW_ROWS: f64 = 100.0;

const TINY: f64 = 1e-6;

const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(90, 90, 90),
];

/// A line through points.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// An axis's scale: `scale` maps a value to its position, `label` a position to its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    name: &'static str,
    scale: fn(f64) -> f64,
    label: fn(&f64) -> String,
    /// Whether every whole step has a label and there is no 0.
    whole_steps: bool,
}

impl Axis {
    /// Linear from 0.
    pub(crate) const fn linear(name: &'static str) -> Self {
        Self { name, scale: |value| value, label: |place| format!("{place}"), whole_steps: false }
    }

    /// Rows of a table: logarithmic, with zero at the left end.
    pub(crate) const fn rows(name: &'static str) -> Self {
        Self {
            name,
            scale: |rows| rows.max(FEW_ROWS).log10(),
            label: |place| match 10_f64.powf(*place).round() {
                few if few <= FEW_ROWS => "0".to_owned(),
                rows => format!("{rows}"),
            },
            whole_steps: true,
        }
    }

    /// Logarithmic.
    pub(crate) const fn logarithmic(name: &'static str) -> Self {
        Self {
            name,
            scale: |value| value.max(1e-3).log10(),
            label: |place| format!("{}", 10_f64.powf(*place)),
            whole_steps: true,
        }
    }

    /// Percentiles, one step per further nine: 0, 90 %, 99 %, 99.9 %.
    pub(crate) const fn nines(name: &'static str) -> Self {
        Self {
            name,
            scale: |part| -(1.0 - part).log10(),
            label: |place| {
                let percent = 100.0 * (1.0 - 10_f64.powf(-place));
                format!("{}", (percent * 1000.0).round() / 1000.0)
            },
            whole_steps: true,
        }
    }

    /// The range of an axis, and its number of labels.
    fn range(&self, values: impl Iterator<Item = f64>) -> (std::ops::Range<f64>, usize) {
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (least, greatest) = (least.min(value), greatest.max(value));
        }
        if self.whole_steps {
            // Rounds away floating-point errors near a whole step.
            let (from, to) = ((least + TINY).floor(), (greatest - TINY).ceil());
            let to = to.max(from + 1.0);
            let steps = (0..20).filter(|&step| from + f64::from(step) <= to).count();
            return (from..to, steps);
        }
        (0.0..(greatest * 1.1).max(1.0), 10)
    }
}

/// Draws a plot into a file.
pub(crate) fn draw(plot: &Plot, file: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    // The library's errors borrow the output; only their text can be returned.
    render(plot, &mut text).map_err(|error| anyhow::anyhow!("{}: {error}", plot.file))?;
    // Ends with a newline, as text files do.
    text.push('\n');
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn render(plot: &Plot, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let place = |&(x, y): &(f64, f64)| ((plot.x.scale)(x), (plot.y.scale)(y));
    let places: Vec<(f64, f64)> =
        plot.series.iter().flat_map(|series| series.points.iter().map(place)).collect();
    if places.is_empty() {
        return Err("there is nothing to draw".into());
    }
    let (x, x_labels) = plot.x.range(places.iter().map(|place| place.0));
    let (y, y_labels) = plot.y.range(places.iter().map(|place| place.1));
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title, ("sans-serif", 18))
        .margin(12)
        .margin_right(36)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(plot.x.name)
        .y_desc(plot.y.name)
        .x_labels(x_labels)
        .y_labels(y_labels)
        .x_label_formatter(&plot.x.label)
        .y_label_formatter(&plot.y.label)
        .draw()?;
    for (series, colour) in plot.series.iter().zip(COLOURS.iter().cycle()) {
        let line = LineSeries::new(series.points.iter().map(place), colour.stroke_width(2));
        chart.draw_series(line)?.label(series.name.as_str()).legend(move |(x, y)| {
            PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
        });
        if series.points.len() < 20 {
            let dots = series.points.iter().map(place);
            chart.draw_series(dots.map(|place| Circle::new(place, 3, colour.filled())))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_series_and_its_steps() {
        let series =
            Series { name: "one client".to_owned(), points: vec![(0.0, 1.0), (0.99, 30.0)] };
        let (x, y) = (Axis::nines("percentile"), Axis::logarithmic("ms"));
        let plot = Plot { file: "a.svg", title: "Latency", x, y, series: vec![series] };
        let mut text = String::new();
        render(&plot, &mut text).expect("drawn");
        for part in ["<svg", "Latency", "one client", "percentile", "90", "99", "100", "</svg>"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let empty = Plot { series: Vec::new(), ..plot };
        assert!(render(&empty, &mut text).is_err());
    }
}
