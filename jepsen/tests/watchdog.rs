//! A harness that dies takes everything down that it made on this host.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a killed process gives no signal")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weir_jepsen::doctor::{self, Mechanism};
use weir_jepsen::env::{Site, SiteOptions};

const FOLDER: &str = "JEPSEN_TEST_FOLDER";
/// What the holder prints before the ids of its nodes' processes.
const HELD: &str = "held:";
/// How long the watchdog may take.
const BOUND: Duration = Duration::from_secs(20);

fn binary() -> PathBuf {
    let beside = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("weir");
    let weir = std::env::var_os("WEIR_BINARY").map_or_else(beside, PathBuf::from);
    assert!(weir.is_file(), "{} is missing: build it with `cargo build -p weir`", weir.display());
    weir
}

/// What the test below is in the process that it starts and kills.
fn hold_a_site_until_killed(folder: &Path) {
    let site = Site::start(SiteOptions::new(folder, binary())).unwrap();
    let processes: Vec<String> =
        site.nodes().iter().map(|node| node.process().unwrap().to_string()).collect();
    // A frozen node must be ended as well.
    site.nodes()[0].pause().unwrap();
    // Past the test runner, which gives a line out only when its test ends.
    let mut parent = std::io::stdout();
    writeln!(parent, "\n{HELD}{}", processes.join(" ")).unwrap();
    std::thread::sleep(Duration::from_mins(2));
}

/// What is still there of a dead harness.
fn left(folder: &Path, harness: u32, nodes: &[u32]) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(&*folder.to_string_lossy()));
    let namespaces: Vec<String> = fs::read_dir("/run/netns").map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
    );
    let namespaces = namespaces.into_iter().filter(|name| name.starts_with(&format!("wj{harness}-")));
    let alive = nodes.iter().filter(|id| {
        // Its parent is gone: whoever takes it over may not have noticed its end yet.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    });
    mounts.map(str::to_owned).chain(namespaces).chain(alive.map(ToString::to_string)).collect()
}

#[test]
fn a_harness_that_is_killed_leaves_nothing_behind() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return hold_a_site_until_killed(Path::new(&folder));
    }
    let doctor = doctor::probe();
    for mechanism in [Mechanism::Network, Mechanism::Disk] {
        if !doctor.works(mechanism) {
            eprintln!("SKIPPED: this host has no {mechanism}: {}", doctor.table());
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder
        .args(["--exact", "a_harness_that_is_killed_leaves_nothing_behind", "--nocapture"])
        .env(FOLDER, folder.path());
    let mut holder = holder.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let held = lines.map_while(Result::ok).find_map(|line| line.strip_prefix(HELD).map(str::to_owned));
    let held = held.expect("the other process holds a site");
    let nodes: Vec<u32> = held.split(' ').map(|id| id.parse().unwrap()).collect();
    let harness = holder.id();
    assert!(left(folder.path(), harness, &nodes).len() > nodes.len());

    holder.kill().unwrap();
    holder.wait().unwrap();
    let end = Instant::now() + BOUND;
    while Instant::now() < end && !left(folder.path(), harness, &nodes).is_empty() {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(left(folder.path(), harness, &nodes), Vec::<String>::new());
}
