//! Failure detection per node pair, and the elections that follow from it.
//!
//! ```text
//! pulses: pings on control and data lanes ──► is a peer heard, and do its entries come through?  (pulses.rs, signs.rs)
//! at once when a connection breaks, a peer falls silent or a replica misses its leader; else every group in its turn:
//!   which groups miss their leader? ──► ask the other voters     (detector.rs, survey.rs)
//!   a majority misses it too        ──► one candidate, paced     (decision.rs, campaign.rs)
//! ```
//!
//! A leader is lost when its node is heard on no lane, and also when it is heard but its data lanes carry nothing: then it
//! acknowledges nothing, and must not stand in the way of one that could. That takes both sides' word: a majority of the
//! voters gets nothing from it, and it reaches no majority itself (reach.rs). A lane that waits for a slow disk is no dead
//! lane. Who reaches no majority either does not campaign in its place.
//!
//! A lease is passed over only when a majority of a group's voters does not hear the leader: one witness never
//! starts an election, or a one-way partition would depose healthy leaders in turn. Votes and log comparison
//! alone keep elections safe, so a wrong guess costs an election and never data. openraft's own timers stand
//! behind all this as a backstop; they rest while a follower's leader is heard (doze.rs).

mod campaign;
mod decision;
mod detector;
mod doze;
mod pulses;
mod quiet;
mod reach;
mod signs;
mod survey;
mod told;

pub(crate) use detector::Detector;
pub(crate) use doze::pace;
pub(crate) use pulses::Pulses;
pub(crate) use quiet::{Rest, answer_roll, stir, wake};
pub(crate) use reach::{Doubt, reaches_majority};
pub(crate) use signs::Way;
pub(crate) use survey::{answer, missing};
pub(crate) use told::Reading;
