//! `weir server`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use weir_runtime::Runtime;
use weir_server::{Config, SETTINGS, Server as Node, ServerError, Source, Stopped, telemetry};

use crate::failure::{Failure, Outcome};

/// Run a node
#[derive(Debug, Args)]
#[command(after_help = "\
Every setting may come from the file, from its WEIR_… variable, or from its flag; the later wins.

Examples:
  weir server
  weir server --config /etc/weir/weir.toml
  weir server --config weir.toml --node-data-dir /data/weir --print-config")]
pub(super) struct Server {
    /// The configuration file
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the effective configuration, or everything that is wrong with it, and stop
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    settings: Settings,
}

/// The flags of the settings, made from the server's table, so that a new setting has its flag.
#[derive(Debug, Default)]
struct Settings(BTreeMap<&'static str, String>);

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().fold(command, |command, setting| {
            let mut arg = Arg::new(setting.key).long(setting.flag()).value_name("VALUE");
            arg = arg.help(format!("{} [env: {}]", setting.help, setting.variable()));
            // `--insecure` is said aloud; the value may be left out.
            if setting.key == "listen.insecure" {
                arg = arg.long("insecure").num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command.arg(arg.help_heading("Settings"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS.iter().filter_map(|setting| {
            let value = matches.get_one::<String>(setting.key)?;
            Some((setting.key, value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Server {
    pub(super) async fn run(self) -> Outcome {
        let config = self.load()?;
        if self.print_config {
            let mut out = std::io::stdout().lock();
            return Ok(std::io::Write::write_all(&mut out, config.to_toml().as_bytes())?);
        }
        telemetry::start_logging(&config);
        let node = Node::start(&config, Runtime::real()).await.map_err(cannot_start)?;
        match node.run_until(asked_to_stop()).await? {
            Stopped::Asked => Ok(()),
            Stopped::Failed(why) => Err(Failure::operation("node-failed", why)
                .hint("restart the node: it recovers what was acknowledged, or asks the others for it")),
        }
    }

    fn load(&self) -> Result<Config, Failure> {
        let text = match &self.config {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("configuration {}: {error}", path.display())))?,
            None => String::new(),
        };
        let mut sources = Vec::new();
        if let Some(path) = &self.config {
            sources.push(Source::File(path, &text));
        }
        sources.push(Source::Values("variable", Config::variables(|name| std::env::var(name).ok())));
        sources.push(Source::Values("flag", self.settings.0.clone()));
        Config::load(&sources).map_err(Failure::usage)
    }
}

/// What a node that cannot start says.
pub(super) fn cannot_start(error: ServerError) -> Failure {
    match error {
        ServerError::Node(error) => error.into(),
        ServerError::Listen { .. } => Failure::operation("cannot-listen", error)
            .hint("another process has the port, or the address is not this machine's"),
        ServerError::Store(_) => Failure::operation("data-dir-unusable", error),
        ServerError::Services(_) => Failure::operation("internal", error),
    }
}

/// Until SIGINT or SIGTERM.
pub(super) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM can be installed");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        server: Server,
    }

    #[test]
    fn flags_of_the_table_are_read_and_insecure_needs_no_value() {
        let line =
            Line::try_parse_from(["server", "--node-name", "a", "--insecure", "--print-config"]).unwrap();
        assert!(line.server.print_config);
        let given: Vec<_> =
            line.server.settings.0.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(given, [("listen.insecure", "true"), ("node.name", "a")]);
    }
}
