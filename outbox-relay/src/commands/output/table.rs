//! Tables of text.

use std::fmt::Write as _;
use std::io::stdout;

use comfy_table::{CellAlignment, Column, ColumnConstraint, ContentArrangement, Row, Table, Width};
use terminal_size::terminal_size_of;

use super::{BOLD, escape};

/// The minimum width of the last column. A narrower terminal breaks the lines itself.
const LAST_COLUMN_MIN: u16 = 24;

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading, without rules between them, so that tools such as `awk` can split them.
#[derive(Debug)]
pub(in crate::commands) struct TextTable {
    table: Table,
}

impl TextTable {
    /// Creates a table without rows.
    pub(in crate::commands) fn new<const N: usize>(headings: [(&str, Align); N]) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(headings.map(|(heading, _)| heading));
        for (column, (_, align)) in table.column_iter_mut().zip(headings) {
            set_layout(column, align);
        }
        Self { table }
    }

    /// Adds a row; control characters are escaped.
    pub(in crate::commands) fn add_row<const N: usize>(&mut self, cells: [&str; N]) {
        let mut row = Row::from(cells.map(|cell| escape::line(cell).into_owned()));
        row.max_height(1);
        self.table.add_row(row);
    }

    /// Renders the heading and the rows. A terminal cuts the last column at its right edge.
    pub(in crate::commands) fn render(self) -> String {
        self.render_within(terminal_size_of(stdout()).map(|(width, _)| width.0))
    }

    fn render_within(mut self, width: Option<u16>) -> String {
        match width {
            Some(width) => {
                self.table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
                if let Some(last) = self.table.column_iter_mut().last() {
                    last.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                        LAST_COLUMN_MIN,
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

fn set_layout(column: &mut Column, align: Align) {
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
    fn columns_are_as_wide_as_their_content() {
        let mut table = TextTable::new([("NAME", Align::Left), ("COUNT", Align::Right)]);
        table.add_row(["ñandú\x1b[2J", "7"]);
        table.add_row(["注文", "1,234,567"]);
        assert_eq!(
            lines(&table.render_within(None)),
            [
                "NAME                COUNT",
                r"ñandú\u{1b}[2J          7",
                "注文            1,234,567"
            ]
        );
    }

    #[test]
    fn only_the_last_column_is_cut_where_the_terminal_ends() {
        let mut table = TextTable::new([("NAME", Align::Left), ("ERROR", Align::Left)]);
        table.add_row(["a long name", "a sentence that goes on and on"]);
        let narrow = table.table.clone();
        assert_eq!(
            lines(&table.render_within(Some(40))),
            ["NAME         ERROR", "a long name  a sentence that goes on…"]
        );
        let narrow = TextTable { table: narrow }.render_within(Some(10));
        assert_eq!(lines(&narrow).len(), 2, "{narrow}");
    }

    fn lines(rendered: &str) -> Vec<String> {
        strip_str(rendered).to_string().lines().map(str::to_owned).collect()
    }
}
