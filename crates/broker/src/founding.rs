//! How a node finds its place: founding a cluster with others that are as blank as itself, joining one that
//! exists, or coming back to its own.
//!
//! ```text
//!  blank ──all expected nodes present, blank, and naming the same set──► founders agree ──► member
//!    └────── meets a member of a cluster ──► registers there ─────────────────────────────► member
//! ```
//!
//! A blank node that meets a member never founds a second cluster. The founder with the smallest address draws
//! the cluster's id and hands the list of founders round; each persists it before it acts on it. A crash anywhere
//! leaves either nodes that are still blank, or founders with the same list: a majority of them elects, and a
//! blank one that comes back finds its own incarnation in that list.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tracing::{debug, info};
use weir_metadata::{Addresses, Command, Feature, Founder, Level, Reply};
use weir_runtime::Runtime;
use weir_storage::{Identity, Store};
use weir_types::{ClusterId, ErrorKind, Incarnation, NodeId, ReplicaId, RequestId, WeirError};

use crate::remote::{self, Answer, Founding, Hello, Member, Remote, Request};

/// Pause between two rounds of asking the seeds; a node that waits for others has nothing to wake it.
const ROUND: Duration = Duration::from_millis(200);
/// How long a node that has its place waits for what its seeds say. One that is down refuses at once; only one whose
/// host is gone costs this much of a restart.
const SEED_PATIENCE: Duration = Duration::from_secs(1);
/// Members kept in a node's place: enough to find one that answers.
const MEMBERS_KEPT: usize = 16;

/// What a node is called and where it listens.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// What people call it.
    pub name: String,
    /// Where others reach it.
    pub addresses: Addresses,
    /// What it shares power or network with.
    pub rack: Option<String>,
    /// Client addresses of nodes to ask first; this node's own may be among them.
    pub seeds: BTreeSet<String>,
    /// How many nodes found a new cluster: 1, 3 or 5.
    pub bootstrap_expect: u32,
    /// How long a node may be away before this one, while it leads the registry, has its replicas placed on others;
    /// none: for ever.
    pub recover_after: Option<Duration>,
    /// The feature level at which a new cluster begins, up to [`Level::KNOWN`].
    pub founding_level: Level,
}

impl NodeOptions {
    /// What tells the registry about this node, in the words that all nodes of a cluster at this level understand.
    pub(crate) fn registration(&self, incarnation: Incarnation, level: Level) -> Command {
        let Self { name, addresses, rack, .. } = self.clone();
        if level >= Feature::Joining.level() {
            Command::JoinNode { incarnation, name, addresses, rack, knows: Level::KNOWN }
        } else {
            Command::RegisterNode { incarnation, name, addresses, rack }
        }
    }
}

/// A node's place in its cluster, kept on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// Its replica of the metadata group.
    pub(crate) replica: ReplicaId,
    /// Replicas below it on this node are retired, since its disk once lost writes; 0 if it never did.
    pub(crate) replicas_from: ReplicaId,
    /// The request for fresh replica ids that is under way, so that its retry gets the same ones.
    pub(crate) reissue: Option<RequestId>,
    /// Set on founders.
    pub(crate) founding: Option<Founding>,
    /// Members known at the time, to reach somebody before the registry is at hand.
    pub(crate) members: Vec<Member>,
}

impl Place {
    pub(crate) fn of_founder(founding: &Founding, incarnation: Incarnation) -> Option<Self> {
        let me = founding.founders.iter().find(|founder| founder.incarnation == incarnation)?;
        Some(Self {
            cluster: founding.cluster,
            node: me.node,
            replica: me.replica,
            replicas_from: ReplicaId(0),
            reissue: None,
            founding: Some(founding.clone()),
            members: founding.founders.iter().map(member_of).collect(),
        })
    }

    /// The place that a former life of this process stored, from the superblock's node info.
    pub(crate) fn load(node_info: &[u8]) -> Result<Option<Self>, WeirError> {
        if node_info.is_empty() {
            return Ok(None);
        }
        postcard::from_bytes(node_info).map(Some).map_err(|error| {
            WeirError::new(ErrorKind::Corrupt, "bad-place", format!("node info of the superblock: {error}"))
        })
    }

    /// Stores the place, outside the database, so that it survives what that may lose; durable on return.
    pub(crate) async fn store(&self, store: &Store, incarnation: Incarnation) -> Result<(), WeirError> {
        let bytes = postcard::to_allocvec(self).expect("a place is plain data");
        store.save_node_info(bytes.into()).await.map_err(storage)?;
        store.save_identity(self.identity(incarnation)).await.map_err(storage)
    }

    /// What the superblock keeps of it.
    fn identity(&self, incarnation: Incarnation) -> Identity {
        Identity { cluster: self.cluster, node: self.node, incarnation }
    }
}

