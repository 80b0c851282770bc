//! What a run must have covered.

use crate::Micros;

/// What makes a run worth something.
#[derive(Clone, Debug)]
pub struct CoverageOptions {
    /// The kinds of faults that were asked for. Default none: then nothing is expected of faults.
    pub faults: Vec<String>,
    /// Those of them that befall nodes which hold nothing: they need meet neither a leader nor a follower. Default none.
    pub on_blank_nodes: Vec<String>,
    /// How often each of them must have been installed. Default 3.
    pub times_min: u32,
    /// How many of a hundred operations must have succeeded. Default 60.
    pub ok_percent_min: u64,
    /// How many operations must have succeeded while a fault was at work. Default 100.
    pub ok_in_faults_min: u64,
    /// How long the harness may stand still, in microseconds. Default 200,000.
    pub stall_max: Micros,
}

impl Default for CoverageOptions {
    fn default() -> Self {
        Self {
            faults: Vec::new(),
            on_blank_nodes: Vec::new(),
            times_min: 3,
            ok_percent_min: 60,
            ok_in_faults_min: 100,
            stall_max: 200_000,
        }
    }
}
