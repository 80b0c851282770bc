//! The configuration: one table of settings, each of which may come from the file, from a `WEIR_…` variable or
//! from a flag (the later wins). Everything that is wrong is reported at once.

mod settings;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

pub use settings::{SETTINGS, Setting};
use weir_broker::Level;

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What people call the node; its client address unless set.
    pub name: Option<String>,
    /// Where its data lie.
    pub data_dir: PathBuf,
    /// What it shares power or network with.
    pub rack: Option<String>,
    /// Client addresses of nodes to ask first; this node's own unless set.
    pub seeds: Vec<String>,
    /// How many nodes found a new cluster.
    pub bootstrap_expect: u32,
    /// Seconds until what a node holds that is away is placed on others; 0 for never.
    pub recover_after_s: u32,
    /// The feature level at which a new cluster begins.
    pub feature_level: u32,
    /// Where it listens.
    pub listen: Listen,
    /// Memory of one buffer of the Raft logs.
    pub log_buffer: u64,
    /// Recent entries kept in memory.
    pub tail_cache: u64,
    /// The file that is deleted when the disk is full at start.
    pub ballast: u64,
    /// Free space below which writes are refused.
    pub full_below: u64,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: String,
}

/// Where a node listens, and what others are told to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Clients and other nodes' requests (gRPC).
    pub client: String,
    /// Replication.
    pub peer: String,
    /// Metrics and health.
    pub http: String,
    /// Instead of `client`, for others.
    pub advertised_client: Option<String>,
    /// Instead of `peer`, for others.
    pub advertised_peer: Option<String>,
    /// Instead of `http`, for others.
    pub advertised_http: Option<String>,
    /// Listening beyond loopback without TLS was said aloud.
    pub insecure: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            data_dir: PathBuf::from("weir-data"),
            rack: None,
            seeds: Vec::new(),
            bootstrap_expect: 1,
            recover_after_s: 15 * 60,
            feature_level: Level::KNOWN.0,
            listen: Listen {
                client: "127.0.0.1:7400".to_owned(),
                peer: "127.0.0.1:7401".to_owned(),
                http: "127.0.0.1:7402".to_owned(),
                advertised_client: None,
                advertised_peer: None,
                advertised_http: None,
                insecure: false,
            },
            log_buffer: 64 << 20,
            tail_cache: 64 << 20,
            ballast: 64 << 20,
            full_below: 256 << 20,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
        }
    }
}

/// Where a value came from, for messages.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// The text of a configuration file, and its path.
    File(&'a Path, &'a str),
    /// Values by setting key, as text, and what to call them.
    Values(&'a str, BTreeMap<&'static str, String>),
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration has {} problem{}:", self.0.len(), if self.0.len() == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl Config {
    /// The defaults with the sources applied in order, checked.
    pub fn load(sources: &[Source<'_>]) -> Result<Self, Problems> {
        let mut config = Self::default();
        let mut problems = Vec::new();
        for source in sources {
            match source {
                Source::File(path, text) => config.apply_file(path, text, &mut problems),
                Source::Values(name, values) => config.apply_values(name, values, &mut problems),
            }
        }
        config.check(&mut problems);
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// The values of `WEIR_…` variables, by setting key. Only those of known settings; others belong to the
    /// command line.
    pub fn variables(read: impl Fn(&str) -> Option<String>) -> BTreeMap<&'static str, String> {
        SETTINGS.iter().filter_map(|setting| Some((setting.key, read(&setting.variable())?))).collect()
    }

    fn apply_file(&mut self, path: &Path, text: &str, problems: &mut Vec<String>) {
        let path = path.display();
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return problems.push(format!("{path}: {error}")),
        };
        for (section, content) in &table {
            let Value::Table(content) = content else {
                problems.push(format!("{path}: `{section}` is not a section; known are {}", sections()));
                continue;
            };
            for (key, value) in content {
                let key = format!("{section}.{key}");
                match SETTINGS.iter().find(|setting| setting.key == key) {
                    None => problems.push(format!("{path}: unknown key `{key}`{}", hint(&key))),
                    Some(setting) => {
                        if let Err(error) = (setting.set)(self, value) {
                            problems.push(format!("{path}: `{key}` {error}"));
                        }
                    }
                }
            }
        }
    }

    fn apply_values(&mut self, name: &str, values: &BTreeMap<&str, String>, problems: &mut Vec<String>) {
        for setting in &SETTINGS {
            let Some(text) = values.get(setting.key) else { continue };
            if let Err(error) = (setting.set)(self, &value::from_text(text)) {
                problems.push(format!("{name} of `{}` {error}", setting.key));
            }
        }
    }

    fn check(&self, problems: &mut Vec<String>) {
        if !(Level::FIRST.0..=Level::KNOWN.0).contains(&self.feature_level) {
            let (level, first, known) = (self.feature_level, Level::FIRST, Level::KNOWN);
            problems.push(format!("`cluster.feature_level` is {level}, not {first} to {known}"));
        }
        if ![1, 3, 5].contains(&self.bootstrap_expect) {
            problems.push(format!("`cluster.bootstrap_expect` is {}, not 1, 3 or 5", self.bootstrap_expect));
        }
        if self.bootstrap_expect > 1 && self.seeds.len() < self.bootstrap_expect as usize {
            problems.push(format!(
                "`cluster.seeds` names {} nodes, `cluster.bootstrap_expect` needs {}",
                self.seeds.len(),
                self.bootstrap_expect
            ));
        }
        let listen = &self.listen;
        for (key, address) in [("client", &listen.client), ("peer", &listen.peer), ("http", &listen.http)] {
            if !listen.insecure && !value::is_loopback(address) {
                problems.push(format!(
                    "`listen.{key}` is {address}, beyond loopback and without TLS: say `insecure` aloud, or \
                     listen on 127.0.0.1"
                ));
            }
        }
    }

    /// What others connect to: client, peer, HTTP.
    pub fn advertised(&self) -> [String; 3] {
        let listen = &self.listen;
        [
            listen.advertised_client.as_ref().unwrap_or(&listen.client).clone(),
            listen.advertised_peer.as_ref().unwrap_or(&listen.peer).clone(),
            listen.advertised_http.as_ref().unwrap_or(&listen.http).clone(),
        ]
    }

    /// The effective configuration as a file.
    pub fn to_toml(&self) -> String {
        let mut lines = Vec::new();
        let mut section = "";
        for setting in &SETTINGS {
            let (of, key) = setting.key.split_once('.').expect("every key is section.name");
            if of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                lines.push(format!("{gap}[{of}]"));
                section = of;
            }
            lines.push(match (setting.get)(self) {
                Some(value) => format!("{key} = {value}"),
                None => format!("# {key} is not set"),
            });
        }
        lines.join("\n") + "\n"
    }
}

