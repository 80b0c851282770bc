//! What a backup consists of, as written beside it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128::Hasher;
use weir_client::ImagePosition;

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// A backup of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Raised by whatever an older program could misread.
    pub(crate) format: u32,
    /// The cluster's id.
    pub(crate) cluster: String,
    /// When the backup began: what was acknowledged before is in it. Milliseconds since the Unix epoch.
    pub(crate) began_ms: u64,
    /// What a restore needs of the registry.
    pub(crate) registry: File,
    /// In order of group.
    pub(crate) partitions: Vec<Partition>,
}

/// A partition's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    /// Its number in the topic.
    pub(crate) number: u32,
    pub(crate) group: u32,
    /// Term and index of the last entry in it.
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) file: File,
}

impl Partition {
    pub(crate) fn position(&self) -> ImagePosition {
        ImagePosition { term: self.term, index: self.index }
    }
}

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// XXH3-128 of its bytes: 32 hex digits.
    pub(crate) checksum: String,
}

/// As it stands on disk.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Of the backup as JSON without spaces.
    checksum: String,
    backup: Manifest,
}

impl Manifest {
    pub(crate) fn new(cluster: String, began_ms: u64, registry: File) -> Self {
        Self { format: FORMAT, cluster, began_ms, registry, partitions: Vec::new() }
    }

    /// All files of the backup.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        std::iter::once(&self.registry).chain(self.partitions.iter().map(|partition| &partition.file))
    }

    /// Their names.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.files().map(|file| file.name.clone()).collect()
    }

    /// The bytes that are written.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let sealed = Sealed { checksum: self.checksum(), backup: self.clone() };
        let mut json =
            serde_json::to_vec_pretty(&sealed).expect("a manifest has string keys and plain values");
        json.push(b'\n');
        json
    }

    /// Reads what [`to_json`](Self::to_json) wrote; what is wrong otherwise.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let format = value["backup"]["format"].as_u64();
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            return Err(format!("it has format {}, this program reads {FORMAT}", format.unwrap_or_default()));
        }
        let Sealed { checksum, backup } = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if checksum != backup.checksum() {
            return Err("its checksum is wrong".to_owned());
        }
        Ok(backup)
    }

    fn checksum(&self) -> String {
        let json = serde_json::to_vec(self).expect("a manifest has string keys and plain values");
        hex(Hasher::oneshot(&json))
    }
}

/// A checksum as it is written.
pub(super) fn hex(checksum: u128) -> String {
    format!("{checksum:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = |name: &str| File { name: name.to_owned(), bytes: 7, checksum: hex(9) };
        let mut manifest = Manifest::new("ab".to_owned(), 5, file("weir-registry.image"));
        let topic = "orders".to_owned();
        manifest.partitions = vec![Partition {
            topic,
            number: 0,
            group: 4,
            term: 2,
            index: 300,
            file: file("weir-orders.image"),
        }];
        manifest
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let manifest = manifest();
        assert_eq!(Manifest::from_json(&manifest.to_json()), Ok(manifest));
    }

    #[test]
    fn any_changed_byte_is_noticed_or_means_nothing() {
        let manifest = manifest();
        let json = manifest.to_json();
        for at in 0..json.len() {
            let mut damaged = json.clone();
            damaged[at] ^= 1;
            if let Ok(read) = Manifest::from_json(&damaged) {
                assert_eq!(read, manifest, "byte {at}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_not_guessed_at() {
        let newer = Manifest { format: FORMAT + 1, ..manifest() };
        let said = Manifest::from_json(&newer.to_json());
        assert_eq!(said, Err("it has format 2, this program reads 1".to_owned()));
    }
}
