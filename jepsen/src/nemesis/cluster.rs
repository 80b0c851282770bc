//! What operators do to a cluster: hand leaderships over, add nodes, move replicas.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use weir_client::{Admin, Client, ClientOptions};

use super::Led;
use super::work::Work;
use crate::env::{Error, Node, Result, Seat};

/// How long the cluster may take to take one transfer, or the request for it.
const TRANSFERRING: Duration = Duration::from_secs(3);
/// The longest pause between two transfers, in milliseconds.
const PAUSE_MAX_MS: u64 = 1_500;
/// How much longer than planned the first transfer is tried: after other faults voters may have to catch up first.
pub(super) const FIRST_MOVE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a blank node may take to join.
const JOINING: Duration = Duration::from_secs(30);
/// How often it is looked for a spare that nobody has, or asked for a leadership.
const CLAIMING: Duration = Duration::from_millis(200);
/// How long all moves may take before others are asked for.
const MOVING: Duration = Duration::from_secs(15);
/// How long a node may take to stop in good order.
const STOPPING: Duration = Duration::from_secs(20);

/// Leaderships are handed over, one after the other, to voters at random.
pub(super) fn transfer(work: &mut Work<'_>) -> Result<()> {
    let led = work.leaders().partitions.iter().filter(|partition| !partition.topic.is_empty());
    let partitions: Vec<Led> = led.cloned().collect();
    if partitions.is_empty() {
        return Err(Error::Unable("no topic has a leader that could be moved".to_owned()));
    }
    let (runtime, admin) = administrator(work)?;
    let status = runtime.block_on(admin.cluster_status()).map_err(|error| refused(&error))?;
    let end = Instant::now() + work.lasts();
    let (mut moved, mut asked) = (0, 0);
    while Instant::now() < end || (moved == 0 && Instant::now() < end + FIRST_MOVE_PATIENCE) {
        let partition = partitions.choose(&mut work.dice).expect("there is one");
        let to = partition.voters.choose(&mut work.dice);
        let to = to.and_then(|to| status.nodes.iter().find(|node| node.name == *to));
        let Some(to) = to else { break };
        asked += 1;
        if runtime.block_on(move_leader(&admin, partition, to.node_id)) {
            // A storm in which nothing moves is none.
            if moved == 0 {
                work.begin("");
            }
            moved += 1;
        }
        let pause = Duration::from_millis(work.dice.random_range(100..PAUSE_MAX_MS));
        if !work.rest(pause) {
            break;
        }
    }
    if moved > 0 {
        work.end(format!("{moved} of {asked} handed over"));
    }
    Ok(())
}

/// A partition is handed to the step's node, so that the step meets a leader: a node that lost its data before leads
/// nothing by itself. When that does not come about, the step meets a follower.
pub(super) fn lead(work: &mut Work<'_>, partition: &Led) {
    let Some(name) = work.names().first().cloned() else { return };
    let Ok((runtime, admin)) = administrator(work) else { return };
    let end = Instant::now() + FIRST_MOVE_PATIENCE;
    while Instant::now() < end {
        let status = runtime.block_on(async { timeout(TRANSFERRING, admin.cluster_status()).await });
        let nodes =
            status.ok().and_then(std::result::Result::ok).map(|status| status.nodes).unwrap_or_default();
        let node = nodes.iter().find(|node| node.name == name).map(|node| node.node_id);
        if let Some(node) = node
            && runtime.block_on(move_leader(&admin, partition, node))
        {
            work.leads(partition);
            break;
        }
        if !work.rest(CLAIMING) {
            break;
        }
    }
}

/// The operator's door, from the observer's place. This thread is the step's own: it may stay where it goes.
pub(super) fn administrator(work: &Work<'_>) -> Result<(Runtime, Admin)> {
    work.site().enter(Seat::Observer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { what: "a runtime".to_owned(), source })?;
    let client = runtime.block_on(Client::connect(ClientOptions::new(work.site().seeds())));
    let admin = client.map_err(|error| refused(&error))?.admin();
    Ok((runtime, admin))
}

fn refused(error: &weir_client::Error) -> Error {
    Error::Unable(error.to_string())
}

/// Whether the partition is led where it was to be. That it is not is no failure: the node may be down.
async fn move_leader(admin: &Admin, partition: &Led, to: u64) -> bool {
    let moving = admin.transfer_leadership(&partition.topic, partition.partition, to);
    matches!(timeout(TRANSFERRING, moving).await, Ok(Ok(())))
}

