//! Every kind of fault once on a real cluster, in a site of this host. `WEIR_BINARY` names the `weir` to start,
//! `WEIR_FAULTS` the kinds to try, separated by commas.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::time::Duration;

use weir_jepsen::doctor::{self, Tried};
use weir_jepsen::env::{Disk, Net, SiteOptions};
use weir_jepsen::nemesis::Kind;

/// How long each fault lasts.
const LASTS: Duration = Duration::from_secs(3);

/// The built `weir`: `target/<profile>/weir` for `target/<profile>/deps/<test>`.
fn binary() -> PathBuf {
    if let Some(other) = std::env::var_os("WEIR_BINARY") {
        return other.into();
    }
    let weir = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("weir");
    assert!(weir.is_file(), "{} is missing: build it with `cargo build -p weir`", weir.display());
    weir
}

fn print(tried: &Tried) {
    eprintln!(
        "{:<16} {} {:>6} ms {:>5} acked, {}: {} {}",
        tried.kind.name(),
        if tried.well { "well" } else { "BAD " },
        tried.took_ms,
        tried.acknowledged,
        tried.nodes.join(","),
        tried.told.join("; "),
        tried.problems.join(" | "),
    );
}

#[test]
fn every_fault_that_this_host_can_make_happens_and_is_undone() {
    let doctor = doctor::probe();
    eprintln!("{}", doctor.table());
    let wanted = std::env::var("WEIR_FAULTS").unwrap_or_default();
    let wanted = |kind: &&Kind| wanted.is_empty() || wanted.split(',').any(|name| name == kind.name());
    let net = if doctor.works(doctor::Mechanism::Network) { Net::Tun } else { Net::Plain };
    let disk = if doctor.works(doctor::Mechanism::Disk) { Disk::Loop } else { Disk::Plain };
    let mut kinds = Vec::new();
    for kind in Kind::ALL.iter().filter(wanted) {
        match doctor.can(*kind, net, disk) {
            Ok(()) => kinds.push(*kind),
            Err(why) => eprintln!("SKIPPED: {why}"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let seed = std::env::var("WEIR_SEED").map_or(1, |text| text.parse().unwrap());
    let options = SiteOptions { net, disk, seed, ..SiteOptions::new(folder.path(), binary()) };
    let tried = doctor::try_kinds(options, &kinds, LASTS, print).unwrap();
    let bad: Vec<&str> = tried.iter().filter(|tried| !tried.well).map(|tried| tried.kind.name()).collect();
    if !bad.is_empty() {
        let kept = folder.keep();
        panic!("{} did not go well; logs are in {}", bad.join(", "), kept.display());
    }
}
