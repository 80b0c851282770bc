//! The nodes of a cluster change while it works: it grows, is balanced, nodes are drained and removed, and lost ones are
//! made up for. Nothing that was acknowledged is lost, changed or done twice, whoever is killed meanwhile.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use weir_client::{Client, ClusterStatus, MovePhase, NewTopic, NodeUse};
use weir_tests::{Cluster, Load, LoadOptions, Node, Ports, Settings, Site, eventually};

/// How long moves of a few small replicas may take, with kills in between.
const MOVED: Duration = Duration::from_mins(2);

fn id_of(status: &ClusterStatus, name: &str) -> u64 {
    status.nodes.iter().find(|node| node.name == name).unwrap().node_id
}

/// Replicas of partitions on a node, voting or not.
fn held(status: &ClusterStatus, id: u64) -> usize {
    status.partitions.iter().filter(|p| p.voters.contains(&id) || p.learners.contains(&id)).count()
}

async fn drained(client: &Client, id: u64) -> ClusterStatus {
    eventually("the node is drained", MOVED, async || {
        let status = client.admin().cluster_status().await.map_err(|error| error.to_string())?;
        let node = status.nodes.iter().find(|node| node.node_id == id);
        match node.map(|node| node.node_use) {
            Some(NodeUse::Drained) => Ok(status),
            other => Err(format!("{other:?}, {} replicas", held(&status, id))),
        }
    })
    .await
}

