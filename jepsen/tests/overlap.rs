//! Many faults at once, and a heal in the middle of them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "faults last for real time")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_checker::{Fault, FaultPhase};
use weir_jepsen::doctor;
use weir_jepsen::env::{Disk, Net, Node, Site, SiteOptions};
use weir_jepsen::nemesis::{Journal, Kind, Leaders, Nemesis, Step, Target};

/// What each step would last if nobody healed.
const LONG: Duration = Duration::from_mins(10);
/// How long the faults are left alone.
const MIXED: Duration = Duration::from_secs(6);
/// How long a heal may take: claims are given up, nodes start, the cluster elects leaders.
const HEALED: Duration = Duration::from_mins(1);

/// What the journal was told.
type Told = (Fault, Option<String>);

const KINDS: &[Kind] = &[
    Kind::Kill,
    Kind::Pause,
    Kind::Partition,
    Kind::NetChaos,
    Kind::OneWay,
    Kind::Reset,
    Kind::Cpu,
    Kind::Clock,
    Kind::ClockStrobe,
    Kind::HungFsync,
    Kind::SlowFsync,
    Kind::DiskFull,
    Kind::Eio,
    Kind::LyingFsync,
    Kind::Garbage,
    Kind::FdExhaustion,
];

fn binary() -> PathBuf {
    let beside = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("weir");
    let weir = std::env::var_os("WEIR_BINARY").map_or_else(beside, PathBuf::from);
    assert!(weir.is_file(), "{} is missing: build it with `cargo build -p weir`", weir.display());
    weir
}

#[test]
fn a_heal_in_the_middle_ends_every_fault() {
    let doctor = doctor::probe();
    let cannot: Vec<String> =
        KINDS.iter().filter_map(|kind| doctor.can(*kind, Net::Tun, Disk::Loop).err()).collect();
    if !cannot.is_empty() {
        eprintln!("SKIPPED: {}", cannot.join("; "));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(SiteOptions::new(folder.path(), binary())).unwrap();
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let journal: Journal = {
        let told = Arc::clone(&told);
        Arc::new(move |fault, failed| told.lock().unwrap().push((fault, failed)))
    };
    let nemesis = Nemesis::new(Arc::clone(&site), 1, journal);
    for (seed, kind) in KINDS.iter().enumerate() {
        let (at, target) = (Duration::ZERO, Target::Random);
        let step = Step { at, lasts: LONG, kind: *kind, target, seed: seed as u64 };
        nemesis.perform(step, Leaders::default());
    }
    std::thread::sleep(MIXED);
    assert!(!site.links().effective().is_empty(), "the links were not touched");
    let began = Instant::now();
    assert_eq!(nemesis.heal_all(), Vec::<String>::new());
    assert!(began.elapsed() < HEALED, "the heal took {:?}", began.elapsed());
    assert!(site.links().effective().is_empty());
    assert!(site.founders().iter().all(Node::is_running));

    let told = told.lock().unwrap();
    let mut open: BTreeMap<u64, &str> = BTreeMap::new();
    for (fault, failed) in told.iter() {
        eprintln!("{:?} {} {}: {} {failed:?}", fault.phase, fault.kind, fault.nodes.join(","), fault.detail);
        match fault.phase {
            FaultPhase::Begin => drop(open.insert(fault.id, &fault.kind)),
            FaultPhase::End => drop(open.remove(&fault.id).unwrap()),
            FaultPhase::Once => panic!("{} could not be made: {failed:?}", fault.kind),
        }
    }
    assert!(open.is_empty(), "never ended: {open:?}");
    assert_eq!(site.look(), Vec::new());
}
