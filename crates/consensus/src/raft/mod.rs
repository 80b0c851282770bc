//! The meeting point with openraft: its type parameters, its settings and our storage behind its traits.
//! Nothing outside this crate names what is in here.

mod applier;
mod config;
mod core;
mod entry;
mod log_store;
mod network;
mod rows;
mod shared;
#[cfg(test)]
mod suite;
mod types;

pub(crate) use self::core::Core;
pub(crate) use applier::{AnyMachine, Applier, TypedMachine};
pub(crate) use config::raft_config;
pub(crate) use entry::{KIND_NORMAL, entry_of, log_id, record_of};
pub(crate) use log_store::LogStore;
pub(crate) use network::PeerNetworkFactory;
pub(crate) use rows::{AppliedPosition, ConsensusRows, decode, encode};
#[cfg(feature = "fuzzing")]
pub(crate) use rows::{decode as decode_row, encode as encode_row};
pub(crate) use shared::Shared;
pub(crate) use types::*;
