//! Settings of queues that change what is taken in and handed out, with real processes and the real binary.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use serde_json::Value;
use weir_client::WorkerOptions;
use weir_tests::{Cluster, Site, Weir, eventually};

/// What a command prints with `--json`.
async fn json(weir: &Weir, line: &str) -> Value {
    let out = weir.ok(&format!("{line} --json")).await;
    serde_json::from_str(&out)
        .unwrap_or_else(|error| panic!("`weir {line} --json` printed no JSON ({error}): {out}"))
}

async fn tokens(weir: &Weir, line: &str) -> Vec<String> {
    let received = json(weir, line).await;
    let messages = received["messages"].as_array().unwrap();
    messages.iter().map(|message| message["token"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dead_letter_under_block_key_stops_its_key_for_consumers_and_producers_and_no_other() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    let made = json(&weir, "topic create invoices --kind queue --fifo --park block_key --partitions 1").await;
    assert_eq!(made["settings"]["park"], "block_key", "{made}");
    weir.ok("queue send invoices --key ada first second").await;
    let token = tokens(&weir, "queue receive invoices --lease 1m").await.remove(0);
    weir.ok(&format!("queue nack {token} --park --reason 'no such account'")).await;

    weir.run("queue send invoices --key ada third").await.fails(7, "key-blocked");
    weir.ok("queue send invoices --key grace other").await;
    let explained = weir.ok("explain queue invoices --key ada").await;
    assert!(explained.contains("until 0/0 is redriven or discarded"), "{explained}");
    assert_eq!(json(&weir, "explain queue invoices --message 0/1").await["key_blocked_by"], 0);
    let received = json(&weir, "queue receive invoices --max 10 --ack").await;
    let values: Vec<_> = received["messages"].as_array().unwrap().iter().map(|it| &it["value"]).collect();
    assert_eq!(values, ["other"]);

    weir.ok("queue parked redrive invoices 0/0").await;
    weir.ok("queue send invoices --key ada third").await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let received = json(&weir, "queue receive invoices --ack").await;
        order.push(received["messages"][0]["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(order, ["first", "second", "third"]);

    let altered = json(&weir, "topic alter invoices --park park_key").await;
    assert_eq!(altered["settings"]["park"], "park_key", "{altered}");
    weir.ok("topic create bounces --kind queue --fifo --park-key --partitions 1").await;
    assert_eq!(json(&weir, "topic describe bounces").await["settings"]["park"], "park_key");
    cluster.check();
}

async fn leased(weir: &Weir, queue: &str) -> u64 {
    json(weir, &format!("queue stats {queue}")).await["total"]["leased"].as_u64().unwrap()
}

#[tokio::test]
async fn no_more_messages_are_leased_than_a_queue_and_its_sessions_may_have() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    weir.ok("topic create slow --kind queue --partitions 1 --max-inflight 2").await;
    weir.ok("queue send slow a b c d e").await;
    let held = tokens(&weir, "queue receive slow --max 5 --lease 5m").await;
    assert_eq!((held.len(), leased(&weir, "slow").await), (2, 2));
    assert_eq!(json(&weir, "explain queue slow --message 0/2").await["hold"], "partition-limit");
    let text = weir.ok("explain queue slow --message 0/2").await;
    assert!(text.contains("as `--max-inflight` allows (2)"), "{text}");
    assert!(tokens(&weir, "queue receive slow").await.is_empty());
    // One who waits gets the next message when a lease ends.
    let ack = format!("queue ack {}", held[0]);
    let (waited, _) = tokio::join!(tokens(&weir, "queue receive slow --wait 20s --lease 5m"), weir.ok(&ack));
    assert_eq!((waited.len(), leased(&weir, "slow").await), (1, 2));
    weir.ok("topic alter slow --max-inflight unlimited").await;
    assert_eq!(tokens(&weir, "queue receive slow --max 5 --lease 5m").await.len(), 2);

    weir.ok("topic create calm --kind queue --partitions 1 --max-inflight-per-session 1").await;
    weir.ok("queue send calm a b c d e").await;
    let mut worker = client.queue_worker("calm", WorkerOptions::default()).await.unwrap();
    for left in (1..=5).rev() {
        let message = worker.next().await.unwrap().unwrap();
        assert_eq!(leased(&weir, "calm").await, 1, "{left} are left");
        if left > 1 {
            let next = 6 - left;
            let explained = json(&weir, &format!("explain queue calm --message 0/{next}")).await;
            assert_eq!(explained["hold"], "session-limit", "{explained}");
        }
        message.ack().await.unwrap();
    }
    worker.close().await.unwrap();
    weir.run("topic alter calm --max-inflight 2000000").await.fails(5, "invalid-policy");
    cluster.check();
}

async fn values(weir: &Weir, line: &str) -> Vec<String> {
    let received = json(weir, line).await;
    let messages = received["messages"].as_array().unwrap();
    messages.iter().map(|message| message["value"].as_str().unwrap().to_owned()).collect()
}

async fn nothing_kept(weir: &Weir, queue: &str) {
    eventually("kept messages go", Duration::from_secs(30), async || {
        let kept = json(weir, &format!("queue stats {queue}")).await["total"]["kept"].as_u64().unwrap();
        (kept == 0).then_some(()).ok_or_else(|| format!("{kept} are kept"))
    })
    .await;
}

#[tokio::test]
async fn acked_messages_that_a_queue_keeps_are_replayed_once_per_request_and_go_when_their_time_is_over() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    weir.ok("topic create plain --kind queue --partitions 1").await;
    weir.run("queue replay plain --from -1h").await.fails(5, "queue-keeps-nothing");
    weir.ok("topic create tasks --kind queue --fifo --partitions 1 --keep 1h").await;
    // More than one step takes, with keys, priorities and ids for dedup.
    let lines: Vec<String> = (0..600).map(|n| format!("key-{}:line {n}", n % 5)).collect();
    weir.run_with("queue send tasks --key-separator : --ttl 1h", lines.join("\n").as_bytes()).await.ok();
    weir.ok("queue work tasks --max 600 --concurrency 8 --exec true").await;
    let stats = json(&weir, "queue stats tasks").await;
    assert_eq!((&stats["total"]["ready"], &stats["total"]["kept"]), (&0.into(), &600.into()), "{stats}");

    let replayed = json(&weir, "queue replay tasks --from -1h --request 42").await;
    assert_eq!((&replayed["replayed"], &replayed["request"]), (&600.into(), &42.into()));
    // A replay that is repeated is the same one, whoever leads by now.
    let leader = client.admin().describe_topic("tasks").await.unwrap().partitions[0].leader.unwrap();
    let status = cluster.whole(&client).await;
    let leader = cluster.index_of(&status, leader);
    cluster.nodes()[leader].kill().await;
    let again = json(&weir, "queue replay tasks --from -1h --request 42").await;
    assert_eq!(again["replayed"], 600);
    assert_eq!(json(&weir, "queue stats tasks").await["total"]["ready"], 600);
    cluster.nodes()[leader].start();
    cluster.whole(&client).await;
    let received = json(&weir, "queue receive tasks --max 1 --lease 5m --ack").await;
    let message = &received["messages"][0];
    assert_eq!((&message["value"], &message["message_id"]), (&"line 0".into(), &600.into()));
    assert_eq!(message["headers"].as_array().unwrap().last().unwrap()[1], "tasks/0/0");
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < 599 {
        lines.extend(values(&weir, "queue receive tasks --max 500 --ack").await);
    }
    for key in 0..5 {
        let of_key: Vec<u32> =
            lines.iter().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
        assert!(of_key.iter().filter(|n| **n % 5 == key).is_sorted(), "key {key}: {of_key:?}");
    }
    // A range of time that nothing lies in.
    assert_eq!(json(&weir, "queue replay tasks --from -3h --to -2h").await["replayed"], 0);
    // Few large messages make several steps too.
    weir.ok("topic create large --kind queue --partitions 1 --keep 1h").await;
    let lines: Vec<String> = (0..6).map(|n| format!("{n}{}", "x".repeat(500_000))).collect();
    weir.run_with("queue send large", lines.join("\n").as_bytes()).await.ok();
    weir.ok("queue work large --max 6 --exec true").await;
    assert_eq!(json(&weir, "queue replay large --from -1h").await["replayed"], 6);
    assert_eq!(json(&weir, "queue stats large").await["total"]["ready"], 6);
    // Its time is over by itself, in an idle queue too.
    weir.ok("topic alter plain --keep 1s").await;
    weir.ok("queue send plain short").await;
    assert_eq!(values(&weir, "queue receive plain --wait 5s --ack").await, ["short"]);
    nothing_kept(&weir, "plain").await;
    // Nothing is kept any more once the queue is told so.
    assert!(json(&weir, "queue stats tasks").await["total"]["kept"].as_u64().unwrap() >= 600);
    weir.ok("topic alter tasks --keep never").await;
    nothing_kept(&weir, "tasks").await;
    cluster.check();
}
