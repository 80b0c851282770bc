//! Which faults this host can make.
//!
//! Every mechanism is tried for real: made, looked at, and removed. A fault that the host cannot make is refused when a run
//! asks for it; it is never left out in silence.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "what is tried are processes and sockets of this host, on real time"
)]

mod mechanism;
mod probe;
mod trial;

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::env::{Disk, Net};
use crate::nemesis::Kind;

pub use mechanism::Mechanism;
pub use trial::{Tried, try_kinds};

/// A mechanism, and whether it works here.
#[derive(Clone, Debug, Serialize)]
pub struct Capability {
    /// Which.
    pub mechanism: Mechanism,
    /// Whether it works.
    pub works: bool,
    /// How that showed, or why it does not.
    pub detail: String,
    /// The faults that need it.
    pub kinds: Vec<Kind>,
}

/// What this host can do.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// All mechanisms.
    pub capabilities: Vec<Capability>,
}

/// Tries every mechanism; takes a few seconds.
pub fn probe() -> Doctor {
    let capability = |mechanism: &Mechanism| {
        let result = probe::probe(*mechanism);
        let kinds = Kind::ALL.iter().copied().filter(|kind| mechanism::needed_by(*kind).contains(mechanism));
        Capability {
            mechanism: *mechanism,
            works: result.is_ok(),
            detail: result.unwrap_or_else(|error| error.to_string()),
            kinds: kinds.collect(),
        }
    };
    Doctor { capabilities: Mechanism::ALL.iter().map(capability).collect() }
}

impl Doctor {
    /// Whether a kind can be made on a site with such a network and such disks; why not, if it cannot.
    pub fn can(&self, kind: Kind, net: Net, disk: Disk) -> Result<(), String> {
        for mechanism in mechanism::needed_by(kind) {
            match (mechanism, net, disk) {
                (Mechanism::Network, Net::Plain, _) => {
                    return Err(format!("{kind} needs hosts of their own (--net tun)"));
                }
                (Mechanism::Disk, _, Disk::Plain) => {
                    return Err(format!("{kind} needs disks of their own (--disk loop)"));
                }
                _ => {}
            }
            let found = self.capabilities.iter().find(|capability| capability.mechanism == *mechanism);
            if let Some(missing) = found.filter(|capability| !capability.works) {
                return Err(format!("{kind} needs {mechanism}: {}", missing.detail));
            }
        }
        Ok(())
    }

    /// Whether a mechanism works.
    pub fn works(&self, mechanism: Mechanism) -> bool {
        self.capabilities.iter().any(|capability| capability.mechanism == mechanism && capability.works)
    }

    /// For people.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["mechanism", "works", "for", "how it showed"]);
        for capability in &self.capabilities {
            let kinds: Vec<&str> = capability.kinds.iter().map(|kind| kind.name()).collect();
            table.add_row([
                capability.mechanism.to_string(),
                if capability.works { "yes" } else { "no" }.to_owned(),
                kinds.join(", "),
                capability.detail.clone(),
            ]);
        }
        table
    }
}
