//! How a cluster comes to be, and who is not let in.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::TcpListener;
use std::time::Duration;

use weir_client::{NewTopic, ProducerOptions, Record};
use weir_tests::{Cluster, Node, Ports, Settings, Site, eventually};

/// How long a node may take to find that it cannot start.
const REFUSED: Duration = Duration::from_secs(20);
/// How long nodes that must not form a cluster are watched.
const WATCHED: Duration = Duration::from_secs(4);

fn sections() -> String {
    Settings::default().sections()
}

#[tokio::test]
async fn three_blank_nodes_form_one_cluster() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let status = cluster.whole(&client).await;
    assert_eq!(status.nodes.len(), 3);
    assert_eq!(status.metadata.as_ref().unwrap().voters.len(), 3);
    for seed in cluster.seeds() {
        let other = weir_client::Client::connect(seed).await.unwrap();
        assert_eq!(other.admin().cluster_status().await.unwrap().cluster_id, status.cluster_id);
    }
}

#[tokio::test]
async fn a_blank_node_that_meets_a_cluster_joins_it_as_a_fourth() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let before = cluster.whole(&client).await;
    let mut fourth = Node::prepare(&site.path().join("n4"), Ports::free(), &cluster.seeds(), 3, &sections());
    fourth.start();
    cluster.add(fourth);
    let after = cluster.whole(&client).await;
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_eq!(after.nodes.len(), 4);
    // It holds replicas like any other.
    client.admin().create_topic(NewTopic::queue("wide").partitions(4).replicas(3)).await.unwrap();
    let wide = client.admin().describe_topic("wide").await.unwrap();
    let fourth = after.nodes.iter().find(|node| node.name == "n4").unwrap().node_id;
    assert!(wide.partitions.iter().any(|partition| partition.voters.contains(&fourth)), "{wide:?}");
}

#[tokio::test]
async fn a_lone_node_with_expect_one_joins_the_cluster_that_it_meets() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    let before = cluster.whole(&client).await;
    let ports = Ports::free();
    let seeds = [ports.client_address(), cluster.seeds()[0].clone()];
    let mut second = Node::prepare(&site.path().join("n2"), ports, &seeds, 1, &sections());
    second.start();
    cluster.add(second);
    let after = cluster.whole(&client).await;
    assert_eq!((after.cluster_id, after.nodes.len()), (before.cluster_id, 2));
}

#[tokio::test]
async fn a_node_restarts_into_its_place() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let before = cluster.whole(&client).await;
    cluster.nodes()[1].kill().await;
    cluster.nodes()[1].start();
    let killed = cluster.whole(&client).await;
    cluster.nodes()[1].stop().await;
    cluster.nodes()[1].start();
    let stopped = cluster.whole(&client).await;
    let id = |status: &weir_client::ClusterStatus| {
        status.nodes.iter().find(|node| node.name == "n2").map(|node| node.node_id)
    };
    assert_eq!((id(&killed), id(&stopped)), (id(&before), id(&before)));
    assert_eq!((killed.nodes.len(), stopped.nodes.len()), (3, 3));
}

#[tokio::test]
async fn a_node_with_another_clusters_data_is_refused() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let before = cluster.whole(&client).await;
    let mut other = Cluster::prepare(&site, "other-", 1, &Settings::default());
    other.start_all();
    other.ready().await;
    other.nodes()[0].stop().await;
    cluster.nodes()[2].stop().await;
    // The third node's configuration, the other cluster's data.
    let (data, ports, seeds) =
        (other.nodes()[0].data().to_owned(), cluster.nodes()[2].ports(), cluster.seeds());
    let mut swapped =
        Node::prepare_with_data(&site.path().join("swapped"), &data, ports, &seeds, 3, &sections());
    swapped.start();
    let status = swapped.ended(REFUSED).await;
    assert_eq!(status.code(), Some(5), "refused: it can never succeed as it is");
    assert!(swapped.log().contains("[other-cluster]"), "{}", swapped.log());
    // The cluster has not noticed anything, and its own node is let in.
    cluster.nodes()[2].start();
    let after = cluster.whole(&client).await;
    assert_eq!((after.cluster_id, after.nodes.len()), (before.cluster_id, 3));
}

#[tokio::test]
async fn a_node_with_the_data_of_another_node_of_its_cluster_takes_no_second_place() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let before = cluster.whole(&client).await;
    // Node 3's data, which runs, given to a second process: the lock keeps it out.
    let data = cluster.nodes()[2].data().to_owned();
    let mut second = Node::prepare_with_data(
        &site.path().join("second"),
        &data,
        Ports::free(),
        &cluster.seeds(),
        3,
        &sections(),
    );
    second.start();
    assert_eq!(second.ended(REFUSED).await.code(), Some(1));
    assert!(second.log().contains("[data-dir-unusable]"), "{}", second.log());
    let after = cluster.whole(&client).await;
    assert_eq!(after.nodes.len(), before.nodes.len());
}

