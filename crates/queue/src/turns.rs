//! Which tenant was served last.

use serde::{Deserialize, Serialize};
use weir_types::{Corrupt, RowChange, TenantHash};

use crate::ready::{Place, Rank, Ready, Tenant};
use crate::table::Table;

/// The tenant that had the last turn of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) tenant: TenantHash,
}

/// Tenants take turns: one message each, in the order of their hashes, round and round. One place per rank is all
/// that is remembered, and so between two turns of a tenant every other one that has ready messages of that rank
/// gets one, however many tenants and messages there are. With one place for all ranks an urgent message could turn
/// back the order of the others, again and again.
///
/// A rank whose last turn went to a message without a tenant has no row: nor has a queue that nobody shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Turns {
    rows: Table<Turn>,
}

impl Turns {
    pub(crate) fn restored(rows: Table<Turn>) -> Result<Self, Corrupt> {
        if let Some((rank, _)) = rows.iter().find(|(rank, _)| *rank > Rank::LAST) {
            return Err(Corrupt(format!("turn of rank {}, the last one is {}", rank.0, Rank::LAST.0)));
        }
        Ok(Self { rows })
    }

    pub(crate) fn last(&self, rank: Rank) -> Tenant {
        self.rows.get(rank).map(|turn| turn.tenant)
    }

    /// Where the next message comes from.
    pub(crate) fn next(&self, ready: &Ready) -> Option<Place> {
        let rank = ready.first_rank()?;
        let tenant = ready.in_turn(rank, self.last(rank)).next().expect("the rank has an item");
        Some(Place { rank, tenant })
    }

    /// A message of this place went.
    pub(crate) fn served(&mut self, place: Place) {
        if self.last(place.rank) == place.tenant {
            return;
        }
        match place.tenant {
            Some(tenant) => self.rows.put(place.rank, Turn { tenant }),
            None => {
                self.rows.remove(place.rank);
            }
        }
    }

    pub(crate) fn entries(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert!(self.rows.is_flushed(), "turns left to write");
    }
}
