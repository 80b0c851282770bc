//! Topics change shape all the time: partitions are split and merged, topics scaled up and down.

use std::pin::pin;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use tokio::time::timeout;
use weir_client::Admin;
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;

use super::cluster::{FIRST_MOVE_PATIENCE, administrator};
use super::work::Work;
use crate::env::Result;
use crate::wire::Link;

/// How many partitions of a topic own keys, at most: each split also leaves one behind that is sealed.
const OWNERS_MAX: usize = 12;
/// How many a topic is scaled to, at most.
const SCALE_MAX: u32 = 9;
/// Of a hundred splits, so many are at some other key than the middle one.
const UNEVEN_PERCENT: u32 = 40;
/// How long the cluster may take to tell which partitions there are.
const ASKING: Duration = Duration::from_secs(3);
/// How long it may take to change them, and how often it is looked whether all is to be healed meanwhile.
const RESHAPING: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(200);
/// Between two changes, in milliseconds.
const PAUSE_MS: (u64, u64) = (1_000, 4_000);

/// What is done to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// One partition becomes two, at a key or in the middle.
    Split { partition: u32, at: Option<u32> },
    /// Two neighbours become one.
    Merge { left: u32, right: u32 },
    /// So many partitions.
    Scale(u32),
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    splits: u32,
    merges: u32,
    scales: u32,
    asked: u32,
}

/// Partitions of topics at random, one after the other.
pub(super) fn splits(work: &mut Work<'_>) -> Result<()> {
    let (runtime, admin) = administrator(work)?;
    let addresses = work.site().seeds();
    let end = Instant::now() + work.lasts();
    let mut done = Done::default();
    while Instant::now() < end || (done.any() == 0 && Instant::now() < end + FIRST_MOVE_PATIENCE) {
        let address = addresses.choose(&mut work.dice).cloned();
        let topics = runtime.block_on(async { topics(&address.unwrap_or_default()).await });
        if let Some(topic) = topics.choose(&mut work.dice)
            && let Some(act) = draw(&topic.partitions, &mut work.dice)
        {
            done.asked += 1;
            if runtime.block_on(until_healed(work, perform(&admin, &topic.name, act))) {
                // A storm in which nothing changes is none.
                if done.any() == 0 {
                    work.begin("");
                }
                done.count(act);
            }
        }
        let pause = Duration::from_millis(work.dice.random_range(PAUSE_MS.0..PAUSE_MS.1));
        if !work.rest(pause) {
            break;
        }
    }
    if done.any() > 0 {
        let Done { splits, merges, scales, asked } = done;
        work.end(format!(
            "{splits} splits, {merges} merges, {scales} changes of scale, of {asked} that were asked for"
        ));
    }
    Ok(())
}

/// The topics as a node's routing table has them; none when it does not tell in time.
async fn topics(address: &str) -> Vec<v1::RoutingTopic> {
    let ask =
        |channel| async move { AdminClient::new(channel).watch_routing(v1::WatchRoutingRequest {}).await };
    let Ok(mut tables) = Link::default().call(address, ASKING, ask).await else { return Vec::new() };
    let table = timeout(ASKING, tables.message()).await.ok().and_then(std::result::Result::ok).flatten();
    let mut topics = table.map(|table| table.topics).unwrap_or_default();
    topics.retain(|topic| !topic.name.is_empty() && !topic.partitions.is_empty());
    topics
}

/// What is done next to a topic with these owners, which stand in the order of their keys.
fn draw(owners: &[v1::RoutingPartition], dice: &mut SmallRng) -> Option<Act> {
    let grows = owners.len() < 2 || (owners.len() < OWNERS_MAX && dice.random_range(0..100) < 50);
    if owners.len() > 1 && dice.random_range(0..100) < 20 {
        return Some(Act::Scale(dice.random_range(1..=SCALE_MAX)));
    }
    if grows {
        let chosen = owners.choose(dice)?;
        // The second child begins behind the first key of the range.
        let uneven = chosen.key_first < chosen.key_last && dice.random_range(0..100) < UNEVEN_PERCENT;
        let at = uneven.then(|| dice.random_range(chosen.key_first..chosen.key_last) + 1);
        return Some(Act::Split { partition: chosen.partition, at });
    }
    let place = dice.random_range(0..owners.len() - 1);
    Some(Act::Merge { left: owners[place].partition, right: owners[place + 1].partition })
}

/// Asks for it; whether it was planned. It may be refused, as the last change of the partition may be under way.
async fn perform(admin: &Admin, topic: &str, act: Act) -> bool {
    let asked = match act {
        Act::Split { partition, at } => admin.split_partition(topic, partition, at).await,
        Act::Merge { left, right } => admin.merge_partitions(topic, left, right).await,
        Act::Scale(partitions) => admin.scale_topic(topic, partitions).await,
    };
    asked.is_ok_and(|reshaped| !reshaped.parents.is_empty())
}

/// Waits for an answer, for a bounded time, and not when all is to be healed.
async fn until_healed(work: &Work<'_>, asked: impl Future<Output = bool>) -> bool {
    let (mut asked, end) = (pin!(asked), Instant::now() + RESHAPING);
    while Instant::now() < end && !work.is_healing() {
        if let Ok(done) = timeout(LOOK, &mut asked).await {
            return done;
        }
    }
    false
}

impl Done {
    fn any(self) -> u32 {
        self.splits + self.merges + self.scales
    }

    fn count(&mut self, act: Act) {
        match act {
            Act::Split { .. } => self.splits += 1,
            Act::Merge { .. } => self.merges += 1,
            Act::Scale(_) => self.scales += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn owners(count: u32) -> Vec<v1::RoutingPartition> {
        let owner = |number| v1::RoutingPartition {
            partition: 10 + number,
            key_first: number * 100,
            key_last: number * 100 + 99,
            ..v1::RoutingPartition::default()
        };
        (0..count).map(owner).collect()
    }

    #[test]
    fn acts_are_such_as_a_topic_can_take_and_owners_stay_few() {
        let mut dice = SmallRng::seed_from_u64(1);
        for count in [1, 2, 5, OWNERS_MAX as u32] {
            let owners = owners(count);
            for _ in 0..500 {
                match draw(&owners, &mut dice).expect("there are owners") {
                    Act::Split { partition, at } => {
                        assert!(count < OWNERS_MAX as u32);
                        let chosen = owners.iter().find(|owner| owner.partition == partition);
                        let chosen = chosen.expect("it is one of them");
                        assert!(at.is_none_or(|at| chosen.key_first < at && at <= chosen.key_last));
                    }
                    Act::Merge { left, right } => assert!(right == left + 1 && right < 10 + count),
                    Act::Scale(partitions) => assert!((1..=SCALE_MAX).contains(&partitions)),
                }
            }
        }
        assert_eq!(draw(&[], &mut dice), None);
    }
}
