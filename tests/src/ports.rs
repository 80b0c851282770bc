//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections, so that none takes a node's port
/// while the node is down.
const FIRST: u32 = 12_000;
const LAST: u32 = 20_000;

static STEP: AtomicU32 = AtomicU32::new(0);

/// So many ports that nobody listens on, and that this process has not given away before. Two test programs at once
/// begin at different places.
pub(crate) fn free(count: usize) -> Vec<u16> {
    let begin = std::process::id().wrapping_mul(97);
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let step = STEP.fetch_add(1, Ordering::Relaxed);
        assert!(step < LAST - FIRST, "no {count} ports between {FIRST} and {LAST} are free");
        let port = (FIRST + begin.wrapping_add(step) % (LAST - FIRST)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            found.push(port);
        }
    }
    found
}
