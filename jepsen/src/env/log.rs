//! A node's log, read as it grows, for what must never stand in it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// What a line holds that tells of a bug, whatever the fault: a process that gives up says why, without these.
const ALARMS: &[&str] =
    &["panicked at", "assertion failed", "stack backtrace:", "SIGSEGV", "double free", "corrupted size"];
/// How much is read at a time; a log that grows faster is read on at the next look.
const BYTES_MAX: u64 = 4 << 20;

/// Reads a log from where it stopped.
pub(crate) struct LogReader {
    path: PathBuf,
    position: u64,
    /// The beginning of a line whose end is not written yet.
    rest: String,
    last: String,
}

impl LogReader {
    /// Will read it from its beginning.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), position: 0, rest: String::new(), last: String::new() }
    }

    /// The alarming lines since the last time.
    pub(crate) fn alarming(&mut self) -> Vec<String> {
        let text = self.more().unwrap_or_default();
        let text = std::mem::take(&mut self.rest) + &text;
        let (lines, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
        rest.clone_into(&mut self.rest);
        if let Some(last) = lines.lines().last() {
            last.clone_into(&mut self.last);
        }
        let alarming = lines.lines().filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
        alarming.map(str::to_owned).collect()
    }

    /// The last line that was read.
    pub(crate) fn last_line(&self) -> &str {
        &self.last
    }

    fn more(&mut self) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        self.position += file.take(BYTES_MAX).read_to_end(&mut bytes)? as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_panic_is_told_once_and_only_when_its_line_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogReader::new(&path);
        assert!(log.alarming().is_empty(), "no log is no alarm");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"all is well\nthread 'x' panicked at").unwrap();
        assert!(log.alarming().is_empty());
        file.write_all(b" src/lib.rs:1\nlast words\n").unwrap();
        assert_eq!(log.alarming(), ["thread 'x' panicked at src/lib.rs:1"]);
        assert!(log.alarming().is_empty());
        assert_eq!(log.last_line(), "last words");
    }
}
