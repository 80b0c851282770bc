//! The figures that are compared, as they stand in `peers.json`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cell::Measured;
use crate::sweep::median;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Its name.
    pub id: &'static str,
    /// The median of the repeats.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// Each repeat.
    pub repeats: Vec<f64>,
    /// What it was made of.
    pub detail: Value,
}

impl Figure {
    /// Repeats of ours over repeats of theirs, each pair measured one after the other.
    pub fn ratio(
        id: &'static str,
        ours: &[Measured],
        theirs: &[Measured],
        of: impl Fn(&Measured) -> f64,
    ) -> Self {
        let repeats: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)).collect();
        let value = median(&repeats);
        Self { id, value, unit: "ratio", repeats, detail: json!({ "ours": ours, "theirs": theirs }) }
    }

    /// A figure of Weir alone.
    pub fn own(id: &'static str, unit: &'static str, repeats: Vec<f64>, detail: Value) -> Self {
        Self { id, value: median(&repeats), unit, repeats, detail }
    }
}

/// The value below which a share of all lies.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((percentile(&values, 0.99) - 99.0).abs() < 1e-9);
        assert!((percentile(&values, 0.5) - 50.0).abs() < 1e-9);
        assert!(percentile(&[], 0.99).is_nan());
    }
}
