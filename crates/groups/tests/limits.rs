//! Both sides of each limit of the coordinator: what is just within is taken, one more gets its code and stores nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use weir_groups::limits::{
    GROUPS_MAX, MEMBER_ID_BYTES_MAX, MEMBER_TOPICS_MAX, SESSION_MS_MAX, SESSION_MS_MIN,
};
use weir_groups::{Command, Coordinator, MemberId};
use weir_types::limits::{GROUP_MEMBERS_MAX, NAME_BYTES_MAX};
use weir_types::{At, LogIndex, Output, RequestId, Term, TopicId};

/// A join, by what a limit is for.
#[derive(Clone)]
struct Join {
    group: String,
    member: String,
    topics: u32,
    session_timeout_ms: u64,
}

const fn usual() -> Join {
    Join { group: String::new(), member: String::new(), topics: 1, session_timeout_ms: SESSION_MS_MIN }
}

#[derive(Default)]
struct Shard {
    coordinator: Coordinator,
    index: u64,
}

impl Shard {
    /// Nothing when the join was taken, else its code: then nothing was stored.
    fn join(&mut self, join: &Join) -> Option<&'static str> {
        self.index += 1;
        let Join { group, member, topics, session_timeout_ms } = join.clone();
        let topics = (1..=topics).map(TopicId).collect();
        let (member, request) = (MemberId(member), RequestId(self.index));
        let at = At { term: Term(1), index: LogIndex(self.index), ..At::default() };
        let mut out = Output::default();
        let command = Command::Join { group, member, topics, session_timeout_ms, request };
        let answer = self.coordinator.apply(at, command, &mut out).unwrap();
        let refused = answer.err().map(|rejection| rejection.code());
        assert_eq!(out.changes.is_empty(), refused.is_some(), "{:?}", out.changes);
        refused
    }
}

#[test]
fn a_join_is_taken_up_to_each_of_its_limits() {
    let named = |bytes: usize| Join { group: "g".repeat(bytes), member: "m".to_owned(), ..usual() };
    let member = |bytes: usize| Join { group: "g".to_owned(), member: "m".repeat(bytes), ..usual() };
    let topics = |topics: usize| Join { topics: topics as u32, ..member(1) };
    let session = |session_timeout_ms| Join { session_timeout_ms, ..member(1) };
    let mut shard = Shard::default();
    for (within, beyond, code) in [
        (named(1), named(0), "invalid-name"),
        (named(NAME_BYTES_MAX), named(NAME_BYTES_MAX + 1), "invalid-name"),
        (member(1), member(0), "invalid-member"),
        (member(MEMBER_ID_BYTES_MAX), member(MEMBER_ID_BYTES_MAX + 1), "invalid-member"),
        (topics(1), topics(0), "no-topics"),
        (topics(MEMBER_TOPICS_MAX), topics(MEMBER_TOPICS_MAX + 1), "too-many-topics"),
        (session(SESSION_MS_MIN), session(SESSION_MS_MIN - 1), "invalid-session-timeout"),
        (session(SESSION_MS_MAX), session(SESSION_MS_MAX + 1), "invalid-session-timeout"),
    ] {
        assert_eq!(shard.join(&within), None, "{code}");
        assert_eq!(shard.join(&beyond), Some(code));
    }
}

#[test]
fn a_group_has_as_many_members_as_it_may() {
    let mut shard = Shard::default();
    let member = |number: usize| Join { group: "g".to_owned(), member: number.to_string(), ..usual() };
    for number in 0..GROUP_MEMBERS_MAX {
        assert_eq!(shard.join(&member(number)), None);
    }
    assert_eq!(shard.join(&member(GROUP_MEMBERS_MAX)), Some("too-many-members"));
    assert_eq!(shard.join(&member(0)), None, "one that is there comes back");
}

#[test]
fn a_shard_has_as_many_groups_as_it_may() {
    let mut shard = Shard::default();
    let group = |number: usize| Join { group: number.to_string(), member: "m".to_owned(), ..usual() };
    for number in 0..GROUPS_MAX {
        assert_eq!(shard.join(&group(number)), None);
    }
    assert_eq!(shard.join(&group(GROUPS_MAX)), Some("too-many-groups"));
    assert_eq!(shard.join(&Join { member: "n".to_owned(), ..group(0) }), None, "groups that are there go on");
}
