//! A table: a header, a line, rows. No frame: what is copied from a terminal stays readable.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::Page;

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Blanks after each column; the table puts another one between two.
const GAP: u16 = 1;

/// A table under construction.
pub(crate) struct Grid {
    table: Table,
    numbers: Vec<bool>,
    page: Page,
}

impl Grid {
    /// A table with these columns; a title that starts with `#` heads a column of numbers, set to the right.
    pub(crate) fn new(page: Page, titles: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(STYLE);
        if let Some(width) = page.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        if page.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let numbers: Vec<bool> = titles.iter().map(|title| title.starts_with('#')).collect();
        let header = titles.iter().map(|title| {
            let cell = Cell::new(title.trim_start_matches('#')).add_attribute(Attribute::Bold);
            if title.starts_with('#') { cell.set_alignment(CellAlignment::Right) } else { cell }
        });
        table.set_header(header.collect::<Vec<_>>());
        Self { table, numbers, page }
    }

    /// Adds a row: as many cells as there are columns.
    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells = cells.into_iter().zip(&self.numbers).map(|(text, number)| {
            let cell = Cell::new(text.into());
            if *number { cell.set_alignment(CellAlignment::Right) } else { cell }
        });
        self.table.add_row(cells.collect::<Vec<_>>());
    }

    /// The text, without trailing blanks; `empty` when there are no rows.
    pub(crate) fn finish(mut self, empty: &str) -> String {
        if self.table.is_empty() {
            return empty.to_owned();
        }
        for column in self.table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        if self.page.colour { self.table.to_string() } else { self.table.trim_fmt() }
    }
}

/// Columns of the terminal.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Page = Page { colour: false, width: None };

    #[test]
    fn a_table_has_a_header_a_line_and_rows() {
        let mut grid = Grid::new(PLAIN, &["topic", "#partitions"]);
        grid.row(["tasks", "3"]);
        grid.row(["a-longer-name", "12"]);
        assert_eq!(
            grid.finish("nothing"),
            "topic          partitions\n\
             ──────────────────────────\n\
             tasks                   3\n\
             a-longer-name          12"
        );
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert_eq!(Grid::new(PLAIN, &["topic"]).finish("no topics"), "no topics");
    }

    #[test]
    fn a_table_fits_a_narrow_terminal() {
        let mut grid = Grid::new(Page { colour: false, width: Some(30) }, &["topic", "#partitions"]);
        grid.row(["a name that is far too long for a terminal of thirty columns", "3"]);
        let text = grid.finish("");
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
    }
}
