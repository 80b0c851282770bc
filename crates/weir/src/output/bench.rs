//! The figures of a benchmark.

use std::fmt::Write as _;

use serde::Serialize;
use weir_bench::meter::Side;
use weir_bench::report::Report;

use super::{Grid, Page, View};

/// What came out of runs at the same time, each with its name.
#[derive(Debug, Serialize)]
pub(crate) struct BenchView {
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    topic: &'static str,
    #[serde(flatten)]
    report: Report,
}

impl BenchView {
    /// Of sound reports only.
    pub(crate) fn new(reports: Vec<(&'static str, Report)>) -> Self {
        Self { runs: reports.into_iter().map(|(topic, report)| Run { topic, report }).collect() }
    }
}

const TITLES: [&str; 10] = [
    "",
    "#messages/s",
    "#MB/s",
    "#worst second",
    "#p50 ms",
    "#p90 ms",
    "#p99 ms",
    "#p99.9 ms",
    "#max ms",
    "#failed",
];

impl View for BenchView {
    fn text(&self, page: Page) -> String {
        let mut grid = Grid::new(page, &TITLES);
        for Run { topic, report } in &self.runs {
            row(&mut grid, format!("{topic} acknowledged"), &report.published);
            if let Some(consumed) = &report.consumed {
                row(&mut grid, format!("{topic} end to end"), consumed);
            }
        }
        let mut text = grid.finish("");
        for Run { topic, report } in &self.runs {
            let balance = report.balance;
            let _ = write!(
                text,
                "\n{topic}: {} acknowledged messages, every one of which came out once; {:.1} s of this machine's \
                 processors for the client",
                balance.confirmed, report.client_cpu_s
            );
            if report.unsent > 0 {
                let _ = write!(
                    text,
                    "\n{topic}: the rate was NOT sustained: {} messages found no room in the window",
                    report.unsent
                );
            }
        }
        text
    }
}

fn row(grid: &mut Grid, name: String, side: &Side) {
    let ms = |value: f64| format!("{value:.2}");
    grid.row([
        name,
        format!("{:.0}", side.rate),
        format!("{:.1}", side.megabytes),
        side.worst_second.to_string(),
        ms(side.latency.p50),
        ms(side.latency.p90),
        ms(side.latency.p99),
        ms(side.latency.p999),
        ms(side.latency.max),
        side.errors.to_string(),
    ]);
}
