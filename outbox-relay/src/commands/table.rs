//! Columns for people.

use comfy_table::{CellAlignment, Column, ContentArrangement, Table};

use super::plain;
use super::print::BOLD;

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
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(heads.map(|(head, _)| head));
        for (column, (_, align)) in table.column_iter_mut().zip(heads) {
            lay_out(column, align);
        }
        Self { table }
    }

    /// Adds a row; what a terminal would obey is written out.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.table.add_row(cells.map(|cell| plain::line(cell).into_owned()));
    }

    /// The lines, the heading first.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (index, line) in self.table.lines().enumerate() {
            let line = line.trim_end();
            if index == 0 {
                text.push_str(&format!("{BOLD}{line}{BOLD:#}\n"));
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

fn lay_out(column: &mut Column, align: Align) {
    column.set_padding((0, 2));
    column.set_cell_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let mut columns = Columns::new([("NAME", Align::Left), ("COUNT", Align::Right)]);
        columns.row(["ñandú\x1b[2J", "7"]);
        columns.row(["注文", "1,234,567"]);
        let plain: Vec<String> = anstream::adapter::strip_str(&columns.render())
            .to_string()
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            plain,
            ["NAME                   COUNT", r"ñandú\u{1b}[2J              7", "注文             1,234,567"]
        );
    }
}
