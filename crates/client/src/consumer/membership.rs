//! The task that keeps a member in its group, and starts and stops reading as partitions come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_proto::v1;
use weir_runtime::TaskGroup;
use weir_types::GroupId;

use super::member::Member;
use super::ownership::Owned;
use crate::Error;
use crate::call::Pauses;
use crate::stream::{Origin, Source};

/// Two heartbeats are at least this far apart, however often the assignment changes.
const HEARTBEAT_PACE: Duration = Duration::from_millis(50);

/// The reading of each partition that this member owns.
struct Membership {
    member: Arc<Member>,
    reading: BTreeMap<Source, TaskGroup>,
    releasing: TaskGroup,
}

/// Keeps up the membership that began with `answer`, until it is aborted. A member that has what it is assigned asks
/// again at once, and the node holds the call until that changes. One that still has to give something up would be
/// answered at once, so it asks when that is done, or when the group must hear of it.
pub(crate) async fn keep_membership(member: Arc<Member>, mut answer: v1::GroupHeartbeatResponse) {
    let mut membership = Membership { member, reading: BTreeMap::new(), releasing: TaskGroup::new() };
    let mut asked_at = membership.member.core.now();
    loop {
        if !membership.apply(&answer) {
            let member = &membership.member;
            let longest = member.options.session_timeout / 3;
            let heartbeat = Duration::from_millis(answer.heartbeat_ms).clamp(HEARTBEAT_PACE, longest);
            tokio::select! {
                () = tokio::time::sleep_until(asked_at + heartbeat) => {}
                () = member.ownership.released.notified() => {}
            }
        }
        (answer, asked_at) = membership.ask(asked_at).await;
    }
}

impl Membership {
    /// Asks until there is an answer; and again when something was released while the node held the call.
    async fn ask(
        &mut self,
        last: tokio::time::Instant,
    ) -> (v1::GroupHeartbeatResponse, tokio::time::Instant) {
        let member = Arc::clone(&self.member);
        let mut pauses = Pauses::default();
        let mut earliest = last + HEARTBEAT_PACE;
        loop {
            tokio::time::sleep_until(earliest).await;
            let asked_at = member.core.now();
            earliest = asked_at + HEARTBEAT_PACE;
            let answer = tokio::select! {
                answer = member.heartbeat(member.options.session_timeout) => answer,
                () = member.ownership.released.notified() => continue,
            };
            match answer {
                Ok(answer) => return (answer, asked_at),
                Err(error) => {
                    self.not_heard(error);
                    member.core.sleep_jittered(pauses.next()).await;
                }
            }
        }
    }

    /// The group did not answer for a whole session timeout, or does not know this member (any more): what it owned may
    /// be owned by others. Epochs keep the two apart; here it means to stop and to join anew.
    fn not_heard(&mut self, error: Error) {
        tracing::warn!(group = self.member.group, %error, "heartbeat failed");
        self.reading.clear();
        for source in self.member.ownership.sources() {
            self.member.ownership.remove(source);
        }
        // When the handle does not even take events, it hears of the loss by its next commit.
        let nobody = Source { group: GroupId::METADATA, epoch: 0, turn: 0 };
        let _ = self.member.events.try_send(Err((nobody, error)));
    }

    /// Starts and stops reading. Whether this member then has what it is assigned, and nothing else.
    fn apply(&mut self, answer: &v1::GroupHeartbeatResponse) -> bool {
        let ownership = &self.member.ownership;
        let assigned: BTreeMap<(GroupId, u64), &v1::AssignedPartition> = answer
            .assigned
            .iter()
            .map(|assigned| ((GroupId(assigned.group_id), assigned.epoch), assigned))
            .collect();
        let owned = ownership.sources();
        self.reading.retain(|source, _| owned.contains(source));
        let is_assigned = |source: &&Source| assigned.contains_key(&(source.group, source.epoch));
        let revoked: Vec<&Source> = owned.iter().filter(|source| !is_assigned(source)).collect();
        for source in &revoked {
            if ownership.revoke(**source) {
                self.reading.remove(source);
                self.releasing.spawn(Arc::clone(&self.member).release(**source));
            }
        }
        for ((group, epoch), assigned) in assigned {
            if owned.iter().any(|source| (source.group, source.epoch) == (group, epoch)) {
                continue;
            }
            let source = ownership.add(group, epoch, Owned::new(&assigned.topic, assigned.partition));
            let origin = Origin { topic: assigned.topic.as_str().into(), partition: assigned.partition };
            let mut reading = TaskGroup::new();
            reading.spawn(Arc::clone(&self.member).own(source, origin, answer.group_created_at_ms));
            self.reading.insert(source, reading);
        }
        revoked.is_empty()
    }
}
