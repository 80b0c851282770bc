//! How long operations took, thinned out to what a screen can show.
//!
//! Each chart is a grid of cells. An occupied cell is drawn once, where its first operation was, and darker the more
//! operations fell into it: a crowd takes as much room as a crowd can take on a screen, and whoever stands alone is
//! always seen.

use std::collections::BTreeMap;

use weir_checker::story::describe;
use weir_checker::{Event, Micros, Outcome};

use crate::report::scale::{HEIGHT, Time, WIDTH, latency_y};

/// Outcomes, in the order in which they are drawn: the rarer, the later.
pub(in crate::report) const OUTCOMES: [Outcome; 3] = [Outcome::Ok, Outcome::Info, Outcome::Fail];
/// How many operations a cell holds at least, for each weight of its dot.
pub(in crate::report) const WEIGHTS: [u32; 3] = [1, 4, 32];

/// Cells of a chart from left to right.
const COLUMNS: usize = 500;
/// Cells of a chart from bottom to top.
const ROWS: usize = 50;
/// For so many parts of the run quantiles are computed.
const QUANTILE_PARTS: usize = 100;
/// Bins of a histogram per power of ten: a quantile is exact to 6 %.
const BINS_PER_DECADE: f64 = 40.0;
/// From 1 µs to 100 s.
const BINS: usize = 8 * 40;
/// A part with fewer operations has no quantiles worth a line.
const QUANTILE_OPERATIONS_MIN: u32 = 5;

/// By kind of operation.
pub(in crate::report) struct Latencies {
    time: Time,
    kinds: BTreeMap<&'static str, Latency>,
}

/// Of one kind of operation.
pub(in crate::report) struct Latency {
    /// Operations of each of [`OUTCOMES`].
    pub(in crate::report) counts: [u64; 3],
    cells: [BTreeMap<(usize, usize), Cell>; 3],
    parts: Vec<Histogram>,
}

/// The first operation in a cell, and how many there are.
#[derive(Clone, Copy)]
struct Cell {
    x: f64,
    y: f64,
    count: u32,
}

struct Histogram {
    bins: Vec<u32>,
    count: u32,
}

impl Latencies {
    pub(super) fn new(time: Time) -> Self {
        Self { time, kinds: BTreeMap::new() }
    }

    /// Takes note of a client's operation; one without an end took at least until `now`.
    pub(super) fn observe(&mut self, event: &Event, now: Micros) {
        let latency = event.to.unwrap_or(now).saturating_sub(event.from);
        let kind = self.kinds.entry(describe::kind(&event.op)).or_insert_with(Latency::new);
        kind.observe(self.time, event.from, latency, event.outcome);
    }

    /// The kinds, by name.
    pub(in crate::report) fn iter(&self) -> impl Iterator<Item = (&'static str, &Latency)> {
        self.kinds.iter().map(|(name, latency)| (*name, latency))
    }
}

impl Latency {
    fn new() -> Self {
        let parts = (0..QUANTILE_PARTS).map(|_| Histogram { bins: Vec::new(), count: 0 });
        Self { counts: [0; 3], cells: Default::default(), parts: parts.collect() }
    }

    fn observe(&mut self, time: Time, from: Micros, latency: Micros, outcome: Outcome) {
        let place = OUTCOMES.iter().position(|other| *other == outcome).expect("all outcomes are listed");
        self.counts[place] += 1;
        let (x, y) = (time.x(from), latency_y(latency));
        let column = (x / WIDTH * COLUMNS as f64) as usize;
        let row = (y / HEIGHT * ROWS as f64) as usize;
        self.cells[place].entry((column, row)).or_insert(Cell { x, y, count: 0 }).count += 1;
        if outcome == Outcome::Ok {
            self.parts[time.part(from, QUANTILE_PARTS)].add(latency);
        }
    }

    /// Dots of one outcome and weight, as places in the chart.
    pub(in crate::report) fn dots(&self, outcome: usize, weight: usize) -> impl Iterator<Item = (f64, f64)> {
        let above = WEIGHTS.get(weight + 1).copied().unwrap_or(u32::MAX);
        let cells = self.cells[outcome].values();
        cells
            .filter(move |cell| cell.count >= WEIGHTS[weight] && cell.count < above)
            .map(|cell| (cell.x, cell.y))
    }

    /// The quantile (0 to 1) of what succeeded, over time: places of a line, None where it is interrupted.
    pub(in crate::report) fn quantile(&self, quantile: f64) -> impl Iterator<Item = Option<(f64, f64)>> {
        let width = WIDTH / QUANTILE_PARTS as f64;
        self.parts.iter().zip(0_u32..).map(move |(part, place)| {
            let latency = part.quantile(quantile)?;
            Some(((f64::from(place) + 0.5) * width, latency_y(latency)))
        })
    }

    /// The quantile (0 to 1) of all that succeeded, in microseconds.
    pub(in crate::report) fn overall(&self, quantile: f64) -> Option<Micros> {
        let mut whole = Histogram { bins: vec![0; BINS], count: 0 };
        for part in &self.parts {
            whole.count += part.count;
            part.bins.iter().zip(&mut whole.bins).for_each(|(from, to)| *to += from);
        }
        whole.quantile(quantile)
    }
}

impl Histogram {
    fn add(&mut self, latency: Micros) {
        if self.bins.is_empty() {
            self.bins = vec![0; BINS];
        }
        let bin = (latency.max(1) as f64).log10() * BINS_PER_DECADE;
        self.bins[(bin as usize).min(BINS - 1)] += 1;
        self.count += 1;
    }

    fn quantile(&self, quantile: f64) -> Option<Micros> {
        if self.count < QUANTILE_OPERATIONS_MIN {
            return None;
        }
        let mut left = (f64::from(self.count) * quantile).ceil() as u32;
        let bin = self.bins.iter().position(|count| {
            left = left.saturating_sub(*count);
            left == 0
        });
        bin.map(|bin| 10_f64.powf((bin as f64 + 0.5) / BINS_PER_DECADE) as Micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(latencies: impl IntoIterator<Item = (Micros, Micros)>) -> Latency {
        let mut latency = Latency::new();
        for (from, took) in latencies {
            latency.observe(Time::new(100_000_000), from, took, Outcome::Ok);
        }
        latency
    }

    #[test]
    fn an_outlier_is_drawn_among_a_million() {
        let crowd = (0..1_000_000).map(|i| (i * 100, 2_000 + i % 700));
        let latency = measured(crowd.chain([(50_000_000, 30_000_000)]));
        let dots: Vec<_> = (0..3).flat_map(|weight| latency.dots(0, weight)).collect();
        assert!(dots.len() < 5_000, "{} dots", dots.len());
        let outlier = (500.0, latency_y(30_000_000));
        assert_eq!(latency.dots(0, 0).filter(|dot| *dot == outlier).count(), 1);
        assert_eq!(latency.counts, [1_000_001, 0, 0]);
    }

    #[test]
    fn quantiles_are_exact_to_six_percent() {
        let latency = measured((1..=10_000).map(|i| (0, i * 10)));
        for (quantile, exact) in [(0.5, 50_000.0), (0.99, 99_000.0)] {
            let found = latency.overall(quantile).expect("there are many") as f64;
            assert!((found / exact - 1.0).abs() < 0.06, "{found} for {exact}");
        }
        assert_eq!(measured([(0, 1)]).overall(0.5), None);
    }
}
