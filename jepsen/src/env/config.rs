//! A node's configuration file.

use std::net::Ipv4Addr;
use std::path::Path;

/// Ports of every node; its address is its own.
pub(crate) const CLIENT_PORT: u16 = 7400;
/// Replication.
pub(crate) const PEER_PORT: u16 = 7401;
/// Health and metrics.
pub(crate) const HTTP_PORT: u16 = 7402;

/// What differs from node to node.
pub(crate) struct NodeConfig<'a> {
    pub(crate) name: &'a str,
    pub(crate) data: &'a Path,
    pub(crate) address: Ipv4Addr,
    pub(crate) seeds: &'a [String],
    pub(crate) expect: u32,
    pub(crate) log_level: &'a str,
}

impl NodeConfig<'_> {
    /// As TOML. The log's buffers are small, so that a node that stays away for a while needs a snapshot, and so that
    /// flushes and compactions happen in a run of minutes.
    pub(crate) fn to_toml(&self) -> String {
        let Self { name, data, address, seeds, expect, log_level } = self;
        let data = data.to_string_lossy();
        format!(
            "[node]\nname = {name:?}\ndata_dir = {data:?}\n\n\
             [cluster]\nseeds = {seeds:?}\nbootstrap_expect = {expect}\n\n\
             [listen]\nclient = \"{address}:{CLIENT_PORT}\"\npeer = \"{address}:{PEER_PORT}\"\n\
             http = \"{address}:{HTTP_PORT}\"\ninsecure = true\n\n\
             [storage]\nlog_buffer = \"16MiB\"\ntail_cache = \"16MiB\"\nballast = \"8MiB\"\nfull_below = \"64MiB\"\n\n\
             [log]\nlevel = {log_level:?}\n"
        )
    }
}