fn member_of(founder: &Founder) -> Member {
    Member { node: founder.node, incarnation: founder.incarnation, addresses: founder.addresses.clone() }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands errors over")]
pub(crate) fn storage(error: weir_storage::Error) -> WeirError {
    WeirError::new(ErrorKind::Internal, "storage-failed", error.to_string())
}

/// A blank node that looks for its place.
pub(crate) struct Search<'a> {
    pub(crate) options: &'a NodeOptions,
    pub(crate) incarnation: Incarnation,
    pub(crate) remote: &'a dyn Remote,
    pub(crate) runtime: &'a Runtime,
}

impl Search<'_> {
    /// What this blank node says about itself.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            cluster: ClusterId(0),
            incarnation: self.incarnation,
            name: self.options.name.clone(),
            addresses: self.options.addresses.clone(),
            rack: self.options.rack.clone(),
            seeds: self.options.seeds.clone(),
            bootstrap_expect: self.options.bootstrap_expect,
            members: Vec::new(),
        }
    }

    /// Asks round after round until there is a place; `settled` is the one that this node has, perhaps since a
    /// founder handed it over meanwhile.
    pub(crate) async fn run(&self, settled: impl Fn() -> Option<Place>) -> Result<Place, WeirError> {
        let mut waiting_for = String::new();
        loop {
            if let Some(place) = settled() {
                return Ok(place);
            }
            match self.round().await {
                Ok(place) => return Ok(place),
                Err(error) if error.kind == ErrorKind::Invalid => return Err(error),
                Err(error) => {
                    if error.message != waiting_for {
                        info!(reason = %error, "waiting for a place in a cluster");
                        waiting_for = error.message;
                    }
                }
            }
            sleep(self.runtime.jittered(ROUND)).await;
        }
    }

    /// Asks every seed once, all at the same time: a seed of another cluster than this node's place means that the
    /// node was given the data of another one, or the seeds of another cluster. A seed that does not answer says
    /// nothing: all of them may be restarting.
    pub(crate) async fn refuse_other_cluster(&self, place: &Place) -> Result<(), WeirError> {
        let others = self.options.seeds.iter().filter(|seed| **seed != self.options.addresses.client);
        let asked = others.map(async |seed| {
            (seed, timeout(SEED_PATIENCE, remote::ask(self.remote, seed, &Request::Hello)).await)
        });
        for (seed, answer) in futures::future::join_all(asked).await {
            let Ok(Ok(Answer::Hello(hello))) = answer else { continue };
            if hello.cluster != ClusterId(0) && hello.cluster != place.cluster {
                let message = format!(
                    "the data of this node belong to cluster {}, but its seed {seed} to cluster {}",
                    place.cluster, hello.cluster
                );
                return Err(WeirError::new(ErrorKind::Invalid, "other-cluster", message));
            }
        }
        Ok(())
    }

    async fn round(&self) -> Result<Place, WeirError> {
        let mut hellos = BTreeMap::from([(self.incarnation, self.hello())]);
        for seed in &self.options.seeds {
            if *seed == self.options.addresses.client {
                continue;
            }
            match remote::ask(self.remote, seed, &Request::Hello).await {
                Ok(Answer::Hello(hello)) => {
                    if hello.cluster != ClusterId(0) {
                        return self.join(seed, &hello).await;
                    }
                    hellos.insert(hello.incarnation, hello);
                }
                Ok(other) => return Err(remote::unexpected(&other)),
                Err(error) => debug!(seed, %error, "seed does not answer"),
            }
        }
        self.found(hellos)
    }

    /// Becomes a member of the cluster that `hello` speaks for.
    async fn join(&self, seed: &str, hello: &Hello) -> Result<Place, WeirError> {
        info!(seed, cluster = %hello.cluster, "joining the cluster");
        let level = self.level(seed, hello).await?;
        let register = Request::Metadata(self.options.registration(self.incarnation, level));
        let answer = ask_leader(self.remote, seed, &hello.members, &register).await;
        match answer.map_err(raised_meanwhile)? {
            Answer::Metadata(Reply::Registered { node, replica }) => Ok(Place {
                cluster: hello.cluster,
                node,
                replica,
                replicas_from: ReplicaId(0),
                reissue: None,
                founding: None,
                members: hello.members.iter().take(MEMBERS_KEPT).cloned().collect(),
            }),
            other => Err(remote::unexpected(&other)),
        }
    }

    /// The feature level of the cluster to join. A build that does not know it goes no further.
    async fn level(&self, seed: &str, hello: &Hello) -> Result<Level, WeirError> {
        match ask_leader(self.remote, seed, &hello.members, &Request::Features).await {
            Ok(Answer::Features { active, .. }) => check_level(active, Level::KNOWN),
            Ok(other) => Err(remote::unexpected(&other)),
            // Members that know nothing of levels.
            Err(error) if error.code == "bad-peer-request" => Ok(Level::FIRST),
            Err(error) => Err(error),
        }
    }

    /// Founds a cluster if everybody is here and agrees.
    fn found(&self, hellos: BTreeMap<Incarnation, Hello>) -> Result<Place, WeirError> {
        let expect = self.options.bootstrap_expect as usize;
        if hellos.len() != expect {
            let here: Vec<_> = hellos.values().map(|hello| hello.addresses.client.clone()).collect();
            return Err(waiting(format!("{} of {expect} expected nodes are here: {here:?}", here.len())));
        }
        for hello in hellos.values() {
            if hello.seeds != self.options.seeds || hello.bootstrap_expect != self.options.bootstrap_expect {
                return Err(waiting(format!(
                    "node at {} names seeds {:?} and expects {}, this one names {:?} and expects {expect}",
                    hello.addresses.client, hello.seeds, hello.bootstrap_expect, self.options.seeds,
                )));
            }
        }
        let mut founders: Vec<Hello> = hellos.into_values().collect();
        founders.sort_by(|a, b| a.addresses.client.cmp(&b.addresses.client));
        if founders[0].incarnation != self.incarnation {
            return Err(waiting(format!("node at {} founds the cluster", founders[0].addresses.client)));
        }
        let founding = Founding {
            cluster: ClusterId(self.runtime.random_u64() | 1),
            founders: (1..).zip(&founders).map(|(id, hello)| founder(id, hello)).collect(),
        };
        info!(cluster = %founding.cluster, nodes = expect, "founding a cluster");
        Ok(Place::of_founder(&founding, self.incarnation).expect("this node is among its founders"))
    }
}

