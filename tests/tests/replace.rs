//! A node that is gone for good is replaced by another one, under load and whoever is killed meanwhile.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use weir_client::ClusterStatus;
use weir_tests::{Cluster, Load, LoadOptions, Site, eventually};

/// How long moves of a few small replicas may take, with kills in between.
const MOVED: Duration = Duration::from_mins(2);

fn id_of(status: &ClusterStatus, name: &str) -> Option<u64> {
    status.nodes.iter().find(|node| node.name == name).map(|node| node.node_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_takes_over_from_a_killed_one_whoever_is_killed_meanwhile() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let load = Load::start(&cluster, LoadOptions::default()).await;
    load.flows(200).await;
    cluster.join(&site, "n4");
    cluster.whole(load.client()).await;
    let weir = cluster.weir();
    let refused = async |line: &str, exit: i32, code: &str| {
        let answer = weir.run(line).await;
        assert!(answer.exit == exit && answer.err.contains(code), "{answer:?}");
    };
    refused("cluster replace n1 --with n4", 5, "is heard: drain it first").await;
    refused("cluster replace n1 --with n1", 5, "[same-node]").await;
    refused("cluster replace n1 --with n9", 2, "no node of the cluster is called `n9`").await;

    cluster.nodes()[0].kill().await;
    eventually("n1 is missed, and n2 cannot take over from it", MOVED, async || {
        let answer = weir.run("cluster replace n1 --with n2").await;
        let refused = answer.exit == 4 && answer.err.contains("it has a replica of partition 0 of");
        if refused { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let moves = load.client().admin().moves(0, Duration::ZERO).await.unwrap();
    assert!(moves.moves.is_empty() && moves.leaving.is_empty(), "nothing half done: {moves:?}");
    let started = weir.run("cluster replace n1 --with n4 --no-wait").await;
    assert_eq!(started.exit, 0, "{started:?}");

    // The node that takes over, and then one of those that it copies from.
    for victim in [3, 1] {
        cluster.nodes()[victim].kill().await;
        cluster.nodes()[victim].start();
        cluster.nodes()[victim].ready().await;
    }
    let status = eventually("n1 is no member any more", MOVED, async || {
        let status = load.client().admin().cluster_status().await.map_err(|error| error.to_string())?;
        match id_of(&status, "n1") {
            None => Ok(status),
            Some(_) => Err(format!("{:?}", load.client().admin().moves(0, Duration::ZERO).await)),
        }
    })
    .await;
    let fourth = id_of(&status, "n4").unwrap();
    let status = cluster.caught_up(load.client()).await;
    for partition in &status.partitions {
        assert!(partition.voters.len() == 3 && partition.voters.contains(&fourth), "{partition:?}");
    }
    let registry = status.metadata.as_ref().unwrap();
    assert!(registry.voters.len() == 3 && registry.voters.contains(&fourth), "{registry:?}");
    load.flows(200).await;

    // One that was drained is heard, and may be replaced all the same: there is nothing to copy.
    cluster.join(&site, "n5");
    cluster.whole(load.client()).await;
    let drain = weir.run("cluster drain n2").await;
    assert_eq!(drain.exit, 0, "{drain:?}");
    let replaced = weir.run("cluster replace n2 --with n5").await;
    assert!(replaced.exit == 0 && replaced.out.contains("n5 has taken over from n2"), "{replaced:?}");
    cluster.nodes()[1].stop().await;
    cluster.caught_up(load.client()).await;
    load.drain_and_check().await;
    cluster.check();
}
