//! The table of ratios.

use comfy_table::{CellAlignment, Table, presets};

use super::row::{Goal, Row};
use crate::summary::{Summary, rounded};

/// The rows, grouped by part.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "measured", "limit", "ratio", "goal", ""]);
    let mut part = "";
    for row in rows {
        if part != row.part {
            part = row.part;
            table.add_row([part.to_uppercase().as_str(), "", "", "", "", ""]);
        }
        let limit = row.limit.as_ref();
        table.add_row([
            format!("  {}", row.what),
            format!("{} {}", values(&row.measured), row.unit),
            limit.map_or_else(String::new, |it| format!("{}: {}", it.what, values(&it.measured))),
            limit.map_or_else(String::new, |it| values(&it.ratio)),
            row.goal.map_or_else(String::new, goal),
            row.reached()
                .map_or("", |reached| if reached { "reached" } else { "NOT REACHED" })
                .to_owned(),
        ]);
    }
    for column in [1, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// The median, with minimum and maximum if they differ.
fn values(summary: &Summary) -> String {
    let [median, least, greatest] =
        [summary.median(), summary.min(), summary.max()].map(|value| rounded(value).to_string());
    if least == greatest { median } else { format!("{median} ({least} to {greatest})") }
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::AtLeast(least) => format!("\u{2265} {least}"),
        Goal::AtMost(most) => format!("\u{2264} {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Row, table};

    #[test]
    fn a_goal_is_said_to_be_reached_or_not() {
        let row = Row::beside("orders", "ours", &[30.0, 31.0], "/s", ("limit", &[10.0; 2]));
        let text = table(&[
            row.clone().with_goal(Goal::AtLeast(3.0)),
            row.clone().with_goal(Goal::AtLeast(4.0)),
            row,
        ]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert!(lines[1].trim() == "ORDERS" && lines.len() == 5, "{text}");
        assert!(lines[2].contains("limit: 10") && lines[2].ends_with("reached"), "{text}");
        assert!(lines[3].ends_with("NOT REACHED"), "{text}");
        assert!(lines[4].ends_with("3.05 (3 to 3.1)"), "{text}");
    }
}