#[tokio::test]
async fn nodes_that_name_different_seeds_never_form_two_clusters() {
    let site = Site::take().await;
    let ports: Vec<Ports> = (0..3).map(|_| Ports::free()).collect();
    let seeds: Vec<String> = ports.iter().map(|ports| ports.client_address()).collect();
    let mut wrong = seeds.clone();
    wrong[0] = Ports::free().client_address();
    let home = |name: &str| site.path().join(name);
    let mut nodes = [
        Node::prepare(&home("n1"), ports[0], &seeds, 3, &sections()),
        Node::prepare(&home("n2"), ports[1], &seeds, 3, &sections()),
        Node::prepare(&home("n3"), ports[2], &wrong, 3, &sections()),
    ];
    nodes.iter_mut().for_each(Node::start);
    // Nothing ever tells that something never happens.
    tokio::time::sleep(WATCHED).await;
    for node in &mut nodes {
        node.check();
        assert_eq!(node.page("/readyz").await.unwrap().0, 503, "{} must not be ready", node.name());
        assert_eq!(node.page("/healthz").await.unwrap().0, 200, "{} lives", node.name());
    }
    // Put right, they are one cluster.
    let [first, second, mut third] = nodes;
    third.stop().await;
    let mut third = Node::prepare(&home("n3"), ports[2], &seeds, 3, &sections());
    third.start();
    let mut cluster = Cluster::prepare(&site, "unused-", 0, &Settings::default());
    for node in [first, second, third] {
        cluster.add(node);
    }
    cluster.ready().await;
    let client = cluster.client().await;
    assert_eq!(cluster.whole(&client).await.nodes.len(), 3);
}

#[tokio::test]
async fn nodes_that_expect_different_counts_never_form_a_cluster() {
    let site = Site::take().await;
    let ports: Vec<Ports> = (0..3).map(|_| Ports::free()).collect();
    let seeds: Vec<String> = ports.iter().map(|ports| ports.client_address()).collect();
    let five: Vec<String> =
        seeds.iter().cloned().chain((0..2).map(|_| Ports::free().client_address())).collect();
    let mut nodes = [
        Node::prepare(&site.path().join("n1"), ports[0], &seeds, 3, &sections()),
        Node::prepare(&site.path().join("n2"), ports[1], &seeds, 3, &sections()),
        Node::prepare(&site.path().join("n3"), ports[2], &five, 5, &sections()),
    ];
    nodes.iter_mut().for_each(Node::start);
    tokio::time::sleep(WATCHED).await;
    for node in &mut nodes {
        node.check();
        assert_eq!(node.page("/readyz").await.unwrap().0, 503, "{} must not be ready", node.name());
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_exit_code_is_1() {
    let site = Site::take().await;
    for which in 0..3 {
        let ports = Ports::free();
        let taken = TcpListener::bind(ports.all()[which]).unwrap();
        let home = site.path().join(format!("n{which}"));
        let mut node = Node::prepare(&home, ports, &[ports.client_address()], 1, &sections());
        node.start();
        assert_eq!(node.ended(REFUSED).await.code(), Some(1));
        let log = node.log();
        assert!(
            log.contains("[cannot-listen]") && log.contains(&taken.local_addr().unwrap().to_string()),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_named_and_the_exit_code_is_1() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let data = cluster.nodes()[0].data().to_owned();
    let ports = Ports::free();
    let home = site.path().join("second");
    let mut second = Node::prepare_with_data(&home, &data, ports, &[ports.client_address()], 1, &sections());
    second.start();
    assert_eq!(second.ended(REFUSED).await.code(), Some(1));
    let log = second.log();
    assert!(log.contains("[data-dir-unusable]") && log.contains("is used by another process"), "{log}");
    assert!(log.contains(&data.display().to_string()), "{log}");
    // The first one goes on.
    let client = cluster.client().await;
    cluster.whole(&client).await;
}

#[tokio::test]
async fn without_a_majority_a_write_is_refused_in_bounded_time_and_goes_on_later() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::stream("events").partitions(1).replicas(3)).await.unwrap();
    cluster.whole(&client).await;
    let options = ProducerOptions { delivery_timeout: Duration::from_secs(3), ..ProducerOptions::default() };
    let impatient = client.producer("events", options).await.unwrap();
    cluster.nodes()[1].kill().await;
    cluster.nodes()[2].kill().await;
    let answer = impatient.send(Record::new("nobody hears this")).await.unwrap();
    let error =
        tokio::time::timeout(Duration::from_secs(30), answer).await.expect("no call hangs").unwrap_err();
    assert!(["client-timeout", "outcome-unknown"].contains(&error.code()), "{error}");
    cluster.start_all();
    cluster.whole(&client).await;
    let patient = client.producer("events", ProducerOptions::default()).await.unwrap();
    eventually("writes go on", Duration::from_secs(30), async || {
        patient.send(Record::new("again")).await?.await
    })
    .await;
}
