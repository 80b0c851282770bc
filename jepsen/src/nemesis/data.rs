//! Data that rot, vanish, or go back in time, while their node is down.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use super::work::Work;
use crate::env::{Error, Node, Result};

/// A block of a disk.
const BLOCK: usize = 4_096;
/// How many bytes are tried in search of one that is in use.
const TRIES: u32 = 64;
/// The most that is cut off.
const CUT_MAX: u64 = 64 << 10;

/// A file of a node that is down is damaged.
pub(super) fn rot(work: &mut Work<'_>) -> Result<()> {
    let node = work.node()?;
    work.only(node);
    work.begin_sick("");
    node.kill()?;
    let damage = match choose(&node.data(), &mut work.dice) {
        Some((kind, file)) => damage(&file, &mut work.dice).map(|how| format!("{kind}: {how}")),
        None => Err(Error::Unable("it has no data yet".to_owned())),
    };
    work.remember_damage();
    work.last();
    let refused = work.start_damaged()?;
    work.end([damage?, refused].join("; ").trim_end_matches("; ").to_owned());
    Ok(())
}

/// A file of the data folder, of a kind that is drawn first: there are many of one kind and few of another.
fn choose(data: &Path, dice: &mut SmallRng) -> Option<(&'static str, PathBuf)> {
    let all = |folder: PathBuf, fits: fn(&str) -> bool| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.filter(|entry| fits(&entry.file_name().to_string_lossy()));
        let filled = files.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0));
        let mut paths: Vec<PathBuf> = filled.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let database = data.join("db");
    let kinds = [
        ("superblock", all(data.to_owned(), |name| name == "superblock")),
        ("write-ahead log", all(database.clone(), |name| name.strip_suffix(".log").is_some())),
        ("table", all(database.clone(), |name| name.strip_suffix(".sst").is_some())),
        ("manifest", all(database, |name| name.starts_with("MANIFEST"))),
    ];
    let there: Vec<_> = kinds.into_iter().filter(|(_, files)| !files.is_empty()).collect();
    let (kind, files) = there.choose(dice)?;
    Some((*kind, files.choose(dice)?.clone()))
}

fn damage(file: &Path, dice: &mut SmallRng) -> Result<String> {
    let failed = |source| Error::Io { what: format!("damaging {}", file.display()), source };
    let opened = OpenOptions::new().read(true).write(true).open(file).map_err(failed)?;
    let size = opened.metadata().map_err(failed)?.len();
    match dice.random_range(0..4) {
        0 => {
            let cut = dice.random_range(1..=size.min(CUT_MAX));
            opened.set_len(size - cut).map_err(failed)?;
            Ok(format!("{cut} bytes cut off"))
        }
        1 => {
            let at = dice.random_range(0..size) / BLOCK as u64 * BLOCK as u64;
            let zeros = vec![0; BLOCK.min((size - at) as usize)];
            opened.write_all_at(&zeros, at).map_err(failed)?;
            Ok(format!("the block at {at} zeroed"))
        }
        _ => {
            let mut byte = [0];
            let mut at = 0;
            // A preallocated end is all zeros, and nobody looks at it.
            for _ in 0..TRIES {
                at = dice.random_range(0..size);
                opened.read_exact_at(&mut byte, at).map_err(failed)?;
                if byte != [0] {
                    break;
                }
            }
            byte[0] ^= 1 << dice.random_range(0..8);
            opened.write_all_at(&byte, at).map_err(failed)?;
            Ok(format!("a bit flipped at {at} of {size}"))
        }
    }
}

/// All data are gone.
pub(super) fn wipe(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    work.begin_sick("");
    work.remember_damage();
    let wiped = work.each(Node::kill).and_then(|()| work.each(Node::wipe));
    if wiped.is_ok() {
        work.last();
    }
    work.start_nodes().and(wiped)?;
    work.end("");
    Ok(())
}

/// The database goes back to where it was when the step began; the superblock does not. An old copy of everything
/// cannot be told from the real thing, by anybody.
pub(super) fn old(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    work.begin_sick("");
    work.remember_damage();
    let saved = work.each(Node::kill).and_then(|()| work.each(Node::save_database));
    work.start_nodes().and(saved)?;
    work.last();
    let restored = work.each(Node::kill).and_then(|()| work.each(Node::restore_database));
    let refused = work.start_damaged();
    restored?;
    work.end(refused?);
    Ok(())
}
