//! A cluster is upgraded: it works at the level of the older build until all know the newer one and somebody raises it, and
//! from then on nobody joins who does not know it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use serde_json::Value;
use tonic::transport::Endpoint;
use weir_metadata::{Addresses, Command};
use weir_proto::error_from_status;
use weir_proto::v1::PeerRequest;
use weir_proto::v1::peer_client::PeerClient;
use weir_tests::{Cluster, Settings, Site, Weir, eventually};
use weir_types::{ErrorKind, Incarnation, WeirError};

const SOON: Duration = Duration::from_mins(1);

/// As builds founded it that know nothing of levels.
async fn at_the_first_level(site: &Site) -> Cluster {
    let mut cluster = Cluster::prepare(site, "", 3, &Settings::default());
    for node in cluster.nodes() {
        let text = std::fs::read_to_string(node.config()).unwrap();
        let text = text.replace("bootstrap_expect", "feature_level = 1\nbootstrap_expect");
        std::fs::write(node.config(), text).unwrap();
    }
    cluster.start_all();
    cluster.ready().await;
    cluster
}

async fn refused(weir: &Weir, line: &str, code: &str) {
    weir.run(line).await.fails(5, code);
}

async fn levels(weir: &Weir) -> (u64, Option<u64>) {
    let shown: Value = serde_json::from_str(&weir.ok("cluster features --json").await).unwrap();
    (shown["feature_level"].as_u64().unwrap(), shown["feature_level_possible"].as_u64())
}

/// What a node of a build without levels asks to join, in the words that it has for it.
async fn join_as_an_old_build(cluster: &Cluster) -> WeirError {
    let command = Command::RegisterNode {
        incarnation: Incarnation(0x01d),
        name: "old".to_owned(),
        addresses: Addresses {
            peer: "127.0.0.1:1".into(),
            client: "127.0.0.1:2".into(),
            http: "127.0.0.1:3".into(),
        },
        rack: None,
    };
    // The third question of one node to another: to propose this to the registry.
    let request: Vec<u8> = [vec![2], postcard::to_allocvec(&command).unwrap()].concat();
    let mut last = None;
    for address in cluster.seeds() {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let asked = PeerRequest { request: request.clone().into() };
        let error = error_from_status(&PeerClient::new(channel).call(asked).await.unwrap_err());
        if error.kind != ErrorKind::Redirect {
            return error;
        }
        last = Some(error);
    }
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_older_builds_cannot_read_is_written_from_the_level_on_that_all_know() {
    let site = Site::take().await;
    let mut cluster = at_the_first_level(&site).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    assert_eq!(levels(&weir).await, (1, Some(3)));
    weir.ok("topic create tasks --kind queue --partitions 2 --replicas 2").await;
    refused(&weir, "topic alter tasks --replicas 3", "feature-not-enabled").await;
    refused(&weir, "topic alter tasks --fair-by customer", "feature-not-enabled").await;
    refused(&weir, "topic create fair --kind queue --fair-by customer", "feature-not-enabled").await;
    refused(&weir, "cluster replace n1 --with n2", "feature-not-enabled").await;

    // Nodes still come in as they always did.
    cluster.join(&site, "n4");
    cluster.whole(&client).await;

    // One that is down may come back with its former build.
    cluster.nodes()[2].kill().await;
    refused(&weir, "cluster features --enable latest", "feature-level-unknown").await;
    assert_eq!(levels(&weir).await, (1, None));
    cluster.nodes()[2].start();
    cluster.whole(&client).await;
    refused(&weir, "cluster features --enable 4", "feature-level-unknown").await;
    eventually("all nodes have answered", SOON, async || {
        let raised = weir.run("cluster features --enable 2").await;
        if raised.exit == 0 { Ok(()) } else { Err(format!("{raised:?}")) }
    })
    .await;
    assert_eq!(levels(&weir).await, (2, Some(3)));
    weir.ok("cluster features --enable 2").await;
    refused(&weir, "cluster features --enable 1", "feature-level-lowered").await;

    weir.ok("topic alter tasks --replicas 3").await;
    refused(&weir, "partition split tasks 0", "feature-not-enabled").await;
    weir.ok("cluster features --enable latest").await;
    assert_eq!(levels(&weir).await, (3, Some(3)));
    weir.ok("partition split tasks 0").await;
    weir.ok("topic create fair --kind queue --fair-by customer").await;
    let old = join_as_an_old_build(&cluster).await;
    assert_eq!((old.kind, old.code.as_str()), (ErrorKind::Invalid, "build-too-old"), "{old}");
    cluster.join(&site, "n5");
    cluster.whole(&client).await;

    cluster.kill_all().await;
    cluster.start_all();
    cluster.ready().await;
    cluster.whole(&client).await;
    assert_eq!(levels(&weir).await, (3, Some(3)));
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_begins_at_the_level_of_its_founders() {
    let site = Site::take().await;
    let cluster = Cluster::start(&site, 1).await;
    let weir = cluster.weir();
    assert_eq!(levels(&weir).await, (3, Some(3)));
    let status = weir.ok("cluster status --json").await;
    assert!(status.contains(r#""feature_level":3"#), "{status}");
}
