//! Finding the cluster.

use std::time::Duration;

use tokio::net::TcpListener;
use weir_client::{Client, ClientOptions, Error, ErrorKind, ProducerOptions};

use crate::node::Node;

#[tokio::test]
async fn a_seed_that_is_down_does_not_hide_the_one_that_is_up() {
    let node = Node::alone().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let client = Client::connect(vec![unused, node.address.clone()]).await.unwrap();
    client.producer("events", ProducerOptions::default()).await.unwrap();
}

#[tokio::test]
async fn without_a_node_the_error_names_the_seeds_and_comes_in_time() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let options = ClientOptions {
        request_timeout: Duration::from_millis(200),
        ..ClientOptions::new([unused.as_str()])
    };
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(&error, Error::NoSeedReachable { seeds, .. } if *seeds == unused), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn a_topic_of_the_wrong_kind_is_refused_before_anything_is_sent() {
    let node = Node::alone().await;
    let client = node.client().await;
    let error = client.queue_worker("events", weir_client::WorkerOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "wrong-topic-kind"));
}
