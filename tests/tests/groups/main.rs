//! Consumer groups on three processes: who owns what while members come, go and crash, and where a group stands after
//! its partition's leader was killed (P14).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use member::{Ends, Member, complete, repeated};
use tokio::time::Instant;
use tonic::transport::Channel;
use weir_client::{
    Client, ConsumerOptions, ErrorKind, GroupDescription, NewTopic, ProducerOptions, Record, ResetTo,
};
use weir_proto::error_from_status;
use weir_proto::v1::group_client::GroupClient;
use weir_proto::v1::stream_client::StreamClient;
use weir_proto::v1::{AssignedPartition, CommitOffsetRequest, DescribeGroupRequest, GroupLeaveRequest};
use weir_tests::{Cluster, Site, eventually, within};

/// How long the members of a group may take to agree.
const SOON: Duration = Duration::from_secs(30);
/// Session timeout of members that do not crash. So long that nobody may wait for a heartbeat that is due: the members
/// are told at once.
const LONG: Duration = Duration::from_mins(5);
/// Session timeout of members that do.
const SHORT: Duration = Duration::from_secs(2);

/// The cluster, and what is asked of it again and again.
struct Bench {
    cluster: Cluster,
    client: Client,
    channel: Channel,
}

impl Bench {
    async fn start(site: &Site) -> Self {
        let mut cluster = Cluster::start(site, 3).await;
        let client = cluster.client().await;
        cluster.whole(&client).await;
        let address = format!("http://{}", cluster.seeds()[0]);
        let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
        Self { cluster, client, channel }
    }

    async fn stream(&self, name: &str, partitions: u32) {
        self.client.admin().create_topic(NewTopic::stream(name).partitions(partitions)).await.unwrap();
    }

    /// Appends records, some to each partition, and says where the partitions end then.
    async fn append(&self, topic: &str, count: u32) -> Ends {
        let producer = self.client.producer(topic, ProducerOptions::default()).await.unwrap();
        let mut pending = Vec::new();
        for n in 0..count {
            let record = Record::new(format!("record {n}")).key(format!("key {n}"));
            pending.push(producer.send(record).await.unwrap());
        }
        futures::future::try_join_all(pending).await.unwrap();
        producer.close().await;
        let offsets = self.client.admin().offsets(topic, None).await.unwrap();
        offsets.iter().map(|partition| (partition.partition, partition.end_offset)).collect()
    }

    async fn describe(&self, group: &str) -> GroupDescription {
        self.client.admin().describe_group(group).await.unwrap()
    }

    /// Waits until these members, and no others, have so many partitions each; gives the time it took.
    async fn shared(&self, group: &str, wanted: &[(&Member, usize)]) -> Duration {
        let began = Instant::now();
        let mut wanted: Vec<(&str, usize)> =
            wanted.iter().map(|(member, count)| (member.id.as_str(), *count)).collect();
        wanted.sort_unstable();
        eventually(&format!("the partitions of `{group}` are shared as {wanted:?}"), SOON, async || {
            let description = self.describe(group).await;
            let members = description.members.iter();
            let mut shares: Vec<(&str, usize)> =
                members.map(|member| (member.member_id.as_str(), member.assigned.len())).collect();
            shares.sort_unstable();
            if shares == wanted { Ok(()) } else { Err(format!("{shares:?}")) }
        })
        .await;
        began.elapsed()
    }

    /// Waits until the group has committed everything.
    async fn committed(&self, group: &str, ends: &Ends) {
        eventually(&format!("`{group}` has committed {ends:?}"), SOON, async || {
            let positions = positions(&self.describe(group).await);
            if positions == *ends { Ok(()) } else { Err(format!("{positions:?}")) }
        })
        .await;
    }

    /// What a member has, with epochs, from a node itself.
    async fn assigned(&self, group: &str, member: &str) -> Vec<AssignedPartition> {
        let request = DescribeGroupRequest { group: group.to_owned() };
        let answer = GroupClient::new(self.channel.clone()).describe(request).await.unwrap().into_inner();
        let found = answer.members.into_iter().find(|found| found.member_id == member);
        found.map(|found| found.assigned).unwrap_or_default()
    }
}

/// Committed positions that are not at the very beginning.
fn positions(group: &GroupDescription) -> Ends {
    let committed = group.positions.iter().map(|found| (found.partition, found.committed));
    committed.filter_map(|(partition, committed)| Some((partition, committed?))).collect()
}