fn sections() -> String {
    let mut names: Vec<&str> = SETTINGS.iter().filter_map(|setting| setting.key.split('.').next()).collect();
    names.dedup();
    names.join(", ")
}

/// The known key that a typing error most likely meant.
fn hint(key: &str) -> String {
    let close = |setting: &&Setting| value::distance(setting.key, key) <= 3;
    match SETTINGS.iter().filter(close).min_by_key(|setting| value::distance(setting.key, key)) {
        Some(setting) => format!("; did you mean `{}`?", setting.key),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Problems> {
        Config::load(&[Source::File(Path::new("weir.toml"), text)])
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let problems = load(
            "[node]\nnmae = \"a\"\ndata_dir = 3\n[cluster]\nbootstrap_expect = 2\n\
             [listen]\nclient = \"0.0.0.0:7400\"\nhttp = \"nonsense\"\n[stroage]\nballast = \"1 MiB\"\n",
        )
        .expect_err("nothing here is right")
        .to_string();
        for part in [
            "unknown key `node.nmae`; did you mean `node.name`?",
            "`node.data_dir` is not a string",
            "`cluster.bootstrap_expect` is 2, not 1, 3 or 5",
            "`listen.client` is 0.0.0.0:7400, beyond loopback",
            "`listen.http` is `nonsense`, not host:port",
            "unknown key `stroage.ballast`; did you mean `storage.ballast`?",
        ] {
            assert!(problems.contains(part), "{part} is missing in {problems}");
        }
    }

    #[test]
    fn the_effective_configuration_loads_as_itself() {
        let config = load("[node]\nname = \"a\"\n[storage]\nballast = \"1MiB\"\n[log]\nformat = \"json\"\n")
            .expect("it is valid");
        assert_eq!(config.ballast, 1 << 20);
        assert_eq!(load(&config.to_toml()), Ok(config));
    }

    #[test]
    fn later_sources_win() {
        let values = BTreeMap::from([
            ("cluster.seeds", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3".to_owned()),
            ("cluster.bootstrap_expect", "3".to_owned()),
            ("node.name", "7".to_owned()),
        ]);
        let file = Source::File(Path::new("weir.toml"), "[node]\nname = \"a\"\n");
        let config = Config::load(&[file, Source::Values("flag", values)]).expect("it is valid");
        assert_eq!(config.name.as_deref(), Some("7"));
        assert_eq!((config.seeds.len(), config.bootstrap_expect), (3, 3));
    }

    #[test]
    fn the_example_for_three_hosts_is_valid() {
        let example = include_str!("../../../deploy/example/weir.toml");
        load(example).expect("the example is what people copy");
    }
}
