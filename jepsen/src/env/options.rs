//! What a site is made of.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How nodes and clients reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    /// Each in a network namespace of its own, with a link emulator between them. Needs root.
    Tun,
    /// All on loopback. No fault of the network can be made.
    Plain,
}

/// Where the nodes' data lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disk {
    /// Each on an ext4 file system of its own, in a file. Needs root.
    Loop,
    /// In directories. No power can be cut, and no disk filled.
    Plain,
}

/// A word that names none of the choices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of {choices}")]
pub struct NoChoice {
    word: String,
    choices: &'static str,
}

/// The names of an option's choices.
macro_rules! named {
    ($type:ident, $choices:literal, $($choice:ident $name:literal),*) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$choice => $name,)* })
            }
        }

        impl FromStr for $type {
            type Err = NoChoice;

            fn from_str(word: &str) -> Result<Self, NoChoice> {
                match word {
                    $($name => Ok(Self::$choice),)*
                    _ => Err(NoChoice { word: word.to_owned(), choices: $choices }),
                }
            }
        }
    };
}

named!(Net, "tun, plain", Tun "tun", Plain "plain");
named!(Disk, "loop, plain", Loop "loop", Plain "plain");

/// A cluster to start.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// How many nodes found the cluster: 1, 3 or 5.
    pub nodes: u32,
    /// How many more there are that start only when the nemesis lets them join.
    pub spares: u32,
    /// The network.
    pub net: Net,
    /// The disks.
    pub disk: Disk,
    /// Where logs, configurations and disks are put; made if missing.
    pub dir: PathBuf,
    /// The `weir` to run.
    pub binary: PathBuf,
    /// Another build, for rolling restarts between the two.
    pub other_binary: Option<PathBuf>,
    /// The planted bug that the nodes act on, in a build that carries them.
    pub mutant: Option<String>,
    /// Of the link emulator.
    pub seed: u64,
    /// Log level of the nodes, as in their configuration.
    pub log_level: String,
    /// Keep disks when the site stops.
    pub keep: bool,
}

impl SiteOptions {
    /// Three nodes without spares, on a network and disks that can be broken.
    pub fn new(dir: impl Into<PathBuf>, binary: impl Into<PathBuf>) -> Self {
        Self {
            nodes: 3,
            spares: 0,
            net: Net::Tun,
            disk: Disk::Loop,
            dir: dir.into(),
            binary: binary.into(),
            other_binary: None,
            mutant: None,
            seed: 0,
            log_level: "info".to_owned(),
            keep: false,
        }
    }
}
