//! The one internal API, used by every front door: what a client may ask, one file per area.

pub mod admin;
pub mod backup;
pub(crate) mod bodies;
pub mod digest;
pub mod explain;
pub mod features;
pub mod groups;
pub mod links;
pub mod nodes;
pub mod outputs;
pub mod queue;
pub mod replay;
pub mod reshaping;
pub mod restore;
pub mod stream;
pub mod upkeep;