fn check_level(active: Level, knows: Level) -> Result<Level, WeirError> {
    if active <= knows {
        return Ok(active);
    }
    let message =
        format!("the cluster is at feature level {active}, this build knows up to {knows}: run a newer one");
    Err(WeirError::new(ErrorKind::Invalid, "build-too-old", message))
}

/// This build knew the level of a moment ago: the next round asks for the new one.
fn raised_meanwhile(error: WeirError) -> WeirError {
    if error.code == "build-too-old" { waiting(error.message) } else { error }
}

fn founder(id: u64, hello: &Hello) -> Founder {
    Founder {
        node: NodeId(id),
        replica: ReplicaId(id),
        incarnation: hello.incarnation,
        name: hello.name.clone(),
        addresses: hello.addresses.clone(),
        rack: hello.rack.clone(),
    }
}

fn waiting(message: String) -> WeirError {
    WeirError::new(ErrorKind::Retry, "waiting-for-nodes", message)
}

/// Hands the list of founders to those in `missing`; those that took it.
pub(crate) async fn hand_round(
    remote: &dyn Remote,
    founding: &Founding,
    missing: &BTreeSet<NodeId>,
) -> BTreeSet<NodeId> {
    let mut reached = BTreeSet::new();
    for founder in founding.founders.iter().filter(|founder| missing.contains(&founder.node)) {
        match remote::ask(remote, &founder.addresses.client, &Request::Found(founding.clone())).await {
            Ok(_) => {
                reached.insert(founder.node);
            }
            Err(error) => debug!(node = %founder.node, %error, "founder does not answer yet"),
        }
    }
    reached
}

/// Asks whoever leads the metadata group, beginning anywhere.
pub(crate) async fn ask_leader(
    remote: &dyn Remote,
    first: &str,
    members: &[Member],
    request: &Request,
) -> Result<Answer, WeirError> {
    let mut error = WeirError::new(ErrorKind::Retry, "no-leader", "no member answers");
    let others = members.iter().map(|member| member.addresses.client.as_str());
    for address in std::iter::once(first).chain(others) {
        match remote::ask(remote, address, request).await {
            Err(redirect) if redirect.kind == ErrorKind::Redirect => {
                let Some(leader) = redirect.leader.clone() else { continue };
                match remote::ask(remote, &leader, request).await {
                    Ok(answer) => return Ok(answer),
                    Err(e) => error = e,
                }
            }
            Err(e) => error = e,
            Ok(answer) => return Ok(answer),
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_does_not_know_the_level_of_a_cluster_does_not_join_it() {
        assert_eq!(check_level(Level(2), Level(2)), Ok(Level(2)));
        let refused = check_level(Level(3), Level(2)).expect_err("level 3 is not known");
        // `Search::run` ends at such an error, and with it the process.
        assert_eq!((refused.kind, refused.code.as_str()), (ErrorKind::Invalid, "build-too-old"));
        assert_eq!(
            refused.message,
            "the cluster is at feature level 3, this build knows up to 2: run a newer one"
        );
    }

    #[test]
    fn a_node_says_what_it_knows_only_where_all_understand_it() {
        let options = NodeOptions {
            name: "n1".to_owned(),
            addresses: Addresses::default(),
            rack: None,
            seeds: BTreeSet::new(),
            bootstrap_expect: 1,
            recover_after: None,
            founding_level: Level::KNOWN,
        };
        let says = |level| options.registration(Incarnation(1), level);
        assert!(matches!(says(Level::FIRST), Command::RegisterNode { .. }));
        assert!(matches!(says(Level(2)), Command::JoinNode { knows: Level::KNOWN, .. }));
    }
}
