//! The real input: every source file below a folder, as it is when the run begins.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Folders that hold no sources but what was made from them.
const BUILT: &[&str] = &["target", "node_modules", "__pycache__"];
/// A larger file is data.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How much of a file is looked at to tell text from data.
const HEAD_BYTES: u64 = 8 << 10;
/// More files than this are a mistake in the folder's name.
const FILES_MAX: usize = 200_000;

/// All source files below `folder`, in a fixed order: regular text files up to 4 MiB, without hidden files and
/// folders and without build output. Links are not followed.
pub(super) fn source_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() && !BUILT.contains(&&*name) {
                folders.push(entry.path());
            } else if kind.is_file() && is_source(&entry.path())? {
                files.push(entry.path());
            }
        }
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("{} holds more than {FILES_MAX} files", folder.display())));
        }
    }
    files.sort();
    Ok(files)
}

/// Copies the files, which lie below `folder`, to the same places below `into`, and gives the copies: a file that
/// somebody edits during the run would be counted in two versions, and by `wc` in one.
pub(super) fn freeze(files: &[PathBuf], folder: &Path, into: &Path) -> io::Result<Vec<PathBuf>> {
    let mut copies = Vec::with_capacity(files.len());
    for file in files {
        let copy = into.join(file.strip_prefix(folder).map_err(io::Error::other)?);
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent)?;
        }
        match fs::copy(file, &copy) {
            Ok(_) => copies.push(copy),
            // Gone since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(copies)
}

/// Text has no zero byte near its start.
fn is_source(path: &Path) -> io::Result<bool> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        // Gone since the folder was read, or not ours to read: `wc` could not count it either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() > FILE_BYTES_MAX {
        return Ok(false);
    }
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(!head.contains(&0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn sources_are_text_files_that_are_neither_hidden_nor_built() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b.rs", b"fn main() {}");
        write("a/deep/c.txt", b"");
        write("target/debug/built.rs", b"no");
        write(".git/config", b"no");
        write(".hidden", b"no");
        write("image.bin", b"\x89PNG\0\0");
        write("huge.csv", &vec![b'x'; FILE_BYTES_MAX as usize + 1]);
        let found = source_files(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a/deep/c.txt"), Path::new("b.rs")]);

        let into = tempfile::tempdir().unwrap();
        fs::remove_file(&found[0]).unwrap();
        let copies = freeze(&found, folder.path(), into.path()).unwrap();
        assert_eq!(copies, [into.path().join("b.rs")], "a file that is gone is left out");
        write("b.rs", b"edited");
        assert_eq!(fs::read(&copies[0]).unwrap(), b"fn main() {}");
    }
}
