//! The best cell of a sweep, and the figures of repeats.

use crate::cell::{Cell, Measured, Subject};

/// Queues (or partitions) that are tried.
pub const QUEUES: [u32; 3] = [1, 3, 16];
/// Messages in flight that are tried.
pub const IN_FLIGHT: [u32; 3] = [64, 512, 4_096];

/// All cells of a sweep.
pub fn cells(subject: Subject, size: usize, cycle: bool) -> Vec<Cell> {
    let each = QUEUES.iter().flat_map(|queues| IN_FLIGHT.iter().map(move |in_flight| (*queues, *in_flight)));
    each.map(|(queues, in_flight)| Cell { subject, queues, in_flight, size, cycle, rate: None }).collect()
}

/// The cell with the highest rate.
pub fn best(measured: &[Measured]) -> Option<Cell> {
    let best = measured.iter().max_by(|a, b| a.report.rate().total_cmp(&b.report.rate()));
    best.map(|measured| measured.cell)
}

/// The middle of some figures.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_sweep_has_every_cell_once() {
        let cells = cells(Subject::WeirStream, 1_024, false);
        assert_eq!(cells.len(), QUEUES.len() * IN_FLIGHT.len());
        assert!(cells.iter().all(|cell| cells.iter().filter(|other| *other == cell).count() == 1));
    }
}
