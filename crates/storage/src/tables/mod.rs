//! The tables: one key kind per file, its byte layout in the file's doc and pinned by a golden test.
//!
//! | family | file | key | value |
//! |---|---|---|---|
//! | `stream_log` | [`stream_log`] | bucket ‖ group ‖ index | [`entry`] |
//! | `queue_log` | [`queue_log`] | group ‖ generation ‖ index | [`entry`] |
//! | `rows` | [`machine_row`] | group ‖ generation ‖ the machine's key | the machine's value |
//! | `meta` | [`group_row`] | 1 ‖ group ‖ 0 | class, life, generation |
//! | `meta` | [`group_slot`] | 1 ‖ group ‖ slot | vote, committed or purged: consensus's bytes |
//! | `meta` | [`segment`] | 2 ‖ group ‖ first index | bucket, end |
//! | `meta` | [`bucket_counter`] | 3 | next bucket |
//! | `meta` | [`staging`] | 4 ‖ group ‖ generation | nothing |
//! | `meta` | [`node_row`] | 5 ‖ the node's key | the node's value |
//!
//! All integers are big-endian.

pub(crate) mod bucket_counter;
pub(crate) mod entry;
pub(crate) mod group_row;
pub(crate) mod group_slot;
pub(crate) mod machine_row;
pub(crate) mod node_row;
pub(crate) mod queue_log;
pub(crate) mod segment;
pub(crate) mod staging;
pub(crate) mod stream_log;

/// First byte of every key in the `meta` family.
pub(crate) mod kind {
    pub(crate) const GROUP: u8 = 1;
    pub(crate) const SEGMENT: u8 = 2;
    pub(crate) const BUCKET_COUNTER: u8 = 3;
    pub(crate) const STAGING: u8 = 4;
    pub(crate) const NODE: u8 = 5;
}
