//! Faults: what kinds there are, and what a schedule asks for.

mod kind;
mod leaders;
mod step;

pub use kind::{Harm, Kind, UnknownKind};
pub use leaders::{Leaders, Led};
pub use step::{NoTarget, Step, Target};
