//! Topics get more replicas and fewer while they are in use. Nothing that was acknowledged is lost, changed or done twice,
//! whoever is killed meanwhile.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use weir_client::{ClusterStatus, NewTopic, PartitionStatus};
use weir_tests::{Cluster, Load, LoadOptions, Node, Settings, Site, Weir, eventually};

/// How long moves of a few small replicas may take.
const MOVED: Duration = Duration::from_mins(2);

/// The topics of the load.
const TOPICS: [&str; 2] = ["tasks", "events"];

async fn replicate(weir: &Weir, replicas: usize) {
    for topic in TOPICS {
        let answer = weir.run(&format!("topic alter {topic} --replicas {replicas} --json")).await;
        assert_eq!(answer.exit, 0, "{answer:?}");
        let shown: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        assert_eq!(shown["replicas"], replicas, "the wanted number is shown at once");
    }
}

/// Every partition of the load has as many voters, each on its own node, and no replica too many.
fn assert_replicas(status: &ClusterStatus, replicas: usize) {
    for partition in status.partitions.iter().filter(|known| TOPICS.contains(&known.topic.as_str())) {
        let mut nodes = partition.voters.clone();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!((nodes.len(), partition.learners.len()), (replicas, 0), "{partition:?}");
    }
}

fn leader(status: &ClusterStatus, topic: &str) -> u64 {
    status.partitions.iter().find(|partition| partition.topic == topic).unwrap().leader.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_get_five_replicas_three_and_one_under_load_while_leaders_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    let weir = cluster.weir();
    let early = weir.run("topic alter tasks --replicas 5").await;
    assert!(early.exit == 5 && early.err.contains("[not-enough-nodes]"), "{early:?}");
    load.flows(100).await;
    for name in ["n4", "n5"] {
        cluster.join(&site, name);
    }
    cluster.whole(load.client()).await;

    for (replicas, topic) in [(5, "tasks"), (3, "events"), (1, "tasks")] {
        let before = cluster.caught_up(load.client()).await;
        replicate(&weir, replicas).await;
        // Whoever led when it began is killed in the middle of it.
        let victim = cluster.index_of(&before, leader(&before, topic));
        cluster.nodes()[victim].kill().await;
        if replicas > 1 {
            load.flows(100).await;
        }
        cluster.nodes()[victim].start();
        let status = cluster.caught_up(load.client()).await;
        assert_replicas(&status, replicas);
        load.flows(100).await;
        replicate(&weir, replicas).await;
        let again = cluster.caught_up(load.client()).await;
        assert_replicas(&again, replicas);
    }
    load.drain_and_check().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_of_replicas_that_cannot_be_is_refused_and_nothing_is_changed() {
    let site = Site::take().await;
    let mut cluster = Cluster::prepare(&site, "", 3, &Settings::default());
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::queue("tasks").partitions(2).replicas(1)).await.unwrap();
    let weir = cluster.weir();
    let refused = async |line: &str, exit: i32, code: &str| {
        let answer = weir.run(line).await;
        assert!(answer.exit == exit && answer.err.contains(code), "{answer:?}");
    };
    refused("topic alter tasks --replicas 0", 5, "[no-replicas]").await;
    refused("topic alter tasks --replicas 8", 5, "8 replicas exceed the limit of 7 [too-many-replicas]")
        .await;
    refused("topic alter tasks --replicas 4", 5, "4 replicas need 4 nodes, 3 are in use [not-enough-nodes]")
        .await;
    refused("topic alter nowhere --replicas 3", 3, "[topic-not-found]").await;
    refused("topic alter tasks", 2, "nothing to alter").await;
    refused("topic alter tasks --replicas 2 --attempts 0", 5, "[invalid-policy]").await;
    let topic = client.admin().describe_topic("tasks").await.unwrap();
    assert_eq!(topic.topic.replicas, 1, "all of it or nothing");
    let both = weir.run("topic alter tasks --replicas 2 --attempts 9 --json").await;
    assert_eq!(both.exit, 0, "{both:?}");
    let status = cluster.caught_up(&client).await;
    assert_replicas(&status, 2);
    let topic = client.admin().describe_topic("tasks").await.unwrap();
    assert_eq!(topic.topic.replicas, 2);
}

/// A node that is told of its rack.
fn set_rack(node: &Node, rack: &str) {
    let text = std::fs::read_to_string(node.config()).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("rack = ")).collect();
    let text = kept.join("\n").replacen("[node]", &format!("[node]\nrack = {rack:?}"), 1);
    std::fs::write(node.config(), text).unwrap();
}

/// The racks of each partition's replicas, in order.
fn racks(status: &ClusterStatus) -> Vec<Vec<String>> {
    let rack = |id: &u64| {
        let node = status.nodes.iter().find(|node| node.node_id == *id).unwrap();
        node.rack.clone().unwrap_or_default()
    };
    let of = |partition: &PartitionStatus| {
        let mut racks: Vec<String> = partition.voters.iter().map(rack).collect();
        racks.sort();
        racks
    };
    status.coordinator.iter().chain(&status.partitions).map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_keep_apart_in_racks_also_when_a_node_starts_in_another_one() {
    let site = Site::take().await;
    let mut cluster = Cluster::prepare(&site, "", 5, &Settings::default());
    for (node, rack) in cluster.nodes().iter().zip(["a", "a", "b", "b", "c"]) {
        set_rack(node, rack);
    }
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::queue("tasks").partitions(6).replicas(3)).await.unwrap();
    let status = cluster.caught_up(&client).await;
    assert!(racks(&status).iter().all(|racks| *racks == ["a", "b", "c"]), "{status:?}");
    let weir = cluster.weir();
    let shown = weir.run("cluster status").await;
    assert!(shown.out.lines().any(|line| line.contains("version") && line.contains("rack")), "{shown:?}");

    // The racks are cut anew: nothing moves by itself, and a balance puts it right.
    for (node, rack) in [(1, "b"), (2, "a")] {
        cluster.nodes()[node].stop().await;
        set_rack(&cluster.nodes()[node], rack);
        cluster.nodes()[node].start();
    }
    cluster.caught_up(&client).await;
    let status = eventually("the new racks are known", MOVED, async || {
        let status = client.admin().cluster_status().await.map_err(|error| error.to_string())?;
        let mut racks: Vec<_> = status
            .nodes
            .iter()
            .map(|node| (node.name.clone(), node.rack.clone().unwrap_or_default()))
            .collect();
        racks.sort();
        let racks: Vec<String> = racks.into_iter().map(|(_, rack)| rack).collect();
        if racks == ["a", "b", "a", "b", "c"] { Ok(status) } else { Err(format!("{racks:?}")) }
    })
    .await;
    let shared = racks(&status).iter().filter(|racks| racks[0] == racks[1]).count();
    assert!(shared > 0, "{status:?}");
    let balance = weir.run("cluster balance").await;
    assert_eq!(balance.exit, 0, "{balance:?}");
    assert!(balance.out.contains(&format!("{shared} replicas moved")), "{shared} needed one: {balance:?}");
    let status = cluster.caught_up(&client).await;
    assert!(racks(&status).iter().all(|racks| *racks == ["a", "b", "c"]), "{status:?}");
    let again = weir.run("cluster balance").await;
    assert!(again.out.contains("0 replicas moved"), "{again:?}");
    cluster.check();
}
