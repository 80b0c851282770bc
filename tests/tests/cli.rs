//! The tour of the README with the real binary, for people and for programs.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use weir_tests::{Cluster, Site, Weir};

/// What a command prints with `--json`.
async fn json(weir: &Weir, line: &str) -> Value {
    let out = weir.ok(&format!("{line} --json")).await;
    serde_json::from_str(&out)
        .unwrap_or_else(|error| panic!("`weir {line} --json` printed no JSON ({error}): {out}"))
}

/// What a command prints with `--json`, a document a line.
async fn json_lines(weir: &Weir, line: &str) -> Vec<Value> {
    let out = weir.ok(&format!("{line} --json")).await;
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn tokens(weir: &Weir, line: &str) -> Vec<String> {
    let received = json(weir, line).await;
    let messages = received["messages"].as_array().unwrap();
    messages.iter().map(|message| message["token"].as_str().unwrap().to_owned()).collect()
}

async fn count(weir: &Weir, state: &str) -> u64 {
    json(weir, "queue stats tasks").await["total"][state].as_u64().unwrap()
}

/// So many lines.
fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

async fn topics(weir: &Weir) {
    let none = weir.ok("topic list").await;
    assert!(none.contains("there are no topics"), "{none}");
    let created = weir.ok("topic create tasks --kind queue --partitions 3 --replicas 3 --attempts 3").await;
    assert!(created.contains("created queue `tasks`: 3 partitions, 3 replicas each"), "{created}");
    let created = json(weir, "topic create events --kind stream --partitions 3 --replicas 3").await;
    assert_eq!((created["name"].as_str(), created["kind"].as_str()), (Some("events"), Some("stream")));
    let list = json(weir, "topic list").await;
    let names: Vec<&str> =
        list["topics"].as_array().unwrap().iter().map(|topic| topic["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["events", "tasks"]);
    let altered = json(weir, "topic alter tasks --lease 45s").await;
    assert_eq!(altered["settings"]["lease_ms"], 45_000);
    assert_eq!(altered["settings"]["attempts_max"], 3, "what is not named stays");
    let described = json(weir, "topic describe tasks").await;
    let partitions = described["partition_status"].as_array().unwrap();
    assert_eq!(partitions.len(), 3);
    for partition in partitions {
        assert_eq!(partition["voters"].as_array().unwrap().len(), 3, "{partition}");
        assert!(partition["leader"].is_u64(), "{partition}");
    }
    let text = weir.ok("topic describe tasks").await;
    assert!(text.contains("lease") && text.contains("45s"), "{text}");
}

async fn queue(weir: &Weir) {
    assert_eq!(weir.ok("queue send tasks hello 'second message'").await.trim(), "sent 2 messages to `tasks`");
    let lines = lines(100, |n| format!("key-{}:line {n}", n % 7));
    let sent = weir
        .run_with("queue send tasks --key-separator : --header source=tour --json", lines.as_bytes())
        .await;
    assert_eq!(serde_json::from_str::<Value>(&sent.ok()).unwrap()["records"], 100);
    assert_eq!(count(weir, "ready").await, 102);

    let peeked = json(weir, "queue peek tasks --max 200").await;
    let peeked = peeked["messages"].as_array().unwrap();
    assert_eq!(peeked.len(), 102);
    let line = peeked.iter().find(|message| message["value"] == "line 5").unwrap();
    assert_eq!((line["key"].as_str(), line["state"].as_str()), (Some("key-5"), Some("ready")));
    assert_eq!(line["headers"][0][1], "tour");

    let leased = tokens(weir, "queue receive tasks --max 2 --lease 5m").await;
    assert!(!leased.is_empty());
    let first = &leased[0];
    weir.ok(&format!("queue extend {first} --lease 10m")).await;
    assert_eq!(weir.ok(&format!("queue ack {first}")).await.trim(), "1 message acked");
    weir.run(&format!("queue nack {first}")).await.fails(6, "lease-lost");
    for token in &leased[1..] {
        weir.ok(&format!("queue nack {token} --untried")).await;
    }
    assert_eq!((count(weir, "ready").await, count(weir, "leased").await), (101, 0));
    let printed = weir.ok("queue receive tasks --ack").await;
    assert!(printed.contains("v1."), "{printed}");
    assert_eq!(count(weir, "ready").await, 100);
}

async fn parked(weir: &Weir) {
    for token in tokens(weir, "queue receive tasks").await {
        weir.ok(&format!("queue nack {token} --park --reason 'not for us'")).await;
    }
    let list = json(weir, "queue parked list tasks").await;
    let message = &list["messages"][0];
    assert_eq!((message["state"].as_str(), message["reason"].as_str()), (Some("parked"), Some("not for us")));
    let id = format!("{}/{}", message["partition"], message["message_id"]);
    let shown = json(weir, &format!("queue parked show tasks {id}")).await;
    assert_eq!((&shown["reason"], &shown["value"]), (&message["reason"], &message["value"]), "{shown}");
    weir.run("queue parked show tasks 0/9999").await.fails(3, "message-not-parked");
    assert_eq!(json(weir, "queue parked redrive tasks --reason attempts").await["redriven"], 0);
    assert_eq!(json(weir, &format!("queue parked redrive tasks {id}")).await["redriven"], 1);
    assert_eq!((count(weir, "ready").await, count(weir, "parked").await), (100, 0));
    for token in tokens(weir, "queue receive tasks").await {
        weir.ok(&format!("queue nack {token} --park")).await;
    }
    for token in tokens(weir, "queue receive tasks --max 10").await {
        weir.ok(&format!("queue nack {token} --park")).await;
    }
    let slowly = json(weir, "queue parked redrive tasks --reason rejected --rate 20").await;
    assert_eq!(slowly["redriven"], 11);
    let leased = tokens(weir, "queue receive tasks").await.remove(0);
    weir.ok(&format!("queue nack {leased} --park")).await;
    assert_eq!(json(weir, "queue parked discard tasks --all").await["discarded"], 1);
    assert_eq!((count(weir, "ready").await, count(weir, "parked").await), (99, 0));
}

/// Why a message of a FIFO queue is not delivered, and messages that are taken away undelivered.
async fn explained_and_removed(weir: &Weir) {
    weir.ok("topic create orders --kind queue --fifo --partitions 1").await;
    let lines = lines(3, |n| format!("ada:order {n}"));
    weir.run_with("queue send orders --key-separator :", lines.as_bytes()).await.ok();
    let hold = async |what: &str| json(weir, &format!("explain queue orders {what}")).await;

    let next = hold("--key ada").await;
    assert_eq!((next["hold"].as_str(), &next["message"]["message_id"]), (Some("nothing"), &Value::from(0)));
    let token = tokens(weir, "queue receive orders --lease 1m").await.remove(0);
    let leased = hold("--message 0/0").await;
    assert_eq!(leased["hold"], "leased", "{leased}");
    let left = leased["message"]["holder"]["left_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&left), "{leased}");
    assert_eq!(hold("--message 0/1").await["hold"], "key-limit");
    let behind = weir.ok("explain queue orders --message 0/2").await;
    assert!(behind.contains("0/2 waits behind other messages of its key. A consumer has 0/0."), "{behind}");
    weir.ok(&format!("queue nack {token} --delay 1h")).await;
    assert_eq!(hold("--message 0/0").await["hold"], "backoff");
    assert_eq!(hold("--message 0/9").await["hold"], "not-arrived");
    assert_eq!(hold("--key nobody").await["hold"], "key-is-empty");
    weir.run("explain queue tasks --key ada").await.fails(5, "queue-without-key-order");

    weir.ok("queue send orders --key grace --delay 1h later").await;
    assert_eq!(hold("--message 0/3").await["hold"], "scheduled");
    assert_eq!(json(weir, "queue cancel orders 0/3 0/1").await["cancelled"], 1);
    assert_eq!(hold("--message 0/3").await["hold"], "gone");
    weir.run("queue cancel orders 0/3").await.fails(3, "message-not-scheduled");
    let asked = weir.run("queue purge orders").await;
    assert!(asked.err.contains("say --yes to empty `orders`"), "{asked:?}");
    assert_eq!(json(weir, "queue purge orders --yes").await["purged"], 3);
    assert_eq!(json(weir, "queue stats orders").await["total"]["ready"], 0);
    weir.ok("topic delete orders --yes").await;
}

async fn work(weir: &Weir, folder: &std::path::Path) {
    let out = folder.join("worked");
    fs::create_dir(&out).unwrap();
    let exec = format!("cat > {}/$WEIR_PARTITION-$WEIR_MESSAGE_ID", out.display());
    let worked = json(weir, &format!("queue work tasks --max 99 --concurrency 4 --exec '{exec}'")).await;
    assert_eq!((worked["acked"].as_u64(), worked["nacked"].as_u64()), (Some(99), Some(0)), "{worked}");
    assert_eq!((count(weir, "ready").await, count(weir, "leased").await), (0, 0));
    let bodies = fs::read_dir(&out).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let bodies: BTreeSet<String> = bodies.collect();
    assert_eq!(bodies.len(), 99, "each message was handled once, with its own body");
    assert!(bodies.iter().filter(|body| body.starts_with("line ")).count() >= 97, "{bodies:?}");

    // What fails three times is parked.
    weir.ok("queue send tasks poison").await;
    let failed = json(weir, "queue work tasks --max 3 --exec 'exit 1'").await;
    assert_eq!((failed["acked"].as_u64(), failed["nacked"].as_u64()), (Some(0), Some(3)), "{failed}");
    assert_eq!(count(weir, "parked").await, 1);
}

async fn stream(weir: &Weir, folder: &std::path::Path) {
    let lines = lines(500, |n| format!("k{}|event {n}", n % 11));
    let file = folder.join("events.txt");
    fs::write(&file, &lines).unwrap();
    let appended = json(
        weir,
        &format!("stream append events --file {} --key-separator '|' --compression zstd", file.display()),
    )
    .await;
    assert_eq!(appended["records"], 500);
    let bodies = weir.ok("stream read events").await;
    let mut found: Vec<&str> = bodies.lines().collect();
    found.sort_unstable();
    let mut expected: Vec<String> = (0..500).map(|n| format!("event {n}")).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let records = json_lines(weir, "stream read events --partition 0").await;
    let offsets: Vec<u64> = records.iter().map(|record| record["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (0..records.len() as u64).collect::<Vec<_>>(), "offsets are dense");
    let later = json_lines(weir, "stream read events --partition 0 --from 3 --max 1").await;
    assert_eq!(later[0]["offset"], 3);
    assert_eq!(weir.ok("stream read events --from latest").await, "");
    assert_eq!(weir.ok("stream read events --from -1h").await.lines().count(), 500);
    assert_eq!(weir.ok("stream read events --from 2100-01-01T00:00:00Z").await, "");
}

async fn groups(weir: &Weir) {
    let first = weir.ok("stream read events --group billing --max 200").await;
    let second = weir.ok("stream read events --group billing --max 300").await;
    let mut both: Vec<&str> = first.lines().chain(second.lines()).collect();
    both.sort_unstable();
    both.dedup();
    assert_eq!(both.len(), 500, "a group goes on where it has committed");
    let list = json(weir, "group list").await;
    assert_eq!(list["groups"][0]["group"], "billing");
    let lag = |group: &Value| -> u64 {
        group["positions"].as_array().unwrap().iter().map(|position| position["lag"].as_u64().unwrap()).sum()
    };
    let described = json(weir, "group describe billing").await;
    assert_eq!(lag(&described), 0, "{described}");
    assert_eq!(lag(&json(weir, "group reset billing --topic events --to earliest").await), 500);
    assert_eq!(weir.ok("stream read events --group billing --max 500").await.lines().count(), 500);
    assert_eq!(lag(&json(weir, "group reset billing --topic events --to -1h").await), 500);
    assert_eq!(lag(&json(weir, "group reset billing --topic events --to latest").await), 0);
    let behind = json(weir, "group reset billing --topic events --to lag:7").await;
    assert_eq!(lag(&behind), 21, "seven of each partition: {behind}");
    for position in behind["positions"].as_array().unwrap() {
        assert!(position["lag_ms"].as_u64().unwrap() > 0, "{position}");
    }
    assert_eq!(weir.ok("stream read events --from lag:2").await.lines().count(), 6);
    weir.run("stream read events --group billing").await.fails(2, "usage");
}

async fn bench(weir: &Weir) {
    for load in ["stream --rate 200", "queue --rate 200 --consumers 2", "mixed --in-flight 100"] {
        let measured = json(weir, &format!("bench {load} --warm-up 200ms --duration 1s")).await;
        for run in measured["runs"].as_array().unwrap() {
            let balance = &run["balance"];
            assert!(balance["confirmed"].as_u64().unwrap() > 0, "{run}");
            assert_eq!((balance["lost"].as_u64(), balance["doubled"].as_u64()), (Some(0), Some(0)), "{run}");
            assert_eq!(run["published"]["errors"].as_u64(), Some(0), "{run}");
        }
    }
    let list = json(weir, "topic list").await;
    let left = list["topics"].as_array().unwrap().iter().map(|topic| topic["name"].as_str().unwrap());
    assert!(left.clone().all(|name| !name.starts_with("bench-")), "{:?}", left.collect::<Vec<_>>());
    let refused = weir.run("bench stream --size 31").await.fails(2, "usage");
    assert!(refused.contains("32 are needed"), "{refused}");
}

async fn cluster_and_end(weir: &Weir) {
    let status = json(weir, "cluster status").await;
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(status["cluster_id"].as_str().unwrap().len(), 16);
    assert!(status["nodes"].as_array().unwrap().iter().all(|node| node["alive"] == true));
    let text = weir.ok("cluster status").await;
    assert!(text.contains("(metadata)") && text.contains("(groups)") && text.contains("up"), "{text}");
    let described = json(weir, "topic describe tasks").await;
    let leader = described["partition_status"][0]["leader"].as_u64().unwrap();
    let names = status["nodes"].as_array().unwrap().iter().filter(|node| node["node_id"] != leader);
    let other = names.map(|node| node["name"].as_str().unwrap()).next().unwrap();
    let text = weir.ok(&format!("cluster transfer tasks 0 --to {other}")).await;
    assert_eq!(text.trim(), format!("{other} leads partition 0 of `tasks`"));
    weir.run("cluster transfer tasks 0 --to nobody").await.fails(2, "usage");
    weir.run(&format!("cluster transfer tasks 99 --to {other}")).await.fails(3, "partition-not-found");
    let digest = json(weir, "cluster digest --topic tasks").await;
    let replicas = digest["replicas"].as_array().unwrap();
    assert!(digest["silent"].as_array().unwrap().is_empty() && !replicas.is_empty(), "{digest}");
    assert!(
        replicas.iter().all(|r| r["hash"].as_str().unwrap().len() == 32 && r["differs"] == false),
        "{digest}"
    );
    weir.run("topic delete tasks").await.fails(2, "usage");
    weir.ok("topic delete tasks --yes").await;
    weir.ok("topic delete events --yes").await;
    weir.run("topic describe tasks --json").await.fails(3, "topic-not-found");
    assert_eq!(json(weir, "topic list").await["topics"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn the_tour_of_the_readme_works_as_written() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    let weir = cluster.weir();
    topics(&weir).await;
    queue(&weir).await;
    parked(&weir).await;
    explained_and_removed(&weir).await;
    work(&weir, site.path()).await;
    stream(&weir, site.path()).await;
    groups(&weir).await;
    bench(&weir).await;
    cluster_and_end(&weir).await;
    cluster.check();
}

#[tokio::test]
async fn completions_and_help_need_no_cluster() {
    let nobody = Weir::at("127.0.0.1:1");
    for shell in ["bash", "zsh", "fish"] {
        let script = nobody.ok(&format!("completions {shell}")).await;
        assert!(script.contains("weir") && script.contains("parked"), "{shell}: {script}");
    }
    let help = nobody.ok("--help").await;
    assert!(help.contains("Exit codes:"), "{help}");
    assert!(nobody.ok("--version").await.starts_with("weir "));
}
