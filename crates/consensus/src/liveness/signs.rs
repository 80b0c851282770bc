//! What one peer's lanes say about it. Pure: the time comes in.
//!
//! Pings go over control and data lanes alike, so each says two things: a sign on any of them that the peer lives, and
//! silence of a data lane, while the peer is heard, that entries do not pass there. For the latter it matters who made
//! the connection: a node's entries go over the lane that it dialed.

use std::time::Duration;

use tokio::time::Instant;

/// Where a sign came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A control lane, whoever dialed it.
    Control,
    /// The data lane that the peer dialed: its entries come in here.
    DataIn,
    /// The data lane that we dialed: our entries go out here.
    DataOut,
}

/// Silence of a data lane, in multiples of the suspect timeout, after which it is mute. Long enough for a busy node and
/// a lost connection that is made anew; short against the ten seconds that a group may be without acknowledgements.
const MUTE_SUSPECTS: u32 = 8;
/// Silence, in multiples of the suspect timeout, after which connections are given up and made anew: after a partition
/// heals, a fresh connection works at once, while TCP's own retries may be seconds away.
const SILENCE_SUSPECTS: u32 = 3;

/// The signs of one peer.
#[derive(Debug)]
pub(crate) struct Signs {
    suspect: Duration,
    control: Contact,
    data: Contact,
    /// Since when the control lanes are heard without a break.
    control_since: Instant,
    data_in: Option<Instant>,
    data_out: Option<Instant>,
    /// The silence of the data lane that we dialed was told, and nothing came over it since.
    data_told: bool,
}

#[derive(Debug, Default)]
struct Contact {
    /// The last sign, unless a connection broke since.
    heard: Option<Instant>,
    /// The last sign, whatever broke since; none once the silence after it was told.
    last: Option<Instant>,
}

/// Whose silence has just become long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    /// The control lanes'.
    pub(crate) control: bool,
    /// That of the data lane which we dialed, although the peer is heard on its control lane.
    pub(crate) data: bool,
    /// The whole node's.
    pub(crate) node: bool,
}

impl Signs {
    /// A peer that nothing was heard of yet.
    pub(crate) fn new(suspect: Duration, now: Instant) -> Self {
        Self {
            suspect,
            control: Contact::default(),
            data: Contact::default(),
            control_since: now,
            data_in: None,
            data_out: None,
            data_told: false,
        }
    }

    /// A sign of life.
    pub(crate) fn note(&mut self, way: Way, now: Instant) {
        match way {
            Way::Control => {
                if !self.hears_control(now) {
                    self.control_since = now;
                }
                self.control.note(now);
            }
            Way::DataIn => {
                self.data.note(now);
                self.data_in = Some(now);
            }
            Way::DataOut => {
                self.data.note(now);
                self.data_out = Some(now);
                self.data_told = false;
            }
        }
    }

    /// The peer's data lane waits for us. It is not the peer that is silent then, and it may be dead for all we know.
    pub(crate) fn note_held(&mut self, now: Instant) {
        self.data_in = Some(now);
    }

    /// A control connection broke: no need to wait for silence.
    pub(crate) fn cut_control(&mut self) {
        self.control.heard = None;
    }

    /// A data connection broke.
    pub(crate) fn cut_data(&mut self) {
        self.data.heard = None;
    }

    /// Whether the peer gave a sign of life within the suspect timeout, on whatever lane.
    pub(crate) fn hears(&self, now: Instant) -> bool {
        self.hears_control(now) || self.hears_data(now)
    }

    pub(crate) fn hears_control(&self, now: Instant) -> bool {
        self.control.is_fresh(self.suspect, now)
    }

    pub(crate) fn hears_data(&self, now: Instant) -> bool {
        self.data.is_fresh(self.suspect, now)
    }

    /// Whether nothing came this way for long although the peer's control lane was heard all the time.
    pub(crate) fn is_mute(&self, way: Way, now: Instant) -> bool {
        let last = match way {
            Way::Control => return false,
            Way::DataIn => self.data_in,
            Way::DataOut => self.data_out,
        };
        let since = last.map_or(self.control_since, |last| last.max(self.control_since));
        self.hears_control(now) && now.duration_since(since) >= self.suspect * MUTE_SUSPECTS
    }

    /// Tells of each long silence once.
    pub(crate) fn take_silence(&mut self, now: Instant) -> Silence {
        let patience = self.suspect * SILENCE_SUSPECTS;
        let mute = self.is_mute(Way::DataOut, now) && !std::mem::replace(&mut self.data_told, true);
        let control = self.control.take_silence(patience, now);
        let data = self.data.take_silence(patience, now);
        let quiet = self.control.last.is_none() && self.data.last.is_none();
        Silence { control, data: mute, node: (control || data) && quiet }
    }
}

impl Contact {
    fn note(&mut self, now: Instant) {
        self.heard = Some(now);
        self.last = Some(now);
    }

