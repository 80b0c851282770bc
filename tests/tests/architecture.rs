//! Holds the layer table of `docs/ARCHITECTURE.md` against `cargo metadata`: imports go to a lower level only, and
//! each heavy third-party crate belongs to the crates named here. Change the table and the page in one commit.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crate, level, and the crates of ours that it may depend on.
const LAYERS: &[(&str, u32, &[&str])] = &[
    ("types", 0, &[]),
    ("checker", 0, &[]),
    ("queue", 1, &["types"]),
    ("stream", 1, &["types"]),
    ("groups", 1, &["types"]),
    ("metadata", 1, &["types"]),
    ("compression", 1, &["types"]),
    ("runtime", 1, &["types"]),
    ("storage", 1, &["types"]),
    ("proto", 1, &["types"]),
    ("consensus", 2, &["types", "runtime", "storage", "proto"]),
    ("client", 2, &["types", "compression", "runtime", "proto"]),
    (
        "broker",
        3,
        &[
            "types",
            "queue",
            "stream",
            "groups",
            "metadata",
            "compression",
            "runtime",
            "storage",
            "proto",
            "consensus",
        ],
    ),
    ("server", 5, &["types", "runtime", "storage", "proto", "broker"]),
    ("bench", 3, &["client"]),
    ("weir", 6, &["types", "runtime", "client", "server", "bench"]),
    ("jepsen", 6, &["types", "checker", "proto", "client"]),
    (
        "tests",
        6,
        &[
            "types",
            "checker",
            "queue",
            "metadata",
            "compression",
            "runtime",
            "storage",
            "proto",
            "client",
            "server",
            "consensus",
            "broker",
        ],
    ),
];

/// The machines that turn (time, command) into (state, reply) and nothing else.
const PURE: &[&str] = &["types", "queue", "stream", "groups", "metadata"];

/// What must not be found among the dependencies of a pure machine, near or far.
const IMPURE: &[&str] =
    &["tokio", "tonic", "openraft", "rocksdb", "rand", "getrandom", "mio", "chrono", "jiff"];

/// Third-party crates that only some of ours may name, so that replacing one stays local.
const OWNERS: &[(&str, &[&str])] = &[
    ("openraft", &["consensus"]),
    ("rocksdb", &["storage"]),
    ("rand", &["runtime", "jepsen"]),
    ("crc32c", &["types", "storage", "consensus"]),
    ("prost", &["proto", "client", "server", "jepsen"]),
    ("prost-types", &["proto"]),
    ("tonic", &["proto", "client", "server", "jepsen"]),
    ("tonic-prost", &["proto"]),
    ("tonic-prost-build", &["proto"]),
    ("tonic-health", &["server"]),
    ("tonic-reflection", &["server"]),
    ("protox", &["proto"]),
    ("axum", &["server"]),
    ("metrics-exporter-prometheus", &["server"]),
    ("clap", &["weir", "jepsen"]),
    ("clap_complete", &["weir"]),
    ("comfy-table", &["weir", "jepsen"]),
    ("indicatif", &["weir", "jepsen"]),
    ("hdrhistogram", &["bench"]),
    ("maud", &["jepsen"]),
    ("flate2", &["compression"]),
    ("lz4_flex", &["compression"]),
    ("snap", &["compression"]),
    ("zstd", &["compression"]),
];

/// The workspace as cargo sees it.
struct Workspace {
    /// Short crate name to the names it depends on directly: normal and build dependencies.
    direct: BTreeMap<String, BTreeSet<String>>,
    /// Package id to package name.
    names: BTreeMap<String, String>,
    /// Package id to the ids of its normal dependencies.
    graph: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .args(["--manifest-path", "../Cargo.toml"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
        let packages = metadata["packages"].as_array().unwrap();
        Self {
            direct: packages
                .iter()
                .filter(|package| members.contains(text(&package["id"])))
                .map(|package| (short(text(&package["name"])), declared(package)))
                .collect(),
            names: packages
                .iter()
                .map(|package| (text(&package["id"]).to_owned(), text(&package["name"]).to_owned()))
                .collect(),
            graph: metadata["resolve"]["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|node| (text(&node["id"]).to_owned(), resolved(node)))
                .collect(),
        }
    }

    /// Names of everything that ends up in a build of `crate_name`, itself left out.
    fn closure(&self, crate_name: &str) -> BTreeSet<String> {
        let own = format!("weir-{crate_name}");
        let start = self.names.iter().find(|(_, name)| **name == own).unwrap().0;
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            open.extend(self.graph[id].iter().filter(|next| seen.insert((*next).clone())));
        }
        seen.iter().map(|id| self.names[id].clone()).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().unwrap().iter().map(text)
}

fn short(name: &str) -> String {
    name.strip_prefix("weir-").unwrap_or(name).to_owned()
}

/// Test-only dependencies are free: a test may bring any tool.
fn declared(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    dependencies
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .map(|dependency| text(&dependency["name"]).to_owned())
        .collect()
}

fn resolved(node: &Value) -> Vec<String> {
    let normal = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
    };
    let dependencies = node["deps"].as_array().unwrap().iter().filter(normal);
    dependencies.map(|dependency| text(&dependency["pkg"]).to_owned()).collect()
}

#[test]
fn every_crate_has_a_line_in_the_layer_table() {
    let listed: BTreeSet<String> = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let present: BTreeSet<String> = Workspace::read().direct.into_keys().collect();
    assert_eq!(present, listed);
}

#[test]
fn the_table_itself_only_points_down() {
    let levels: BTreeMap<&str, u32> = LAYERS.iter().map(|(name, level, _)| (*name, *level)).collect();
    for (name, level, allowed) in LAYERS {
        for below in *allowed {
            assert!(levels[below] < *level, "{name} (level {level}) may not list {below}");
        }
    }
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let workspace = Workspace::read();
    for (name, level, allowed) in LAYERS {
        for dependency in &workspace.direct[*name] {
            let Some(ours) = dependency.strip_prefix("weir-") else { continue };
            assert!(
                allowed.contains(&ours),
                "{name} (level {level}) depends on {ours}, which its line in the table does not allow"
            );
        }
    }
}

#[test]
fn third_party_crates_stay_with_their_owners() {
    let workspace = Workspace::read();
    for (third_party, owners) in OWNERS {
        for (name, dependencies) in &workspace.direct {
            assert!(
                !dependencies.contains(*third_party) || owners.contains(&name.as_str()) || name == "tests",
                "{name} depends on {third_party}, which belongs to {owners:?}"
            );
        }
    }
}

#[test]
fn pure_machines_reach_no_io_randomness_or_clock() {
    let workspace = Workspace::read();
    for name in PURE {
        let reached = workspace.closure(name);
        let impure: Vec<_> = IMPURE.iter().filter(|banned| reached.contains(**banned)).collect();
        assert!(impure.is_empty(), "{name} reaches {impure:?}");
    }
}
