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
}