async fn members_share_the_partitions_and_hand_them_over_in_order(bench: &Bench) {
    bench.stream("shared", 6).await;
    let mut first = Member::join(&bench.client, "sharing", "shared", LONG).await;
    bench.shared("sharing", &[(&first, 6)]).await;
    let half = bench.append("shared", 120).await;
    first.until("everything is read", |reads| complete(reads, &Ends::new(), &half)).await;
    bench.committed("sharing", &half).await;

    let second = Member::join(&bench.client, "sharing", "shared", LONG).await;
    let took = bench.shared("sharing", &[(&first, 3), (&second, 3)]).await;
    eprintln!("a second member had its share after {} ms", took.as_millis());
    let before = first.reads().len();
    let whole = bench.append("shared", 120).await;
    bench.committed("sharing", &whole).await;
    let mut reads = first.reads();
    let later: BTreeSet<u32> = reads[before..].iter().map(|(partition, _)| *partition).collect();
    assert!(later.is_disjoint(&second.partitions()), "each partition had one reader");
    assert_eq!((later.len(), second.partitions().len()), (3, 3));

    first.close().await;
    let took = bench.shared("sharing", &[(&second, 6)]).await;
    eprintln!("the partitions of a member that left were taken over after {} ms", took.as_millis());
    let end = bench.append("shared", 60).await;
    bench.committed("sharing", &end).await;
    reads.extend(second.close().await);
    assert!(complete(&reads, &Ends::new(), &end), "nothing is missing");
    assert_eq!(repeated(&reads), [], "nothing that was committed came twice");
}

async fn a_crashed_member_loses_its_partitions_after_its_session(bench: &Bench) {
    bench.stream("crash", 4).await;
    let mut victim = Member::join(&bench.client, "crashing", "crash", SHORT).await;
    let survivor = Member::join(&bench.client, "crashing", "crash", SHORT).await;
    bench.shared("crashing", &[(&victim, 2), (&survivor, 2)]).await;
    let committed = bench.append("crash", 80).await;
    bench.committed("crashing", &committed).await;
    let owned = victim.partitions();

    victim.commit_no_more();
    let end = bench.append("crash", 80).await;
    victim.until("it reads on", |reads| complete(reads, &Ends::new(), &of(&owned, &end))).await;
    let id = victim.id.clone();
    let crashed = Instant::now();
    let uncommitted = victim.crash().await;
    let members = bench.describe("crashing").await.members;
    assert!(members.iter().any(|member| member.member_id == id), "its session still runs");
    bench.shared("crashing", &[(&survivor, 4)]).await;
    eprintln!("the partitions of a crashed member were free after {} ms", crashed.elapsed().as_millis());

    bench.committed("crashing", &end).await;
    let taken: Vec<(u32, u64)> =
        survivor.close().await.into_iter().filter(|(partition, _)| owned.contains(partition)).collect();
    assert!(complete(&taken, &of(&owned, &committed), &of(&owned, &end)), "it goes on without a gap");
    assert!(
        taken.iter().all(|(partition, offset)| *offset >= committed[partition]),
        "it goes on from the committed position: {taken:?}"
    );
    assert!(uncommitted.len() > taken.len(), "the first half came once");
}

/// Where these partitions end.
fn of(partitions: &BTreeSet<u32>, ends: &Ends) -> Ends {
    let of_them = ends.iter().filter(|(partition, _)| partitions.contains(partition));
    of_them.map(|(partition, end)| (*partition, *end)).collect()
}

async fn a_fenced_owner_cannot_commit(bench: &Bench) {
    bench.stream("fenced", 1).await;
    let ends = bench.append("fenced", 10).await;
    let options = ConsumerOptions { session_timeout: LONG, ..ConsumerOptions::default() };
    let mut old = bench.client.stream_consumer("fencing", &["fenced"], options).await.unwrap();
    // It holds this record, and asks for no other.
    within("a record", SOON, old.next()).await.unwrap().unwrap();
    let grant = bench.assigned("fencing", old.member_id()).await.remove(0);
    let new = Member::join(&bench.client, "fencing", "fenced", LONG).await;
    let leave = GroupLeaveRequest { group: "fencing".to_owned(), member_id: old.member_id().to_owned() };
    GroupClient::new(bench.channel.clone()).leave(leave).await.unwrap();
    bench.committed("fencing", &ends).await;

    let refused = old.commit().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    let status = stale_commit(bench, &grant).await;
    let error = error_from_status(&status);
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    bench.committed("fencing", &ends).await;
    old.close().await.unwrap();
    assert_eq!(new.close().await.len(), 10, "nothing was committed when the new owner began");
}