/// A node that may join, for this step alone; none when everything is healed before one is free.
fn spare<'a>(work: &mut Work<'a>) -> Result<Option<&'a Node>> {
    let spares = work.site().spares();
    if spares.is_empty() {
        return Err(Error::Unable("the site has no spare node".to_owned()));
    }
    loop {
        if let Some(spare) = spares.iter().find(|node| work.befall(node)) {
            return Ok(Some(spare));
        }
        // Another step has it.
        if !work.rest(CLAIMING) {
            return Ok(None);
        }
    }
}

/// A node that is not yet, or no longer, there joins; when it is over, it stops in good order.
pub(super) fn membership(work: &mut Work<'_>) -> Result<()> {
    let Some(spare) = spare(work)? else { return Ok(()) };
    work.begin("");
    spare.start()?;
    let joined = spare.ready(JOINING, &|| work.is_healing()).is_ok();
    work.last();
    let stopped = spare.terminate(STOPPING).is_ok();
    let told = |done: bool, what: &str| format!("{what}{}", if done { "" } else { " not in time" });
    work.end(format!("{}, {}", told(joined, "joined"), told(stopped, "stopped")));
    Ok(())
}

/// Replicas move to a node that joined for that, and by a drain off it again. It stays a member, and runs on.
pub(super) fn moves(work: &mut Work<'_>) -> Result<()> {
    let Some(spare) = spare(work)? else { return Ok(()) };
    let end = Instant::now() + work.lasts();
    spare.start()?;
    // It may be kept from joining by other faults; then nothing moves.
    let _ = spare.ready(JOINING, &|| work.is_healing());
    let (runtime, admin) = administrator(work)?;
    let (mut onto, mut off) = (0, 0);
    while Instant::now() < end || (onto == 0 && Instant::now() < end + FIRST_MOVE_PATIENCE) {
        if let Some(planned) = runtime.block_on(asked(fill(&admin, spare.name()))) {
            if onto == 0 && planned > 0 {
                work.begin("");
            }
            onto += planned;
            runtime.block_on(settle(&admin, work));
        }
        if let Some(planned) = runtime.block_on(asked(empty(&admin, spare.name()))) {
            off += planned;
            runtime.block_on(settle(&admin, work));
        }
        if !work.rest(CLAIMING) {
            break;
        }
    }
    if onto > 0 {
        work.end(format!("{onto} moves to {}, {off} off it", spare.name()));
    }
    Ok(())
}

/// What came of a request; none when the cluster did not take it, as it may while nodes are down.
async fn asked<T>(request: impl Future<Output = weir_client::Result<T>>) -> Option<T> {
    timeout(TRANSFERRING, request).await.ok()?.ok()
}

/// The node is in use, and takes its share of the replicas; how many moves that needs.
async fn fill(admin: &Admin, name: &str) -> weir_client::Result<usize> {
    if let Some(node) = id_of(admin, name).await? {
        admin.cancel_drain(node).await?;
    }
    let plan = admin.plan_balance().await?;
    if !plan.is_empty() {
        admin.move_replicas(&plan).await?;
    }
    Ok(plan.len())
}

/// The node is emptied; how many moves that needs.
async fn empty(admin: &Admin, name: &str) -> weir_client::Result<usize> {
    let Some(node) = id_of(admin, name).await? else { return Ok(0) };
    admin.drain_node(node).await?;
    Ok(admin.moves(0, Duration::ZERO).await?.moves.len())
}

async fn id_of(admin: &Admin, name: &str) -> weir_client::Result<Option<u64>> {
    let status = admin.cluster_status().await?;
    Ok(status.nodes.iter().find(|node| node.name == name).map(|node| node.node_id))
}

/// Waits until nothing is on the move, for a bounded time.
async fn settle(admin: &Admin, work: &Work<'_>) {
    let (end, mut seen) = (Instant::now() + MOVING, 0);
    while Instant::now() < end && !work.is_healing() {
        match timeout(TRANSFERRING, admin.moves(seen, CLAIMING)).await {
            Ok(Ok(now)) if now.moves.is_empty() => return,
            Ok(Ok(now)) => seen = now.version,
            _ => tokio::time::sleep(CLAIMING).await,
        }
    }
}
