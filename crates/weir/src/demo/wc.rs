//! Lines and words, counted as `wc` counts them in the C locale, and `wc` itself to compare with.

use std::ops::{Add, AddAssign, Mul};
use std::path::PathBuf;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Lines and words of a text, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// `wc -l`: how many line ends.
    pub(super) lines: u64,
    /// `wc -w`.
    pub(super) words: u64,
}

impl Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { lines: self.lines + other.lines, words: self.words + other.words }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<u64> for Counts {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self { lines: self.lines * times, words: self.words * times }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// Which bytes make a word. White space ends one everywhere; up to GNU coreutils 9.4 only a printable byte begins
/// one (so that a lone `é` is no word in the C locale), later versions let any other byte begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordRule {
    /// A word begins with a printable ASCII byte.
    Printable,
    /// A word begins with any byte that is not white space.
    AnyByte,
}

impl WordRule {
    /// The rule of this machine's `wc`, found by asking it for the words of one unprintable byte.
    pub(super) async fn of_this_machine() -> Result<Self, String> {
        let words = run_wc(&["-w"], b"\xc3\n").await?;
        match words.trim() {
            "0" => Ok(Self::Printable),
            "1" => Ok(Self::AnyByte),
            other => Err(format!("`wc -w` counts `{other}` words in one byte")),
        }
    }

    fn begins_word(self, byte: u8) -> bool {
        match self {
            Self::Printable => byte.is_ascii_graphic(),
            Self::AnyByte => true,
        }
    }

    /// Counts a text.
    pub(super) fn count(self, text: &[u8]) -> Counts {
        let mut counts = Counts::default();
        let mut in_word = false;
        for &byte in text {
            match byte {
                b'\n' => counts.lines += 1,
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {}
                other => {
                    in_word |= self.begins_word(other);
                    continue;
                }
            }
            counts.words += u64::from(in_word);
            in_word = false;
        }
        counts.words += u64::from(in_word);
        counts
    }
}

/// What `wc` itself says of all these files together.
pub(super) async fn by_wc(files: &[PathBuf]) -> Result<Counts, String> {
    let mut names = Vec::new();
    for file in files {
        names.extend_from_slice(file.as_os_str().as_encoded_bytes());
        names.push(0);
    }
    let output = run_wc(&["-l", "-w", "--files0-from=-"], &names).await?;
    // One line per file, then, for more than one, their total, which overflows its columns before it is wrong:
    // the sum of the lines is as good and needs no special case.
    let counts = output.lines().take(files.len()).map(parse_line);
    counts.collect::<Option<Vec<_>>>().map(|counts| counts.into_iter().sum()).ok_or_else(|| {
        let start: String = output.chars().take(200).collect();
        format!("`wc` printed what is no count: {start}")
    })
}

fn parse_line(line: &str) -> Option<Counts> {
    let mut numbers = line.split_whitespace();
    Some(Counts { lines: numbers.next()?.parse().ok()?, words: numbers.next()?.parse().ok()? })
}

async fn run_wc(arguments: &[&str], input: &[u8]) -> Result<String, String> {
    let mut child = Command::new("wc")
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`wc` does not start: {error}"))?;
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // Both at once: `wc` prints while it still reads, and a full pipe on either side would stop both.
    let feed = async move { stdin.write_all(input).await };
    let (fed, output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(|error| format!("`wc`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`wc` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    fed.map_err(|error| format!("`wc` closed its input: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const TEXTS: &[&[u8]] = &[
        b"",
        b"\n",
        b"one two\nthree",
        b"  lead\tand trail \n\n\x0b\x0cx\r\n",
        "é ü ß\nnaïve café\n".as_bytes(),
        b"\0 \x01a \x7f\n\xff\xfe\n",
        b"a\xa0b \xa0 \xa0c",
    ];

    #[tokio::test]
    async fn counts_are_those_of_wc() {
        let rule = WordRule::of_this_machine().await.unwrap();
        for text in TEXTS {
            let output = run_wc(&["-l", "-w"], text).await.unwrap();
            assert_eq!(Some(rule.count(text)), parse_line(&output), "{text:?}");
        }
    }

    #[tokio::test]
    async fn every_pair_of_bytes_is_counted_as_wc_counts_it() {
        let rule = WordRule::of_this_machine().await.unwrap();
        let text: Vec<u8> = (0..=255u8).flat_map(|a| (0..=255u8).flat_map(move |b| [a, b, b' '])).collect();
        let output = run_wc(&["-l", "-w"], &text).await.unwrap();
        assert_eq!(Some(rule.count(&text)), parse_line(&output));
    }

    #[tokio::test]
    async fn many_files_are_summed() {
        let folder = tempfile::tempdir().unwrap();
        let rule = WordRule::of_this_machine().await.unwrap();
        let mut files = Vec::new();
        for (i, text) in TEXTS.iter().enumerate() {
            files.push(folder.path().join(format!("file {i}\n.txt")));
            std::fs::write(files.last().unwrap(), text).unwrap();
        }
        let ours: Counts = TEXTS.iter().map(|text| rule.count(text)).sum();
        assert_eq!(by_wc(&files).await, Ok(ours));
        assert_eq!(by_wc(&files[2..3]).await, Ok(Counts { lines: 1, words: 3 }));
        assert!(by_wc(&[folder.path().join("missing")]).await.is_err());
    }
}