/// No partition has fewer voters than it shall have, or a replica too many.
fn assert_full(status: &ClusterStatus, voters: usize) {
    for partition in &status.partitions {
        assert_eq!((partition.voters.len(), partition.learners.len()), (voters, 0), "{partition:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_to_four_and_gives_up_one_of_the_first_under_load() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    load.flows(200).await;
    cluster.join(&site, "n4");
    let status = cluster.whole(load.client()).await;
    let fourth = id_of(&status, "n4");
    assert_eq!(held(&status, fourth), 0);

    let weir = cluster.weir();
    let plan = weir.run("cluster balance --dry-run --json").await;
    assert_eq!(plan.exit, 0, "{plan:?}");
    let planned = plan.out.matches("\"phase\":\"planned\"").count();
    assert!(planned > 0, "{plan:?}");
    let balance = weir.run("cluster balance").await;
    assert_eq!(balance.exit, 0, "{balance:?}");
    assert!(balance.out.lines().any(|line| line == format!("{planned} replicas moved")), "{balance:?}");
    let status = cluster.caught_up(load.client()).await;
    assert!(held(&status, fourth) > 0);
    assert_full(&status, 3);
    let again = weir.run("cluster balance").await;
    assert!(again.out.lines().any(|line| line == "0 replicas moved"), "{again:?}");
    load.flows(200).await;

    // The one that leads the registry, which is the hardest to do without.
    let leader = status.metadata.as_ref().unwrap().leader.unwrap();
    let victim = cluster.index_of(&status, leader);
    let name = cluster.nodes()[victim].name().to_owned();
    let early = weir.run(&format!("cluster remove {name}")).await;
    assert!(early.exit == 5 && early.err.contains("[node-not-empty]"), "{early:?}");
    let drain = weir.run(&format!("cluster drain {name} --json")).await;
    assert_eq!(drain.exit, 0, "{drain:?}");
    check_progress(&drain.err);
    let status = drained(load.client(), leader).await;
    assert_eq!(held(&status, leader), 0);
    let registry = status.metadata.as_ref().unwrap();
    assert!(registry.leader != Some(leader) && !registry.voters.contains(&leader), "{registry:?}");
    assert_eq!(registry.voters.len(), 3);
    assert_full(&status, 3);
    load.flows(200).await;

    let remove = weir.run(&format!("cluster remove {name}")).await;
    assert_eq!(remove.exit, 0, "{remove:?}");
    cluster.nodes()[victim].stop().await;
    let status = cluster.caught_up(load.client()).await;
    assert!(status.nodes.iter().all(|node| node.node_id != leader), "{status:?}");
    load.flows(200).await;
    load.drain_and_check().await;
    cluster.check();
}

/// The progress of a drain, one object a line: there is less and less to copy, and the time for it is told or not known yet.
fn check_progress(lines: &str) {
    let documents = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let moves: Vec<_> =
        documents.map(|said| said["progress"].clone()).filter(|said| said["last"].is_null()).collect();
    assert!(!moves.is_empty(), "{lines}");
    let left: Vec<u64> = moves.iter().map(|said| said["bytes_left"].as_u64().unwrap()).collect();
    assert!(left.is_sorted_by(|earlier, later| earlier >= later), "{lines}");
    let time = |said: &serde_json::Value| said["seconds_left"].is_u64() || said["seconds_left"].is_null();
    assert!(moves.iter().all(|said| said.get("seconds_left").is_some_and(|_| time(said))), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_goes_on_whoever_is_killed_in_the_middle_of_it() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    for number in 0..3 {
        let topic = NewTopic::queue(format!("more-{number}")).partitions(6).replicas(3);
        load.client().admin().create_topic(topic).await.unwrap();
    }
    cluster.join(&site, "n4");
    let status = cluster.whole(load.client()).await;
    load.flows(100).await;
    let victim = id_of(&status, "n2");
    let drain = cluster.weir().run("cluster drain n2 --no-wait").await;
    assert_eq!(drain.exit, 0, "{drain:?}");

    // The leader of the registry while replicas are being copied, then the node that they go to, then the one that
    // they come from, then whoever leads most.
    let (mut kills, mut version) = (0, 0);
    while kills < 4 {
        let admin = load.client().admin();
        let moves = admin.moves(version, Duration::from_secs(1)).await.unwrap();
        version = moves.version;
        if moves.moves.is_empty() {
            break;
        }
        if kills == 0 && moves.moves.iter().all(|moving| moving.phase == MovePhase::Waiting) {
            continue;
        }
        let status = admin.cluster_status().await.unwrap();
        let id = match kills {
            0 => status.metadata.as_ref().unwrap().leader.unwrap_or(victim),
            1 => id_of(&status, "n4"),
            2 => victim,
            _ => cluster.busiest(load.client()).await as u64 + 1,
        };
        let index = if kills < 3 { cluster.index_of(&status, id) } else { id as usize - 1 };
        cluster.nodes()[index].kill().await;
        load.flows(20).await;
        cluster.nodes()[index].start();
        cluster.whole(load.client()).await;
        kills += 1;
    }
    assert!(kills > 0, "nobody was killed in the middle");
    let status = drained(load.client(), victim).await;
    assert_eq!(held(&status, victim), 0);
    let status = cluster.caught_up(load.client()).await;
    assert_full(&status, 3);
    eprintln!("{kills} nodes were killed during the drain");
    let remove = cluster.weir().run("cluster remove n2").await;
    assert_eq!(remove.exit, 0, "{remove:?}");
    cluster.nodes()[1].stop().await;
    cluster.caught_up(load.client()).await;
    load.drain_and_check().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_to_nodes_is_refused_and_a_drain_is_taken_back() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::queue("tasks").partitions(2).replicas(3)).await.unwrap();
    let weir = cluster.weir();
    let refused = async |line: &str, exit: i32, code: &str| {
        let answer = weir.run(line).await;
        assert!(answer.exit == exit && answer.err.contains(code), "{answer:?}");
    };
    refused("cluster drain n1", 5, "[drain-breaks-replication]").await;
    refused("cluster drain n9", 2, "no node of the cluster is called `n9`").await;
    refused("cluster remove n1", 5, "[node-not-empty]").await;
    refused("cluster remove n1 --force --yes", 5, "[node-alive]").await;
    refused("cluster move tasks 0 --from n1 --to n2", 4, "[replica-exists]").await;

    cluster.join(&site, "n4");
    cluster.whole(&client).await;
    let moved = weir.run("cluster move tasks 0 --from n1 --to n4").await;
    assert_eq!(moved.exit, 0, "{moved:?}");
    refused("cluster move tasks 0 --from n1 --to n4", 4, "[replica-exists]").await;

    // The node that is to take the replicas is gone: nothing goes there, and nobody can be emptied.
    cluster.nodes()[3].kill().await;
    eventually("the fourth is missed", MOVED, async || {
        let answer = weir.run("cluster move tasks 1 --from n1 --to n4").await;
        let refused = answer.exit == 5 && answer.err.contains("[node-not-heard]");
        if refused { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    refused("cluster drain n2", 5, "[drain-breaks-replication]").await;
    cluster.nodes()[3].start();
    cluster.whole(&client).await;

    // A drain is taken back, however far it is.
    eventually("the fourth is heard again", MOVED, async || {
        let answer = weir.run("cluster drain n2 --no-wait").await;
        if answer.exit == 0 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    // Too few nodes are left for a second one, or, as long as the first moves last, it has to wait for them.
    let second = weir.run("cluster drain n3 --no-wait").await;
    let code = |code: &str| second.err.contains(code);
    assert!(code("[drain-breaks-replication]") || code("[move-in-progress]"), "{second:?}");
    let back = weir.run("cluster drain n2 --cancel --json").await;
    assert_eq!(back.exit, 0, "{back:?}");
    let status = eventually("all is as it was", MOVED, async || {
        let status = client.admin().cluster_status().await.map_err(|error| error.to_string())?;
        let moves = client.admin().moves(0, Duration::ZERO).await.map_err(|error| error.to_string())?;
        let learners = status.partitions.iter().filter(|partition| !partition.learners.is_empty()).count();
        if moves.moves.is_empty() && learners == 0 { Ok(status) } else { Err(format!("{moves:?}")) }
    })
    .await;
    assert_full(&status, 3);
    assert!(status.nodes.iter().all(|node| node.node_use == NodeUse::InUse), "{status:?}");

    // Of many partitions most wait their turn, and nothing is written to any of them: what was planned for them and
    // taken back leaves nothing behind, and can be planned anew.
    client.admin().create_topic(NewTopic::queue("idle").partitions(20).replicas(3)).await.unwrap();
    let drain = weir.run("cluster drain n2 --no-wait").await;
    assert_eq!(drain.exit, 0, "{drain:?}");
    let back = weir.run("cluster drain n2 --cancel").await;
    assert_eq!(back.exit, 0, "{back:?}");
    eventually("n2 can be emptied again", MOVED, async || {
        let drain = weir.run("cluster drain n2").await;
        if drain.exit == 0 { Ok(()) } else { Err(format!("{drain:?}")) }
    })
    .await;
    let second = id_of(&status, "n2");
    let status = drained(&client, second).await;
    assert_eq!(held(&status, second), 0);
    assert_full(&status, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_for_too_long_is_made_up_for_by_the_others() {
    let site = Site::take().await;
    let mut cluster = Cluster::prepare(&site, "", 3, &Settings::default());
    let impatient = |node: &mut Node| {
        let text = std::fs::read_to_string(node.config()).unwrap();
        let text = text.replace("bootstrap_expect", "recover_after_s = 2\nbootstrap_expect");
        std::fs::write(node.config(), text).unwrap();
    };
    cluster.nodes().iter_mut().for_each(impatient);
    cluster.start_all();
    cluster.ready().await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    let sections = Settings::default().sections();
    let mut fourth = Node::prepare(&site.path().join("n4"), Ports::free(), &cluster.seeds(), 3, &sections);
    impatient(&mut fourth);
    fourth.start();
    cluster.add(fourth);
    let status = cluster.whole(load.client()).await;
    load.flows(100).await;

    let lost = id_of(&status, "n3");
    cluster.nodes()[2].kill().await;
    let status = eventually("the others hold everything", MOVED, async || {
        let status = load.client().admin().cluster_status().await.map_err(|error| error.to_string())?;
        let short = status
            .partitions
            .iter()
            .find(|p| p.voters.contains(&lost) || p.voters.len() < 3 || !p.learners.is_empty());
        let registry = status.metadata.as_ref().is_some_and(|registry| !registry.voters.contains(&lost));
        let moves =
            load.client().admin().moves(0, Duration::ZERO).await.map_err(|error| error.to_string())?;
        match short {
            None if registry && moves.moves.is_empty() => Ok(status),
            other => Err(format!("{other:?}, {:?}", status.metadata)),
        }
    })
    .await;
    assert_full(&status, 3);
    load.flows(100).await;

    // It comes back, has nothing any more, and is of use again.
    cluster.nodes()[2].start();
    let status = cluster.caught_up(load.client()).await;
    assert_eq!(held(&status, lost), 0);
    let balance = cluster.weir().run("cluster balance").await;
    assert_eq!(balance.exit, 0, "{balance:?}");
    let status = cluster.caught_up(load.client()).await;
    assert!(held(&status, lost) > 0);

    // And one that is gone for good is forced out.
    let gone = id_of(&status, "n1");
    cluster.nodes()[0].kill().await;
    eventually("it is missed, and removed", MOVED, async || {
        let answer = cluster.weir().run("cluster remove n1 --force --yes").await;
        if answer.exit == 0 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let status = cluster.caught_up(load.client()).await;
    assert!(status.nodes.iter().all(|node| node.node_id != gone), "{status:?}");
    assert_full(&status, 3);
    load.drain_and_check().await;
    cluster.check();
}
