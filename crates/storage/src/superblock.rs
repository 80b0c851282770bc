//! The superblock: a small file outside the database that says whose directory this is and how far the database
//! must at least recover (the amnesia guard).
//!
//! `RocksDB`'s recovery stops silently at a damaged record, in every mode that is fast. So after each sync the
//! writer notes the database's sequence number here, **before** the acknowledgements that the sync covers. A
//! kill loses nothing that was written; a power cut may lose the last 100 ms of notes, because the file itself
//! is synced by a timer. A database that recovers below the note has lost acknowledged writes.
//!
//! Two slots of 4096 bytes, written in turn; the valid one with the higher version counts, so a torn write leaves
//! the one before. Layout of a slot, big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | magic `WEIR` |
//! | 4 | format: 1 |
//! | 8 | version, rises with every write |
//! | 8 | watermark: sequence number that recovery must reach |
//! | 8 | cluster, 0 for none |
//! | 8 | node, 0 for none |
//! | 8 | incarnation, 0 for none |
//! | 4 | length of the node info |
//! | … | node info: opaque bytes, at most [`INFO_BYTES_MAX`] |
//! | 4 | CRC-32C of all before |

use bytes::Bytes;
use parking_lot::Mutex;
use weir_types::{ClusterId, Incarnation, NodeId};

use crate::Error;
use crate::key::{KeyReader, KeyWriter};

pub(crate) const SLOT_BYTES: usize = 4096;
const MAGIC: u32 = u32::from_be_bytes(*b"WEIR");
const FORMAT: u32 = 1;
const FIXED_BYTES: usize = 56;

/// Largest node info.
pub const INFO_BYTES_MAX: usize = 3072;

/// Who a data directory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; 0 while the node is not yet a member of any.
    pub cluster: ClusterId,
    /// The node; 0 while it has no id yet.
    pub node: NodeId,
    /// This life of the directory.
    pub incarnation: Incarnation,
}

/// What one slot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) version: u64,
    pub(crate) watermark: u64,
    pub(crate) identity: Option<Identity>,
    pub(crate) info: Bytes,
}

/// Where the two slots are kept.
pub(crate) trait Device: Send + Sync + 'static {
    /// All bytes; empty when it was never written.
    fn read(&self) -> Result<Vec<u8>, Error>;
    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), Error>;
    fn sync(&self) -> Result<(), Error>;
}

/// The open superblock.
pub(crate) struct Superblock {
    device: Box<dyn Device>,
    slot: Mutex<Slot>,
}

impl Superblock {
    /// Reads the newer valid slot. A device that was never written gives an empty superblock; one that was, but
    /// holds no valid slot, is corrupt.
    pub(crate) fn open(device: Box<dyn Device>) -> Result<Self, Error> {
        let bytes = device.read()?;
        let newest = bytes.chunks(SLOT_BYTES).filter_map(decode).max_by_key(|slot| slot.version);
        let slot = match newest {
            Some(slot) => slot,
            None if bytes.iter().all(|byte| *byte == 0) => Slot::default(),
            None => return Err(Error::Corrupt("neither slot of the superblock is valid".to_owned())),
        };
        Ok(Self { device, slot: Mutex::new(slot) })
    }

    /// Whether nothing was ever written to it.
    pub(crate) fn is_blank(&self) -> bool {
        self.slot.lock().version == 0
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.slot.lock().identity
    }

    pub(crate) fn info(&self) -> Bytes {
        self.slot.lock().info.clone()
    }

    pub(crate) fn watermark(&self) -> u64 {
        self.slot.lock().watermark
    }

    /// Notes how far recovery must reach; durable against a kill at once, against power loss after
    /// [`Self::sync`].
    pub(crate) fn note_watermark(&self, sequence: u64) -> Result<(), Error> {
        self.change(|slot| slot.watermark = slot.watermark.max(sequence))
    }

    /// Lowers the watermark to what was recovered, durable on return: the loss was dealt with. Until then it stays,
    /// so that a second restart notices the loss as well.
    pub(crate) fn reset_watermark(&self, sequence: u64) -> Result<(), Error> {
        self.change(|slot| slot.watermark = sequence)?;
        self.sync()
    }

    /// Sets the identity, durable on return.
    pub(crate) fn set_identity(&self, identity: Identity) -> Result<(), Error> {
        self.change(|slot| slot.identity = Some(identity))?;
        self.sync()
    }

    /// Sets the node info, durable on return.
    pub(crate) fn set_info(&self, info: Bytes) -> Result<(), Error> {
        if info.len() > INFO_BYTES_MAX {
            return Err(Error::NodeInfoTooLarge { bytes: info.len(), bytes_max: INFO_BYTES_MAX });
        }
        self.change(|slot| slot.info = info)?;
        self.sync()
    }

