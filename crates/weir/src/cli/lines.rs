//! Messages from files and standard input: one per line.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use weir_types::limits::RECORD_BYTES_MAX;
use weir_types::{ErrorKind, WeirError};

use super::value;
use crate::failure::Failure;

/// Where messages come from, and what goes with each.
#[derive(Debug, Args)]
pub(super) struct Lines {
    /// Read messages from this file, one per line (`-` is standard input); may be repeated
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// The key of every message
    #[arg(long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// A line is KEY, this separator, and the message
    #[arg(long, value_name = "SEPARATOR", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// A header of every message, `name=value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = value::header)]
    pub(super) headers: Vec<(String, String)>,
}

/// A key, if any, and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) key: Option<Bytes>,
    pub(super) value: Bytes,
}

impl Lines {
    /// Opens the sources, in order; standard input when no file is named.
    pub(super) async fn open(&self) -> Result<Source, Failure> {
        let mut readers = Vec::new();
        for path in &self.files {
            readers.push(open(path).await?);
        }
        if readers.is_empty() {
            readers.push(Box::new(BufReader::new(standard_input()?)));
        }
        readers.reverse();
        Ok(Source { readers })
    }

    /// Splits a line into key and body.
    pub(super) fn split(&self, line: Bytes) -> Result<Keyed, Failure> {
        let Some(separator) = &self.key_separator else {
            let key = self.key.as_ref().map(|key| Bytes::copy_from_slice(key.as_bytes()));
            return Ok(Keyed { key, value: line });
        };
        let separator = separator.as_bytes();
        match line.windows(separator.len()).position(|window| window == separator) {
            Some(at) => Ok(Keyed { key: Some(line.slice(..at)), value: line.slice(at + separator.len()..) }),
            None => Err(Failure::operation(
                "no-key",
                format!(
                    "a line of {} bytes has no key separator; it and what follows was not sent",
                    line.len()
                ),
            )),
        }
    }
}

type Reader = Box<dyn AsyncBufRead + Unpin + Send>;

async fn open(path: &PathBuf) -> Result<Reader, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(standard_input()?)));
    }
    let file = File::open(path)
        .await
        .map_err(|error| Failure::operation("io", format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Standard input as a file, whose reads do not hold up the program.
pub(crate) fn standard_input() -> io::Result<File> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(File::from_std(input.into()))
}

/// The lines of several sources, one after the other.
pub(super) struct Source {
    readers: Vec<Reader>,
}

impl Source {
    /// The next line without its end; none at the end of the last source. A line over the size of a record is an
    /// error before it is read whole, so that a file without line ends does not fill memory.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(reader) = self.readers.last_mut() {
            let mut line = Vec::new();
            let limit = RECORD_BYTES_MAX as u64 + 2;
            let read = reader.take(limit).read_until(b'\n', &mut line).await.map_err(Failure::from)?;
            if read == 0 {
                self.readers.pop();
                continue;
            }
            trim_end_of_line(&mut line);
            if line.len() > RECORD_BYTES_MAX {
                let message = format!("a line exceeds the record limit of {RECORD_BYTES_MAX} bytes");
                return Err(WeirError::new(ErrorKind::Invalid, "record-invalid", message).into());
            }
            return Ok(Some(line.into()));
        }
        Ok(None)
    }
}

fn trim_end_of_line(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn lines(key: Option<&str>, separator: Option<&str>) -> Lines {
        Lines {
            files: Vec::new(),
            key: key.map(str::to_owned),
            key_separator: separator.map(str::to_owned),
            headers: Vec::new(),
        }
    }

    fn source(texts: &[&'static [u8]]) -> Source {
        Source { readers: texts.iter().rev().map(|text| Box::new(*text) as Reader).collect() }
    }

    #[tokio::test]
    async fn lines_of_all_sources_come_in_order_and_without_their_ends() {
        let mut source = source(&[b"one\ntwo\r\n", b"", b"\nlast"]);
        let mut found = Vec::new();
        while let Some(line) = source.next().await.unwrap() {
            found.push(line);
        }
        assert_eq!(found, ["one", "two", "", "last"]);
    }

    #[tokio::test]
    async fn a_line_longer_than_a_record_is_refused() {
        let endless: &'static [u8] = vec![b'x'; RECORD_BYTES_MAX + 1].leak();
        assert!(source(&[endless]).next().await.is_err());
        let longest: &'static [u8] = vec![b'x'; RECORD_BYTES_MAX].leak();
        assert_eq!(source(&[longest]).next().await.unwrap().unwrap().len(), RECORD_BYTES_MAX);
    }

    #[test]
    fn a_key_stands_before_the_first_separator() {
        let keyed = lines(None, Some("::")).split("a::b::c".into()).unwrap();
        assert_eq!(keyed, Keyed { key: Some("a".into()), value: "b::c".into() });
        assert!(lines(None, Some("::")).split("abc".into()).is_err());
    }

    #[test]
    fn a_fixed_key_goes_with_every_line() {
        let keyed = lines(Some("k"), None).split("abc".into()).unwrap();
        assert_eq!(keyed, Keyed { key: Some("k".into()), value: "abc".into() });
    }
}
