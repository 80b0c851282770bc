//! The binary as people call it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Longest that one command may take.
const COMMAND: Duration = Duration::from_mins(1);

/// The built `weir`, found beside this test program: `target/<profile>/weir` for `target/<profile>/deps/<test>`.
/// `WEIR_BINARY` names another one.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn binary() -> PathBuf {
    if let Some(other) = std::env::var_os("WEIR_BINARY") {
        return other.into();
    }
    let test = std::env::current_exe().expect("a test knows its own program");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("it lies in target/<profile>/deps");
    let weir = profile.join("weir");
    assert!(
        weir.is_file(),
        "{} is missing: build it with `cargo build -p weir` (scripts/test does)",
        weir.display()
    );
    weir
}

/// `weir` with the cluster's address in its environment.
#[derive(Clone, Debug)]
pub struct Weir {
    seeds: String,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The command, for messages.
    pub command: String,
    /// Its exit code; -1 when a signal ended it.
    pub exit: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Weir {
    /// Commands go to this cluster: client addresses, separated by commas.
    pub fn at(seeds: impl Into<String>) -> Self {
        Self { seeds: seeds.into() }
    }

    /// Runs a command to its end. Words are split at spaces; `'…'` keeps some together.
    pub async fn run(&self, line: &str) -> Answer {
        self.run_with(line, b"").await
    }

    /// As [`run`](Self::run), with standard input.
    ///
    /// # Panics
    /// When the command does not start, or does not end within a minute.
    pub async fn run_with(&self, line: &str, input: &[u8]) -> Answer {
        let mut child = Command::new(binary())
            .args(words(line))
            .env("WEIR_SEEDS", &self.seeds)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        // Apart from the reading of the answer: either may fill its pipe first.
        let feeding = tokio::spawn(async move {
            // A command that needs no input may have ended already.
            let _ = stdin.write_all(&input).await;
        });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let ended = tokio::time::timeout(COMMAND, async {
            let (stdout, stderr) = (stdout.as_mut().expect("piped"), stderr.as_mut().expect("piped"));
            let (status, ..) =
                tokio::try_join!(child.wait(), stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))?;
            std::io::Result::Ok(status)
        })
        .await;
        feeding.abort();
        let (out, err) = (text(&out), text(&err));
        let Ok(status) = ended else {
            panic!("`weir {line}` did not end within {} s; it said: {err}{out}", COMMAND.as_secs())
        };
        let status = status.expect("the output of a child can be read");
        Answer { command: format!("weir {line}"), exit: status.code().unwrap_or(-1), out, err }
    }

    /// Runs a command that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn ok(&self, line: &str) -> String {
        self.run(line).await.ok()
    }
}

impl Answer {
    /// What it printed.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.exit, 0, "`{}` failed: {}{}", self.command, self.err, self.out);
        self.out
    }

    /// Checks that it failed with this exit code and this stable error code, and gives what it said.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn fails(self, exit: i32, code: &str) -> String {
        let said =
            self.err.contains(&format!("[{code}]")) || self.err.contains(&format!("\"code\":\"{code}\""));
        assert!(
            self.exit == exit && said,
            "`{}` must exit with {exit} and say {code}; it exited with {} and said: {}{}",
            self.command,
            self.exit,
            self.err,
            self.out
        );
        self.err
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words at spaces; what stands between two `'` is one word.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quoted_words_stay_together() {
        assert_eq!(words("a  'b c' d"), ["a", "b c", "d"]);
        assert_eq!(words("a ''"), ["a", ""]);
    }
}