    /// Makes everything noted durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.device.sync()
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) -> Result<(), Error> {
        let mut slot = self.slot.lock();
        change(&mut slot);
        slot.version += 1;
        let offset = (slot.version % 2) as usize * SLOT_BYTES;
        self.device.write_at(offset, &encode(&slot))
    }
}

pub(crate) fn encode(slot: &Slot) -> Vec<u8> {
    let (cluster, node, incarnation) = match slot.identity {
        Some(identity) => (identity.cluster.0, identity.node.0, identity.incarnation.0),
        None => (0, 0, 0),
    };
    let mut bytes = KeyWriter::with_capacity(FIXED_BYTES + slot.info.len())
        .u32(MAGIC)
        .u32(FORMAT)
        .u64(slot.version)
        .u64(slot.watermark)
        .u64(cluster)
        .u64(node)
        .u64(incarnation)
        .u32(slot.info.len() as u32)
        .bytes(&slot.info)
        .finish();
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    assert!(bytes.len() <= SLOT_BYTES, "the limit on node info keeps a slot within its bytes");
    bytes
}

/// The slot in these bytes, if they are one and whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<Slot> {
    let mut reader = KeyReader::new("superblock", bytes);
    if reader.u32().ok()? != MAGIC || reader.u32().ok()? != FORMAT {
        return None;
    }
    let version = reader.u64().ok()?;
    let watermark = reader.u64().ok()?;
    let (cluster, node, incarnation) = (reader.u64().ok()?, reader.u64().ok()?, reader.u64().ok()?);
    let info_bytes = reader.u32().ok()? as usize;
    let covered = bytes.len() - reader.rest().len() + info_bytes;
    let crc = bytes.get(covered..covered + 4)?;
    if crc32c::crc32c(&bytes[..covered]).to_be_bytes() != crc {
        return None;
    }
    let identity = (incarnation != 0).then_some(Identity {
        cluster: ClusterId(cluster),
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
    });
    let info = Bytes::copy_from_slice(&bytes[covered - info_bytes..covered]);
    Some(Slot { version, watermark, identity, info })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    const IDENTITY: Identity =
        Identity { cluster: ClusterId(0xc), node: NodeId(2), incarnation: Incarnation(0x1a) };

    fn open(disk: &MemoryDisk) -> Result<Superblock, Error> {
        Superblock::open(Box::new(disk.device()))
    }

    #[test]
    fn superblock_slots_are_golden() {
        let slot =
            Slot { version: 3, watermark: 0x0102, identity: Some(IDENTITY), info: Bytes::from_static(b"xy") };
        let bytes = encode(&slot);
        let expected = [
            b"WEIR\0\0\0\x01".as_slice(),
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 0, 0, 0, 0, 0xc],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 0x1a],
            &[0, 0, 0, 2, b'x', b'y'],
        ]
        .concat();
        assert_eq!(bytes[..expected.len()], expected);
        assert_eq!(bytes[expected.len()..], crc32c::crc32c(&expected).to_be_bytes());
        assert_eq!(decode(&bytes), Some(slot));
    }

    #[test]
    fn a_superblock_reads_back_what_was_last_written() {
        let disk = MemoryDisk::new();
        let superblock = open(&disk).unwrap();
        assert!(superblock.is_blank());
        superblock.set_identity(IDENTITY).unwrap();
        superblock.note_watermark(7).unwrap();
        superblock.set_info(Bytes::from_static(b"votes")).unwrap();
        superblock.note_watermark(9).unwrap();
        let again = open(&disk).unwrap();
        assert_eq!(again.identity(), Some(IDENTITY));
        assert_eq!(again.watermark(), 9);
        assert_eq!(again.info(), b"votes".as_slice());
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let disk = MemoryDisk::new();
        let superblock = open(&disk).unwrap();
        superblock.set_identity(IDENTITY).unwrap();
        superblock.note_watermark(5).unwrap();
        superblock.note_watermark(6).unwrap();
        disk.device().write_at(SLOT_BYTES + 20, &[0xff; 8]).unwrap();
        let again = open(&disk).unwrap();
        assert_eq!((again.watermark(), again.identity()), (5, Some(IDENTITY)));
    }

    #[test]
    fn a_superblock_without_a_valid_slot_is_refused() {
        let disk = MemoryDisk::new();
        open(&disk).unwrap().set_identity(IDENTITY).unwrap();
        disk.device().write_at(SLOT_BYTES, b"garbage").unwrap();
        assert!(matches!(open(&disk), Err(Error::Corrupt(_))));
    }

    #[test]
    fn node_info_that_does_not_fit_is_refused() {
        let superblock = open(&MemoryDisk::new()).unwrap();
        let error = superblock.set_info(vec![0; INFO_BYTES_MAX + 1].into()).unwrap_err();
        assert!(matches!(error, Error::NodeInfoTooLarge { bytes: 3073, bytes_max: 3072 }));
    }
}
