//! Columns for people.

use std::fmt::Write as _;
use std::io::stdout;

use comfy_table::{CellAlignment, Column, ColumnConstraint, ContentArrangement, Row, Table, Width};
use terminal_size::terminal_size_of;

use super::plain;
use super::print::BOLD;

/// Characters that the last column has also where the terminal is too narrow, which then breaks the lines itself.
const LAST_AT_LEAST: u16 = 24;

/// Where a column's content stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading, without lines between them, so that other tools can cut them.
#[derive(Debug)]
pub(super) struct Columns {
    table: Table,
}

impl Columns {
    /// No rows yet.
    pub(super) fn new<const N: usize>(heads: [(&str, Align); N]) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(heads.map(|(head, _)| head));
        for (column, (_, align)) in table.column_iter_mut().zip(heads) {
            lay_out(column, align);
        }
        Self { table }
    }

    /// Adds a row; what a terminal would obey is written out.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        let mut row = Row::from(cells.map(|cell| plain::line(cell).into_owned()));
        row.max_height(1);
        self.table.add_row(row);
    }

    /// The lines, the heading first. On a terminal the last column is cut where the line ends.
    pub(super) fn render(self) -> String {
        self.render_within(terminal_size_of(stdout()).map(|(width, _)| width.0))
    }

    fn render_within(mut self, width: Option<u16>) -> String {
        match width {
            Some(width) => {
                self.table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
                if let Some(last) = self.table.column_iter_mut().last() {
                    last.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                        LAST_AT_LEAST,
                    )));
                }
            }
            None => {
                self.table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let mut text = String::new();
        for (index, line) in self.table.lines().enumerate() {
            let line = line.trim_end();
            // Writing to a string does not fail.
            let _infallible = if index == 0 {
                writeln!(text, "{BOLD}{line}{BOLD:#}")
            } else {
                writeln!(text, "{line}")
            };
        }
        text
    }
}

fn lay_out(column: &mut Column, align: Align) {
    column.set_constraint(ColumnConstraint::ContentWidth);
    column.set_padding((0, 2));
    column.set_cell_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    });
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let mut columns = Columns::new([("NAME", Align::Left), ("COUNT", Align::Right)]);
        columns.row(["ñandú\x1b[2J", "7"]);
        columns.row(["注文", "1,234,567"]);
        assert_eq!(
            lines(&columns.render_within(None)),
            [
                "NAME                COUNT",
                r"ñandú\u{1b}[2J          7",
                "注文            1,234,567"
            ]
        );
    }

    #[test]
    fn only_the_last_column_is_cut_where_the_terminal_ends() {
        let mut columns = Columns::new([("NAME", Align::Left), ("ERROR", Align::Left)]);
        columns.row(["a long name", "a sentence that goes on and on"]);
        let narrow = columns.table.clone();
        assert_eq!(
            lines(&columns.render_within(Some(40))),
            ["NAME         ERROR", "a long name  a sentence that goes on…"]
        );
        let narrow = Columns { table: narrow }.render_within(Some(10));
        assert_eq!(lines(&narrow).len(), 2, "{narrow}");
    }

    fn lines(rendered: &str) -> Vec<String> {
        strip_str(rendered).to_string().lines().map(str::to_owned).collect()
    }
}
