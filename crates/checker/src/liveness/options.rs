//! How long things may take.

use crate::Micros;

/// One second.
const SECOND: Micros = 1_000_000;

/// Limits of liveness, in microseconds unless they say otherwise.
#[derive(Clone, Debug)]
pub struct LivenessOptions {
    /// L1: from the heal, or from when somebody asked, to the first success of a partition. Default 5 s.
    pub first_ok_max: Micros,
    /// L1: without a success for so long a partition is stuck. Default 60 s.
    pub stuck_after: Micros,
    /// L1: from the heal until the 99th percentile of writes is back at twice what it was in the warm phase. Default 15 s.
    pub fast_again_max: Micros,
    /// L1: a 99th percentile below this is always good enough. Default 50 ms.
    pub latency_floor: Micros,
    /// L2: from the heal, or from the beginning of the drain, until nothing is left. Default 60 s; choose twice the lease
    /// if that is longer.
    pub drain_max: Micros,
    /// L3: without a success on a partition for so long while a majority is healthy. Default 10 s.
    pub silent_max: Micros,
    /// L3: faults that keep clients from a healthy majority, which is then not to blame. Default `client-cut`.
    pub client_faults: Vec<String>,
    /// L4: a ready message and an idle receiver side by side. Default 5 s.
    pub starve_max: Micros,
    /// L5: the deadline of every request. Default none: it is not known, and nothing is judged.
    pub request_deadline: Option<Micros>,
    /// L5: what a call may take beyond its deadline. Default 1 s.
    pub deadline_slack: Micros,
    /// L6: from the heal, or from the last write, until all replicas have applied the same. Default 30 s.
    pub converge_max: Micros,
    /// L7: terms of a partition in ten minutes under a one-way partition, beside two for each. Default 100.
    pub terms_max: u64,
    /// L7: faults that count as a one-way partition. Default `one-way`.
    pub one_way_faults: Vec<String>,
}

impl Default for LivenessOptions {
    fn default() -> Self {
        Self {
            first_ok_max: 5 * SECOND,
            stuck_after: 60 * SECOND,
            fast_again_max: 15 * SECOND,
            latency_floor: SECOND / 20,
            drain_max: 60 * SECOND,
            silent_max: 10 * SECOND,
            client_faults: vec!["client-cut".to_owned()],
            starve_max: 5 * SECOND,
            request_deadline: None,
            deadline_slack: SECOND,
            converge_max: 30 * SECOND,
            terms_max: 100,
            one_way_faults: vec!["one-way".to_owned()],
        }
    }
}
