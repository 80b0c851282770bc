//! Load and its measurement, for Weir and for what it is compared with: one generator, one clock, one histogram.
//!
//! ```text
//!  Pace ──► publisher tasks ──► System ──► collectors ──► Meter (latency, per second)  ──► Report
//!  when       Stamp: who, which              confirms ──► Ledger (confirmed, seen)
//!                                consumer tasks ────────┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | what is asked: sizes, clients, window, rate, time |
//! | [`system`] | what a broker must be able to do to be measured |
//! | [`weir`] | Weir as such a broker, by the client library and its default settings |
//! | [`load`] | the run: warm-up, measured window, draining, verification |
//! | [`meter`], [`pace`], [`stamp`], [`ledger`] | its parts |
//! | [`report`] | what came out |
//! | [`scale`] | very many of something in one partition: scenarios of their own |
//!
//! Latencies count from the *intended* moment of a message: in an open loop (`rate`) that is its place in a schedule of
//! constant arrivals, whatever the broker does, so that a stall is paid for by every message that should have gone out
//! during it. In a closed loop it is the moment at which the window had room.
//!
//! What this crate is not: it prints nothing, and knows no command line.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_types, reason = "a benchmark measures real time")]
#![expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]

pub mod ledger;
pub mod load;
pub mod meter;
pub mod pace;
pub mod plan;
pub mod report;
pub mod scale;
pub mod stamp;
pub mod system;
pub mod weir;
