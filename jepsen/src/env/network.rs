//! The hosts of a site and the link emulator between them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::error::Result;
use super::ledger::Ledger;
use super::links::Links;
use super::netns::Namespace;
use super::site::Seat;
use super::switch::{Counts, Switch};

/// Last parts of the addresses of the hosts that are no nodes.
const CLIENTS: u8 = 100;
const OBSERVER: u8 = 200;

/// Namespaces that are no node's, and what carries all packets.
pub(crate) struct Network {
    clients: Namespace,
    observer: Arc<Namespace>,
    switch: Switch,
}

impl Network {
    /// Makes hosts for so many nodes, which are returned, and for clients and observer.
    pub(crate) fn build(
        ledger: &Ledger,
        tag: &str,
        nodes: usize,
        links: &Arc<Links>,
        seed: u64,
    ) -> Result<(Self, Vec<Namespace>)> {
        let mut ports = Vec::with_capacity(nodes + 2);
        let mut host = |name: String, address: Ipv4Addr| {
            let (namespace, port) = Namespace::make(ledger, format!("{tag}-{name}"), address)?;
            ports.push((address, port));
            Ok(namespace)
        };
        let made: Result<Vec<Namespace>> =
            (0..nodes).map(|place| host(format!("n{}", place + 1), Self::address(place))).collect();
        let made = made?;
        let clients = host("clients".to_owned(), of(CLIENTS))?;
        let observer = Arc::new(host("observer".to_owned(), of(OBSERVER))?);
        let switch = Switch::start(ports, Arc::clone(links), seed)?;
        Ok((Self { clients, observer, switch }, made))
    }

    /// The address of the node at a place.
    pub(crate) fn address(place: usize) -> Ipv4Addr {
        of(place as u8 + 1)
    }

    /// Moves the calling thread to a host.
    pub(crate) fn enter(&self, seat: Seat) -> Result<()> {
        match seat {
            Seat::Clients => self.clients.enter(),
            Seat::Observer => self.observer.enter(),
        }
    }

    /// Where the harness looks from.
    pub(crate) fn observer(&self) -> Arc<Namespace> {
        Arc::clone(&self.observer)
    }

    /// Packets so far.
    pub(crate) fn counts(&self) -> &Counts {
        self.switch.counts()
    }
}

fn of(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, host)
}
