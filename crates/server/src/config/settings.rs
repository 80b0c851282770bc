//! The table of settings. A new one is a line here, and appears as key, variable and flag.

use toml::Value;

use super::value::{address, addresses, boolean, bytes, integer, text};
use super::{Config, LogFormat};

/// One setting.
pub struct Setting {
    /// `section.name` in the file.
    pub key: &'static str,
    /// One sentence for `--help`.
    pub help: &'static str,
    pub(super) set: fn(&mut Config, &Value) -> Result<(), String>,
    pub(super) get: fn(&Config) -> Option<Value>,
}

impl Setting {
    /// Its variable: `WEIR_NODE_DATA_DIR` for `node.data_dir`.
    pub fn variable(&self) -> String {
        format!("WEIR_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Its flag: `node-data-dir` for `node.data_dir`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }
}

fn string(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn size(bytes: u64) -> Value {
    let mib = bytes >> 20;
    string(&if mib << 20 == bytes { format!("{mib}MiB") } else { bytes.to_string() })
}

/// Every setting, by section.
pub const SETTINGS: [Setting; 20] = [
    Setting {
        key: "node.name",
        help: "What people call the node; its client address unless set",
        set: |config, value| text(value).map(|name| config.name = Some(name)),
        get: |config| config.name.as_deref().map(string),
    },
    Setting {
        key: "node.data_dir",
        help: "Where the node's data lie",
        set: |config, value| text(value).map(|path| config.data_dir = path.into()),
        get: |config| Some(string(&config.data_dir.to_string_lossy())),
    },
    Setting {
        key: "node.rack",
        help: "Replicas of a partition are spread over racks",
        set: |config, value| text(value).map(|rack| config.rack = Some(rack)),
        get: |config| config.rack.as_deref().map(string),
    },
    Setting {
        key: "cluster.seeds",
        help: "Client addresses of the nodes to ask first, comma-separated; the node's own unless set",
        set: |config, value| addresses(value).map(|seeds| config.seeds = seeds),
        get: |config| Some(Value::Array(config.seeds.iter().map(|seed| string(seed)).collect())),
    },
    Setting {
        key: "cluster.bootstrap_expect",
        help: "How many blank nodes that name the same seeds found a new cluster: 1, 3 or 5",
        set: |config, value| {
            integer(value).and_then(|count| {
                let fits = u32::try_from(count).map_err(|_| format!("is {count}, not 1, 3 or 5"));
                fits.map(|count| config.bootstrap_expect = count)
            })
        },
        get: |config| Some(Value::Integer(config.bootstrap_expect.into())),
    },
    Setting {
        key: "cluster.recover_after_s",
        help: "Seconds until what a node holds that is away is placed on others, if there are enough; 0 for never",
        set: |config, value| {
            integer(value).and_then(|seconds| {
                let fits = u32::try_from(seconds).map_err(|_| format!("is {seconds}, not 0 to {}", u32::MAX));
                fits.map(|seconds| config.recover_after_s = seconds)
            })
        },
        get: |config| Some(Value::Integer(config.recover_after_s.into())),
    },
    Setting {
        key: "cluster.feature_level",
        help: "The feature level at which a new cluster begins, for nodes of older builds to join; else the newest",
        set: |config, value| {
            integer(value).and_then(|level| {
                let fits = u32::try_from(level).map_err(|_| format!("is {level}, which is no level"));
                fits.map(|level| config.feature_level = level)
            })
        },
        get: |config| Some(Value::Integer(config.feature_level.into())),
    },
    Setting {
        key: "listen.client",
        help: "Where clients and other nodes' requests arrive (gRPC)",
        set: |config, value| address(value).map(|at| config.listen.client = at),
        get: |config| Some(string(&config.listen.client)),
    },
    Setting {
        key: "listen.peer",
        help: "Where replication arrives",
        set: |config, value| address(value).map(|at| config.listen.peer = at),
        get: |config| Some(string(&config.listen.peer)),
    },
    Setting {
        key: "listen.http",
        help: "Where metrics and health are served",
        set: |config, value| address(value).map(|at| config.listen.http = at),
        get: |config| Some(string(&config.listen.http)),
    },
    Setting {
        key: "listen.advertised_client",
        help: "What others are told instead of listen.client",
        set: |config, value| address(value).map(|at| config.listen.advertised_client = Some(at)),
        get: |config| config.listen.advertised_client.as_deref().map(string),
    },
    Setting {
        key: "listen.advertised_peer",
        help: "What others are told instead of listen.peer",
        set: |config, value| address(value).map(|at| config.listen.advertised_peer = Some(at)),
        get: |config| config.listen.advertised_peer.as_deref().map(string),
    },
    Setting {
        key: "listen.advertised_http",
        help: "What others are told instead of listen.http",
        set: |config, value| address(value).map(|at| config.listen.advertised_http = Some(at)),
        get: |config| config.listen.advertised_http.as_deref().map(string),
    },
    Setting {
        key: "listen.insecure",
        help: "Listen beyond loopback without TLS: only in a network that you trust",
        set: |config, value| boolean(value).map(|aloud| config.listen.insecure = aloud),
        get: |config| Some(Value::Boolean(config.listen.insecure)),
    },
    Setting {
        key: "storage.log_buffer",
        help: "Memory of one buffer of the Raft logs",
        set: |config, value| bytes(value).map(|bytes| config.log_buffer = bytes),
        get: |config| Some(size(config.log_buffer)),
    },
    Setting {
        key: "storage.tail_cache",
        help: "Recent entries kept in memory for replication and reads",
        set: |config, value| bytes(value).map(|bytes| config.tail_cache = bytes),
        get: |config| Some(size(config.tail_cache)),
    },
    Setting {
        key: "storage.ballast",
        help: "Size of the file that is deleted when the disk is full at start",
        set: |config, value| bytes(value).map(|bytes| config.ballast = bytes),
        get: |config| Some(size(config.ballast)),
    },
    Setting {
        key: "storage.full_below",
        help: "Free space below which writes that add data are refused",
        set: |config, value| bytes(value).map(|bytes| config.full_below = bytes),
        get: |config| Some(size(config.full_below)),
    },
    Setting {
        key: "log.format",
        help: "`text` for people, `json` for programs",
        set: |config, value| {
            config.log_format = match text(value)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(format!("is `{other}`, neither `text` nor `json`")),
            };
            Ok(())
        },
        get: |config| {
            Some(string(match config.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }))
        },
    },
    Setting {
        key: "log.level",
        help: "A level, or `weir_consensus=debug,info` as in RUST_LOG",
        set: |config, value| text(value).map(|level| config.log_level = level),
        get: |config| Some(string(&config.log_level)),
    },
];
