//! A disk that fills up, as a small file system in a file (a loop device): writes are refused, reads and acks go on, and writes come
//! back with the space.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use weir_client::{
    Client, ErrorKind, NewTopic, ProducerOptions, ReadUntil, ReaderOptions, ReceiveOptions, Record, Settle,
    SettleAction,
};
use weir_tests::{Cluster, Node, Ports, Settings, Site, eventually};

const DISK: u64 = 384 << 20;
const FULL_BELOW: u64 = 96 << 20;
const BODY: usize = 256 << 10;
const BOUND: Duration = Duration::from_mins(1);

/// An ext4 file system in a file, unmounted when it is dropped.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one, or says why this machine cannot.
    fn mount(path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).unwrap();
        let image = path.with_extension("img");
        fs::File::create(&image).unwrap().set_len(DISK).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(path))?;
        Ok(Self { path: path.to_owned() })
    }

    fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.path).unwrap();
        found.f_bavail * found.f_frsize
    }

    /// Takes all space but `left`.
    fn fill_to(&self, left: u64) {
        let room = self.free().saturating_sub(left);
        fs::write(self.path.join("filler"), vec![1; room as usize]).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a node that was just killed may still be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}

fn body(number: u8) -> Bytes {
    vec![number; BODY].into()
}

/// What one record's answer is, when nobody repeats.
async fn send(client: &Client, topic: &str, number: u8) -> weir_client::Result<()> {
    let options = ProducerOptions { delivery_timeout: Duration::from_secs(5), ..ProducerOptions::default() };
    let producer = client.producer(topic, options).await?;
    producer.send(Record::new(body(number))).await?.await.map(drop)
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_lets_everything_else_go_on() {
    let site = Site::take().await;
    let disk = match Disk::mount(&site.path().join("disk")) {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("SKIPPED: a file system of fixed size cannot be mounted here: {reason}");
            return;
        }
    };
    let ports = Ports::free();
    let settings = Settings { log_buffer: 16 << 20, ballast: 8 << 20, full_below: FULL_BELOW };
    let data = disk.path.join("data");
    let home = site.path().join("n1");
    let seeds = [ports.client_address()];
    let mut node = Node::prepare_with_data(&home, &data, ports, &seeds, 1, &settings.sections());
    node.start();
    node.ready().await;
    let mut cluster = Cluster::prepare(&site, "unused-", 0, &settings);
    cluster.add(node);
    let client = cluster.client().await;
    for topic in [NewTopic::queue("tasks"), NewTopic::stream("events")] {
        client.admin().create_topic(topic.partitions(1).replicas(1)).await.unwrap();
    }
    for number in 0..8 {
        send(&client, "tasks", number).await.unwrap();
        send(&client, "events", number).await.unwrap();
    }

    disk.fill_to(FULL_BELOW / 2);
    let mut accepted = 8;
    let refused =
        eventually("writes are refused", BOUND, async || match send(&client, "events", accepted).await {
            Ok(()) => {
                accepted += 1;
                Err("it was taken")
            }
            Err(error) => Ok(error),
        })
        .await;
    assert_eq!(refused.code(), "disk-full", "{refused}");
    assert_eq!(refused.kind(), ErrorKind::OutOfSpace);
    let queue = send(&client, "tasks", 99).await.unwrap_err();
    assert_eq!(queue.code(), "disk-full", "{queue}");
    cluster.weir().run("queue send tasks hello --timeout 5s").await.fails(8, "disk-full");

    // Reads, leases and acks go on.
    let received =
        client.receive("tasks", ReceiveOptions { max_messages: 4, ..Default::default() }).await.unwrap();
    assert!(!received.is_empty());
    let settles: Vec<Settle> =
        received.iter().map(|message| Settle { token: message.token, action: SettleAction::Ack }).collect();
    for result in client.settle(&settles).await {
        result.unwrap();
    }
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader("events", options).await.unwrap();
    let mut read = 0;
    while let Some(record) = reader.next().await {
        assert_eq!(record.unwrap().value, Some(body(read)));
        read += 1;
    }
    assert_eq!(read, accepted, "what was refused is not there");
    cluster.check();

    // A restart on the full disk serves as well.
    cluster.nodes()[0].kill().await;
    cluster.nodes()[0].start();
    cluster.nodes()[0].ready().await;
    let left = client.admin().queue_stats("tasks").await.unwrap()[0];
    assert_eq!((left.ready, left.leased), (8 - received.len() as u64, 0));

    disk.make_room();
    eventually("writes come back with the space", BOUND, async || send(&client, "events", accepted).await)
        .await;
    eventually("writes come back with the space", BOUND, async || send(&client, "tasks", 100).await).await;
    cluster.check();
}
