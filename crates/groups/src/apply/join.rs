//! `Join`: a member comes, comes back, or changes its subscription.

use std::collections::BTreeSet;

use weir_types::limits::{GROUP_MEMBERS_MAX, NAME_BYTES_MAX, name_is_valid};
use weir_types::{At, Output, RequestId, TopicId};

use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::limits::{GROUPS_MAX, MEMBER_ID_BYTES_MAX, MEMBER_TOPICS_MAX, SESSION_MS_MAX, SESSION_MS_MIN};
use crate::member::{Member, MemberId};
use crate::output::{Effect, Rejection, Reply};
use crate::rows;

pub(crate) struct Join {
    pub(crate) group: String,
    pub(crate) member: MemberId,
    pub(crate) topics: BTreeSet<TopicId>,
    pub(crate) session_timeout_ms: u64,
    pub(crate) request: RequestId,
}

impl Coordinator {
    pub(crate) fn join(&mut self, at: At, asked: Join, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        check_join(&asked)?;
        let Join { group: name, member: id, topics, session_timeout_ms, request } = asked;
        if self.joined_by(&name, &id) == Some(request) {
            self.renew(&name, &id, at.lease_clock, out);
            return Ok(self.joined(&name, &id));
        }
        self.make_room(at, &name, &id, out)?;
        let before = self.groups[&name].slots.clone();
        // Whatever an older life of the member had, this one has to be granted under a new epoch.
        self.take_member(&name, &id);
        let epoch = self.take_epoch(out);
        let deadline = at.lease_clock + session_timeout_ms;
        for topic in topics.iter().filter(|topic| !self.topics.contains_key(topic)) {
            out.effects.push(Effect::PartitionsWanted { topic: *topic });
        }
        let member = Member { epoch, topics, session_timeout_ms, deadline, request };
        self.insert_member(&name, id.clone(), member, out);
        self.rebalance(at, &name, &before, out);
        Ok(self.joined(&name, &id))
    }

    fn joined_by(&self, name: &str, id: &MemberId) -> Option<RequestId> {
        self.groups.get(name)?.members.get(id).map(|member| member.request)
    }

    fn joined(&self, name: &str, id: &MemberId) -> Reply {
        let group = &self.groups[name];
        Reply::Joined { epoch: group.members[id].epoch, assignment: group.assignment(id) }
    }

    /// Makes the group if it is not there, unless a limit is reached.
    fn make_room(
        &mut self,
        at: At,
        name: &str,
        id: &MemberId,
        out: &mut Output<Effect>,
    ) -> Result<(), Rejection> {
        if let Some(group) = self.groups.get(name) {
            if group.members.len() >= GROUP_MEMBERS_MAX && !group.members.contains_key(id) {
                return Err(Rejection::TooManyMembers { group: name.to_owned(), limit: GROUP_MEMBERS_MAX });
            }
            return Ok(());
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(Rejection::TooManyGroups { limit: GROUPS_MAX });
        }
        let group = Group { created: at.wall_clock, ..Group::default() };
        rows::put_group(name, &group, out);
        self.groups.insert(name.to_owned(), group);
        Ok(())
    }
}

fn check_join(asked: &Join) -> Result<(), Rejection> {
    if !name_is_valid(&asked.group) {
        let group = asked.group.chars().take(NAME_BYTES_MAX).collect();
        return Err(Rejection::InvalidName { group });
    }
    let bytes = asked.member.0.len();
    if !(1..=MEMBER_ID_BYTES_MAX).contains(&bytes) {
        return Err(Rejection::InvalidMember { bytes, limit: MEMBER_ID_BYTES_MAX });
    }
    let (ms, min, max) = (asked.session_timeout_ms, SESSION_MS_MIN, SESSION_MS_MAX);
    if !(min..=max).contains(&ms) {
        return Err(Rejection::InvalidSessionTimeout { ms, min, max });
    }
    let wanted = asked.topics.len();
    if wanted == 0 {
        return Err(Rejection::NoTopics);
    }
    if wanted > MEMBER_TOPICS_MAX {
        return Err(Rejection::TooManyTopics { wanted, limit: MEMBER_TOPICS_MAX });
    }
    Ok(())
}