/// A commit with the epoch of a grant that is over, at whichever node leads the partition.
async fn stale_commit(bench: &Bench, grant: &AssignedPartition) -> tonic::Status {
    let request = CommitOffsetRequest {
        group_id: grant.group_id,
        consumer_group: "fencing".to_owned(),
        epoch: grant.epoch,
        offset: 1,
        metadata: String::new(),
        reset: false,
    };
    let mut refusals = Vec::new();
    for seed in bench.cluster.seeds() {
        let channel = Channel::from_shared(format!("http://{seed}")).unwrap().connect().await.unwrap();
        refusals.push(StreamClient::new(channel).commit_offset(request.clone()).await.unwrap_err());
    }
    let of_leader = refusals.iter().find(|status| error_from_status(status).kind != ErrorKind::Redirect);
    of_leader.expect("one node leads").clone()
}

async fn a_reset_needs_a_group_without_members(bench: &Bench) {
    bench.stream("again", 2).await;
    let ends = bench.append("again", 40).await;
    let member = Member::join(&bench.client, "resetting", "again", LONG).await;
    bench.committed("resetting", &ends).await;
    let admin = bench.client.admin();
    let refused = admin.reset_group("resetting", "again", ResetTo::Earliest).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, "group-in-use"));
    assert_eq!(positions(&bench.describe("resetting").await), ends, "a refused reset moves nothing");
    member.close().await;

    let reset = admin.reset_group("resetting", "again", ResetTo::Offset(5)).await.unwrap();
    assert!(reset.iter().all(|position| position.committed == Some(5)), "{reset:?}");
    let mut member = Member::join(&bench.client, "resetting", "again", LONG).await;
    let from: BTreeMap<u32, u64> = ends.keys().map(|partition| (*partition, 5)).collect();
    member.until("it reads from there", |reads| complete(reads, &from, &ends)).await;
    bench.committed("resetting", &ends).await;
    assert!(member.close().await.iter().all(|(_, offset)| *offset >= 5));
}

async fn positions_survive_the_kill_of_the_leader(bench: &mut Bench) {
    bench.stream("kept", 3).await;
    let before = bench.append("kept", 90).await;
    let mut member = Member::join(&bench.client, "keeping", "kept", LONG).await;
    bench.committed("keeping", &before).await;

    let status = bench.client.admin().cluster_status().await.unwrap();
    let partition = status.partitions.iter().find(|found| found.topic == "kept" && found.partition == 0);
    let leader = bench.cluster.index_of(&status, partition.unwrap().leader.unwrap());
    bench.cluster.nodes()[leader].kill().await;
    let group = bench.describe("keeping").await;
    assert_eq!(positions(&group), before, "no position is lost");
    assert_eq!(group.members.len(), 1, "the coordinator's shard has a leader again");
    let between = bench.append("kept", 90).await;
    member.until("it reads on", |reads| complete(reads, &Ends::new(), &between)).await;
    bench.committed("keeping", &between).await;
    assert_eq!(repeated(&member.close().await), [], "an owner that stays goes on where it is");

    bench.cluster.nodes()[leader].start();
    bench.cluster.whole(&bench.client).await;
    let member = Member::join(&bench.client, "keeping", "kept", LONG).await;
    let end = bench.append("kept", 30).await;
    bench.committed("keeping", &end).await;
    let reads = member.close().await;
    assert!(complete(&reads, &between, &end));
    assert_eq!(reads.len(), 30, "what was committed does not come again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_shares_its_partitions_and_keeps_its_place() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    members_share_the_partitions_and_hand_them_over_in_order(&bench).await;
    a_crashed_member_loses_its_partitions_after_its_session(&bench).await;
    a_fenced_owner_cannot_commit(&bench).await;
    a_reset_needs_a_group_without_members(&bench).await;
    positions_survive_the_kill_of_the_leader(&mut bench).await;
    bench.cluster.check();
}
