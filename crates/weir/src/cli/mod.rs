//! The commands: what they take, and what they ask of the client library.

mod backup;
mod bench;
mod cluster;
mod completions;
mod confirm;
mod connection;
mod dev;
mod exec;
mod explain;
mod features;
mod group;
mod lines;
mod moving;
mod nodes;
mod partition;
mod publish;
mod queue;
mod server;
mod stream;
mod topic;
mod value;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
pub(crate) use connection::Connection;
pub(crate) use lines::standard_input;
pub(crate) use value::span;

use crate::failure::{EXIT_CODES_HELP, Failure, Outcome};
use crate::output::Screen;

const EXAMPLES: &str = "\
Examples:
  weir dev                                         a throw-away cluster to try things with
  weir topic create tasks --kind queue             a queue with three partitions
  echo hello | weir queue send tasks
  weir queue work tasks --exec 'wc -c'             a command per message

`weir --help` also lists the exit codes.";

/// A replicated broker cluster that is both a message queue and an event stream.
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES_HELP}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// Holds for every command.
#[derive(Debug, Args)]
struct Global {
    /// Print JSON, one document per line, errors too
    #[arg(long, global = true)]
    json: bool,
    /// Say on standard error what the client does: a level, or a filter as in `weir_client=debug`
    #[arg(long, global = true, env = "WEIR_TRACE", value_name = "FILTER", hide_env_values = true)]
    trace: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Server(server::Server),
    /// Run a throw-away cluster in this process
    Dev(dev::Dev),
    /// Create, show, alter and delete topics
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Split and merge partitions of a topic
    #[command(subcommand)]
    Partition(partition::Partition),
    /// Show the state of the cluster
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Send messages to a queue, and take them out again
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Append records to a stream, and read them
    #[command(subcommand)]
    Stream(stream::Stream),
    /// Show and reset consumer groups
    #[command(subcommand)]
    Group(group::Group),
    /// Say why a message is not being delivered
    #[command(subcommand)]
    Explain(explain::Explain),
    /// Measure how fast a cluster is
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// The main job with a node killed midway: see scripts/quickstart
    #[command(subcommand, hide = true)]
    Demo(crate::demo::Demo),
}

/// Runs one command line to its end.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let json = cli.global.json;
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

fn start(cli: Cli) -> Outcome {
    // A node sets up its own telemetry, from its own configuration.
    if !matches!(cli.command, Command::Server(_)) {
        trace(cli.global.trace.as_deref())?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::operation("runtime", error))?;
    let outcome = runtime.block_on(dispatch(cli.command, Screen::new(cli.global.json)));
    // A read of standard input that nobody waits for any more may block for ever.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(command: Command, screen: Screen) -> Outcome {
    match command {
        Command::Server(server) => server.run().await,
        Command::Dev(dev) => dev.run().await,
        Command::Topic(topic) => topic.run(screen).await,
        Command::Partition(partition) => partition.run(screen).await,
        Command::Cluster(cluster) => cluster.run(screen).await,
        Command::Queue(queue) => Box::pin(queue.run(screen)).await,
        Command::Stream(stream) => Box::pin(stream.run(screen)).await,
        Command::Group(group) => group.run(screen).await,
        Command::Explain(explain) => explain.run(screen).await,
        Command::Bench(bench) => Box::pin(bench.run(screen)).await,
        Command::Completions(completions) => completions.run(),
        Command::Demo(demo) => Box::pin(demo.run()).await,
    }
}

fn trace(filter: Option<&str>) -> Outcome {
    let Some(filter) = filter else { return Ok(()) };
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(format!("--trace `{filter}`: {error}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                command
                    .get_subcommands()
                    .filter(|sub| sub.get_name() != "help")
                    .for_each(|sub| visit(sub, &path));
            } else if !command.is_hide_set() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:") && help.contains("weir "), "{path} has no examples");
            }
        }
        Cli::command().get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(|sub| visit(sub, "weir"));
    }

    #[test]
    fn examples_in_the_help_are_accepted() {
        fn examples(command: &clap::Command, found: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            found.extend(help.lines().filter_map(|line| {
                // A pipe before or after the command, and a remark after two spaces, are not part of it.
                let line = line.trim().rsplit("| ").next().unwrap_or_default();
                line.starts_with("weir ").then(|| line.split("  ").next().unwrap_or_default().to_owned())
            }));
            command.get_subcommands().for_each(|sub| examples(sub, found));
        }
        let mut found = Vec::new();
        examples(&Cli::command(), &mut found);
        assert!(found.len() > 30, "only {} examples", found.len());
        for line in found {
            let words = line.split_whitespace().take_while(|word| !matches!(*word, ">" | "<" | ">>"));
            // A quoted command is one word.
            let line = words.collect::<Vec<_>>().join(" ");
            let words = line.split('\'').enumerate().flat_map(|(i, part)| {
                if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }
            });
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn json_is_accepted_before_and_after_the_command() {
        assert!(parse("weir --json topic list").unwrap().global.json);
        assert!(parse("weir topic list --json").unwrap().global.json);
    }

    #[test]
    fn an_unknown_command_is_wrong_usage() {
        assert_eq!(parse("weir topics").unwrap_err().exit_code(), 2);
    }
}
