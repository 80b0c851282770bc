//! Free ports for a cluster on this machine.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the kernel takes ports for outgoing connections, so that none takes a node's port
/// while the node is down.
const FIRST: u16 = 20_000;
const LAST: u16 = 30_000;

/// So many different loopback ports that nobody listens on now. The search begins at a place that depends on this
/// process, so that two runs at once rarely meet.
pub(super) fn free(count: usize) -> Result<Vec<u16>, String> {
    let span = u32::from(LAST - FIRST);
    let begin = std::process::id().wrapping_mul(97) % span;
    let mut held = Vec::new();
    for step in 0..span {
        if held.len() == count {
            break;
        }
        let port = FIRST + ((begin + step) % span) as u16;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        return Err(format!("only {} of {count} ports between {FIRST} and {LAST} are free", held.len()));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let taken =
            TcpListener::bind((Ipv4Addr::LOCALHOST, free(1).expect("a port")[0])).expect("it is free");
        let mut ports = free(9).expect("nine ports");
        assert!(!ports.contains(&taken.local_addr().expect("bound").port()));
        ports.dedup();
        assert_eq!(ports.len(), 9);
    }
}
