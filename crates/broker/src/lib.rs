//! The broker: hosts partitions and joins the pure machines to replication, behind one API for every front door.
//!
//! ```text
//!  front doors ──► api/ ──► Partition (mailbox, driver) ──► consensus ──► Replica (clocks, machine)
//!                   │                                          ▲
//!                   └── at_leader ──► Remote ──► other nodes   │ opens, closes, moves
//!  metadata group ──► reconciler ──────────────────────────────┘
//! ```
//!
//! What it is not: it speaks no protocol (the server and the gateways do), decides nothing that the machines
//! decide, and knows neither openraft nor `RocksDB`.

mod amnesia;
pub mod api;
mod broker;
mod compaction;
mod directory;
mod door;
mod founding;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gauges;
mod hosted;
mod inspect;
mod links;
mod machine;
mod metadata_group;
mod node;
mod partition;
mod reconciler;
mod relocation;
mod remote;
mod replica;
mod reshaping;
mod rest;
mod rewriting;
mod transfers;

pub use broker::Broker;
pub use founding::NodeOptions;
pub use inspect::{Contents, Inspection};
pub use node::{Node, Options};
pub use remote::{ContentsView, PartitionView, PositionView, QueueCounts, Remote, ResetTo};
pub use weir_consensus::{EntryPosition, GroupStatus, Image, Leadership, Limits, Role, Timings};
pub use weir_groups::MemberDescription;
pub use weir_metadata::{
    Addresses, Level, Link, LinkKind, MoveReason, NodeState, PartitionRoute, Phase, ReplicaMove, Routing,
    Stage, Topic, TopicRoute,
};
pub use weir_queue::{Action, Hold, MessageState, MessageView, ParkKind, SessionEnding, SettleItem, Stats};
