//! Who leads what: the table, what redirects add to it, and the watch that keeps it fresh.

mod router;
mod table;
mod watch;

pub(crate) use router::{Router, Target};
pub(crate) use table::{PartitionRoute, RoutingTable, TopicRoute};
pub(crate) use watch::keep_watch;
