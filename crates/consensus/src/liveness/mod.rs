//! Failure detection per node pair, and the elections that follow from it.
//!
//! ```text
//! pulses: pings on the control lanes ──► is a peer heard?        (pulses.rs)
//! every ping interval, or at once when a control connection breaks:
//!   which groups miss their leader? ──► ask the other voters     (detector.rs, survey.rs)
//!   a majority misses it too        ──► one candidate, paced     (decision.rs, campaign.rs)
//! ```
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
mod survey;

pub(crate) use detector::Detector;
pub(crate) use doze::pace;
pub(crate) use pulses::Pulses;
pub(crate) use survey::answer;
