//! A shell command per message or record: its body on standard input, what names it in the environment.

use std::process::Stdio;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use weir_types::limits::RECORD_BYTES_MAX;

/// SIGINT or SIGTERM came.
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

/// One run of a command.
#[derive(Clone, Debug)]
pub(super) struct Job<'a> {
    /// Run by `sh -c`.
    pub(super) command: &'a str,
    /// What it reads.
    pub(super) input: Option<Bytes>,
    /// In `WEIR_KEY`, when a variable can hold it.
    pub(super) key: Option<&'a [u8]>,
    /// More variables.
    pub(super) variables: Vec<(&'static str, String)>,
    /// Whether what it writes is wanted.
    pub(super) capture: bool,
}

impl Job<'_> {
    /// Runs the command to its end; answers what it wrote without the last newline, if that is wanted. Dropping the
    /// future kills it.
    ///
    /// # Errors
    /// In words, when it does not start, ends with another code than 0, or writes more than a record may have.
    pub(super) async fn run(&self) -> Result<Vec<u8>, String> {
        let mut child = self.spawn().map_err(|error| format!("the command does not start: {error}"))?;
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let body = self.input.clone().unwrap_or_default();
        // A command that does not read its input to the end is its own business.
        let feed = async move { drop(input.write_all(&body).await) };
        let ((), output) = tokio::join!(feed, read_output(child.stdout.take()));
        match (child.wait().await, output?) {
            (Ok(status), output) if status.success() => Ok(output),
            (Ok(status), _) => Err(format!("the command ended with {status}")),
            (Err(error), _) => Err(format!("the command: {error}")),
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut shell = Command::new("sh");
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        // A group of its own: Ctrl-C on the terminal is ours alone, and the command comes to its end.
        shell.process_group(0);
        shell.args(["-c", self.command]).envs(variables).env_remove("WEIR_KEY");
        // A variable cannot hold a zero byte, and a key of 64 KiB would still fit.
        let key = self.key.and_then(|key| str::from_utf8(key).ok()).filter(|key| !key.contains('\0'));
        if let Some(key) = key {
            shell.env("WEIR_KEY", key);
        }
        if self.capture {
            shell.stdout(Stdio::piped());
        }
        shell.stdin(Stdio::piped()).kill_on_drop(true).spawn()
    }
}

/// What the command writes, without the last newline.
async fn read_output(stdout: Option<ChildStdout>) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    let Some(stdout) = stdout else { return Ok(output) };
    // One byte more shows that there is too much.
    let mut bounded = stdout.take(RECORD_BYTES_MAX as u64 + 1);
    bounded.read_to_end(&mut output).await.map_err(|error| format!("the command's output: {error}"))?;
    if output.len() > RECORD_BYTES_MAX {
        return Err(format!("the command wrote more than a record may have: {RECORD_BYTES_MAX} bytes"));
    }
    if output.last() == Some(&b'\n') {
        output.pop();
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn job(command: &str, input: impl Into<Bytes>) -> Job<'_> {
        Job { command, input: Some(input.into()), key: None, variables: Vec::new(), capture: false }
    }

    #[tokio::test]
    async fn a_command_gets_the_body_and_what_names_it() {
        let check = r#"test "$(cat)" = body && test "$WEIR_KEY:$WEIR_OFFSET" = k:42"#;
        let variables = vec![("WEIR_OFFSET", "42".to_owned())];
        let named = Job { key: Some(b"k"), variables, ..job(check, "body") };
        assert_eq!(named.run().await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_key_that_no_variable_can_hold_is_left_out() {
        for key in [b"a\0b".as_slice(), b"\xff"] {
            let keyed = Job { key: Some(key), ..job("test -z \"${WEIR_KEY+x}\"", "") };
            assert_eq!(keyed.run().await, Ok(Vec::new()));
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_says_how() {
        assert_eq!(job("exit 3", "").run().await, Err("the command ended with exit status: 3".to_owned()));
    }

    #[tokio::test]
    async fn a_command_need_not_read_a_large_body() {
        assert_eq!(job("true", vec![b'x'; 1 << 20]).run().await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_a_command_writes_comes_without_its_last_newline() {
        let written = Job { capture: true, ..job("cat; echo; echo end", "body") };
        assert_eq!(written.run().await, Ok(b"body\nend".to_vec()));
    }

    #[tokio::test]
    async fn a_command_may_not_write_more_than_a_record_holds() {
        let many = format!("head -c {} /dev/zero", RECORD_BYTES_MAX + 1);
        let error = Job { capture: true, ..job(&many, "") }.run().await.unwrap_err();
        assert!(error.contains("more than a record may have"), "{error}");
        let fits = format!("head -c {RECORD_BYTES_MAX} /dev/zero");
        let written = Job { capture: true, ..job(&fits, "") };
        assert_eq!(written.run().await.map(|out| out.len()), Ok(RECORD_BYTES_MAX));
    }
}
