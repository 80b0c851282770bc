//! The figures of a scenario of scale.

use serde::Serialize;
use weir_bench::scale::Figure;

use super::{Grid, Page, View};

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct ScaleView {
    figures: Vec<Figure>,
}

impl ScaleView {
    pub(crate) fn new(figures: Vec<Figure>) -> Self {
        Self { figures }
    }
}

impl View for ScaleView {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &["figure", "#value", "unit"]);
        for Figure { name, value, unit } in &self.figures {
            // Ratios need their places behind the point, counts have none.
            let places = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 1_000.0) };
            grid.row([name.clone(), format!("{value:.places$}"), (*unit).to_owned()]);
        }
        grid.finish("")
    }
}
