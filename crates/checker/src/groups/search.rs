//! Whether all operations on one register have an order that explains them.
//!
//! The search goes through the history in time and keeps every state that the register may be in: epoch, offset, and
//! which of the operations under way have taken effect. When an operation is over, it must have taken effect in each
//! state that is kept; those in which it has not are continued by everything under way that may have come before it
//! (Wing and Gong's algorithm, in Lowe's order "just in time").
//!
//! Three things keep it small, and lose nothing. A fence may take effect at any time before its end, and a low epoch
//! forbids less than a high one, so it takes effect at its end. A commit of which nobody knows changes nothing the second
//! time, so that it need not be remembered whether it took effect: it stays possible for ever. And as epoch and
//! offset only rise, such a commit is forgotten when every state is beyond it.

use std::collections::BTreeSet;

use super::register::{Act, Deed};

/// What became of the search.
pub(super) enum Outcome {
    /// There is an order.
    Explained,
    /// There is none in which this operation fits.
    Unexplained(Act),
    /// Too many states.
    GaveUp,
}

/// Operations with an answer that may be under way at once.
const UNDER_WAY_MAX: usize = 64;

/// A state that the register may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    epoch: u64,
    offset: Option<u64>,
    /// Which of the operations under way took effect: a bit each.
    done: u64,
}

impl State {
    /// The state after an operation, if it is possible here.
    fn after(self, deed: Deed) -> Option<Self> {
        match deed {
            Deed::Commit { epoch, offset, .. } if epoch >= self.epoch && Some(offset) >= self.offset => {
                Some(Self { epoch, offset: Some(offset), ..self })
            }
            Deed::Position(offset) if offset == self.offset => Some(self),
            Deed::Fence(epoch) => Some(Self { epoch: epoch.max(self.epoch), ..self }),
            Deed::Commit { .. } | Deed::Position(_) | Deed::Poll => None,
        }
    }
}

/// The search in the middle of a history.
struct Search {
    states: BTreeSet<State>,
    under_way: [Option<Deed>; UNDER_WAY_MAX],
    /// Commits of which nobody knows: epoch and offset.
    possible: BTreeSet<(u64, u64)>,
    /// States that may still be visited.
    left: usize,
}

/// Looks for an order.
pub(super) fn explain(acts: &[Act], states_max: usize) -> Outcome {
    // Beginnings before ends of the same time: only what was strictly over came before.
    let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * acts.len());
    for (index, act) in acts.iter().enumerate() {
        moments.push((act.from, false, index));
        if !matches!(act.deed, Deed::Commit { certain: false, .. }) {
            moments.push((act.to, true, index));
        }
    }
    moments.sort_unstable();
    let start = State { epoch: 0, offset: None, done: 0 };
    let left = states_max.saturating_add(acts.len());
    let mut search =
        Search { states: [start].into(), under_way: [None; UNDER_WAY_MAX], possible: BTreeSet::new(), left };
    let mut places = vec![0; acts.len()];
    for (_, is_end, index) in moments {
        let act = acts[index];
        let explained = match (is_end, act.deed) {
            (false, Deed::Fence(_) | Deed::Poll) => Some(true),
            (false, Deed::Commit { epoch, offset, certain: false }) => {
                search.possible.insert((epoch, offset));
                Some(true)
            }
            (false, deed) => search.begin(deed).map(|place| {
                places[index] = place;
                true
            }),
            (true, Deed::Fence(_)) => search.end(act.deed, None),
            (true, deed) => search.end(deed, Some(places[index])),
        };
        match explained {
            Some(true) => {}
            Some(false) => return Outcome::Unexplained(act),
            None => return Outcome::GaveUp,
        }
    }
    Outcome::Explained
}

impl Search {
    /// Something began: its bit, or none when too much is under way.
    fn begin(&mut self, deed: Deed) -> Option<usize> {
        let place = self.under_way.iter().position(Option::is_none)?;
        self.under_way[place] = Some(deed);
        Some(place)
    }

    /// Something is over: whether any state is left. None when there are too many.
    fn end(&mut self, deed: Deed, place: Option<usize>) -> Option<bool> {
        let bit = place.map_or(0, |place| 1 << place);
        let mut seen = std::mem::take(&mut self.states);
        let mut open: Vec<State> = seen.iter().copied().collect();
        let mut kept = BTreeSet::new();
        while let Some(state) = open.pop() {
            self.left = self.left.checked_sub(1)?;
            if state.done & bit != 0 {
                kept.insert(State { done: state.done & !bit, ..state });
                continue;
            }
            if let Some(after) = state.after(deed) {
                kept.insert(after);
            }
            for next in self.nexts(state, place) {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        if let Some(place) = place {
            self.under_way[place] = None;
        }
        self.states = kept;
        self.forget();
        Some(!self.states.is_empty())
    }

    /// States to which anything else leads that is under way.
    fn nexts(&self, state: State, except: Option<usize>) -> Vec<State> {
        let certain = self.under_way.iter().enumerate().filter_map(|(place, deed)| {
            let bit = 1 << place;
            let free = state.done & bit == 0 && Some(place) != except;
            let after = state.after(deed.filter(|_| free)?)?;
            Some(State { done: state.done | bit, ..after })
        });
        let possible = self.possible.range((state.epoch, 0)..).filter_map(|(epoch, offset)| {
            state.after(Deed::Commit { epoch: *epoch, offset: *offset, certain: false })
        });
        certain.chain(possible.filter(|next| *next != state)).collect()
    }

    /// Forgets commits that no state allows any more.
    fn forget(&mut self) {
        let Some(epoch) = self.states.iter().map(|state| state.epoch).min() else { return };
        let Some(offset) = self.states.iter().map(|state| state.offset).min() else { return };
        self.possible.retain(|(e, x)| *e >= epoch && Some(*x) >= offset);
    }
}