    fn is_fresh(&self, suspect: Duration, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.duration_since(heard) < suspect)
    }

    fn take_silence(&mut self, patience: Duration, now: Instant) -> bool {
        let silent = self.last.is_some_and(|last| now.duration_since(last) >= patience);
        if silent {
            *self = Self::default();
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUSPECT: Duration = Duration::from_millis(400);
    const PING: Duration = Duration::from_millis(100);

    /// A peer, and what is heard of it in every ping interval for `span`.
    struct Peer {
        signs: Signs,
        now: Instant,
    }

    impl Peer {
        fn new() -> Self {
            let now = Instant::now();
            Self { signs: Signs::new(SUSPECT, now), now }
        }

        fn pass(&mut self, span: Duration, ways: &[Way]) {
            let end = self.now + span;
            while self.now < end {
                for way in ways {
                    self.signs.note(*way, self.now);
                }
                self.now += PING;
            }
        }

        fn is_mute(&self, way: Way) -> bool {
            self.signs.is_mute(way, self.now)
        }
    }

    const ALL: [Way; 3] = [Way::Control, Way::DataIn, Way::DataOut];
    const SECONDS: Duration = Duration::from_secs(5);

    #[test]
    fn a_peer_that_is_heard_on_all_lanes_is_well() {
        let mut peer = Peer::new();
        peer.pass(SECONDS, &ALL);
        assert!(peer.signs.hears(peer.now));
        assert!(!peer.is_mute(Way::DataIn) && !peer.is_mute(Way::DataOut));
        assert_eq!(peer.signs.take_silence(peer.now), Silence::default());
    }

    #[test]
    fn a_data_lane_that_brings_nothing_while_the_peer_is_heard_is_mute() {
        let mut peer = Peer::new();
        peer.pass(SECONDS, &ALL);
        peer.pass(SECONDS, &[Way::Control, Way::DataOut]);
        assert!(peer.is_mute(Way::DataIn));
        assert!(!peer.is_mute(Way::DataOut), "the other way works");
        peer.pass(PING, &ALL);
        assert!(!peer.is_mute(Way::DataIn), "and one sign ends it");
    }

    #[test]
    fn a_peer_that_never_had_a_data_lane_is_mute_after_the_same_time() {
        let mut peer = Peer::new();
        peer.pass(SUSPECT * (MUTE_SUSPECTS - 1), &[Way::Control]);
        assert!(!peer.is_mute(Way::DataIn));
        peer.pass(SUSPECT, &[Way::Control]);
        assert!(peer.is_mute(Way::DataIn));
    }

    #[test]
    fn a_peer_that_comes_back_has_time_to_connect_its_data_lane() {
        let mut peer = Peer::new();
        peer.pass(SECONDS, &ALL);
        peer.pass(SECONDS, &[]);
        assert!(!peer.is_mute(Way::DataIn), "it is silent altogether");
        peer.pass(SECONDS / 2, &[Way::Control]);
        assert!(!peer.is_mute(Way::DataIn));
    }

    #[test]
    fn a_lane_of_ours_that_is_mute_is_told_once_until_something_comes_over_it() {
        let mut peer = Peer::new();
        let mute = Silence { data: true, ..Silence::default() };
        for _ in 0..2 {
            peer.pass(SECONDS, &ALL);
            peer.pass(SECONDS, &[Way::Control, Way::DataIn]);
            assert_eq!(peer.signs.take_silence(peer.now), mute);
            peer.pass(SECONDS, &[Way::Control, Way::DataIn]);
            assert_eq!(peer.signs.take_silence(peer.now), Silence::default());
        }
    }

    #[test]
    fn a_lane_that_waits_for_our_disk_is_neither_mute_nor_a_sign_of_life() {
        let mut peer = Peer::new();
        peer.pass(SECONDS, &ALL);
        for _ in 0..50 {
            peer.pass(PING, &[Way::Control]);
            peer.signs.note_held(peer.now);
        }
        assert!(!peer.is_mute(Way::DataIn));
        assert!(!peer.signs.hears_data(peer.now));
    }

    #[test]
    fn a_peer_whose_control_lanes_are_dead_lives_as_long_as_its_data_flow() {
        let mut peer = Peer::new();
        peer.pass(SECONDS, &ALL);
        peer.pass(SECONDS, &[Way::DataIn]);
        assert!(peer.signs.hears(peer.now) && !peer.signs.hears_control(peer.now));
        assert_eq!(peer.signs.take_silence(peer.now), Silence { control: true, ..Silence::default() });
        peer.pass(SECONDS, &[]);
        assert!(!peer.signs.hears(peer.now));
        assert_eq!(peer.signs.take_silence(peer.now), Silence { node: true, ..Silence::default() });
        assert_eq!(peer.signs.take_silence(peer.now), Silence::default(), "told once");
    }

    #[test]
    fn a_node_whose_connections_broke_is_silent_at_once_and_told_after_a_while() {
        let mut peer = Peer::new();
        peer.pass(SECONDS, &ALL);
        peer.signs.cut_control();
        assert!(peer.signs.hears(peer.now), "its data lane stands");
        peer.signs.cut_data();
        assert!(!peer.signs.hears(peer.now));
        assert_eq!(peer.signs.take_silence(peer.now), Silence::default());
        peer.pass(SUSPECT * SILENCE_SUSPECTS, &[]);
        let told = Silence { control: true, node: true, ..Silence::default() };
        assert_eq!(peer.signs.take_silence(peer.now), told);
    }
}
