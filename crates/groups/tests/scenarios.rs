//! Transcripts: each block of a scenario is a command or a question, `----`, and what the coordinator answers.
//! After every command the invariants must hold and the rows written so far must restore to the same state.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod expected;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use stored::Stored;
use weir_groups::{Assignment, Command, Coordinator, Epoch, MemberId, Reply};
use weir_types::{At, GroupId, LeaseClock, LogIndex, Output, RequestId, RowChange, Term, TopicId, WallClock};

#[test]
fn scenarios_answer_as_written() {
    let mut files: Vec<_> = std::fs::read_dir(expected::path("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        expected::compare(&file, &replay(&text));
    }
}

/// The text with every answer replaced by the present one.
fn replay(text: &str) -> String {
    let mut scenario = Scenario::default();
    let mut replayed = Vec::new();
    for block in text.trim_end().split("\n\n") {
        let asked = block.split("\n----").next().unwrap();
        let Some(line) = asked.lines().find(|line| !line.starts_with('#')) else {
            replayed.push(asked.to_owned());
            continue;
        };
        replayed.push(format!("{asked}\n----\n{}", scenario.run(line).trim_end()));
    }
    replayed.join("\n\n") + "\n"
}

#[derive(Default)]
struct Scenario {
    coordinator: Coordinator,
    stored: Stored,
    index: u64,
    now: u64,
}

impl Scenario {
    fn run(&mut self, line: &str) -> String {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words(rest.split_whitespace().map(|word| word.split_once('=').unwrap()).collect());
        if words.0.contains_key("now") {
            self.now = words.number("now");
        }
        match question(&self.coordinator, verb, &words) {
            Some(answer) => answer,
            None => self.apply(command(verb, &words)),
        }
    }

    fn apply(&mut self, command: Command) -> String {
        self.index += 1;
        let at = At {
            term: Term(1),
            index: LogIndex(self.index),
            lease_clock: LeaseClock(self.now),
            wall_clock: WallClock(1_000_000 + self.now),
        };
        assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        let mut out = Output::default();
        let answer = self.coordinator.apply(at, command, &mut out).unwrap();
        self.stored.write(&out.changes);
        self.check();
        let mut text = match answer {
            Ok(Reply::Joined { epoch, assignment }) => {
                format!("joined, epoch {epoch}: {}\n", shown(&assignment))
            }
            Ok(Reply::Alive { assignment }) => format!("alive: {}\n", shown(&assignment)),
            Ok(reply) => format!("{reply:?}\n"),
            Err(rejection) => format!("{}: {rejection} [{}]\n", rejection.kind(), rejection.code()),
        };
        for change in &out.changes {
            writeln!(text, "  {}", row(change)).unwrap();
        }
        for effect in &out.effects {
            writeln!(text, "  {effect:?}").unwrap();
        }
        text
    }

    fn check(&self) {
        self.coordinator.check_invariants();
        assert_eq!(Coordinator::restore(self.stored.rows()).unwrap(), self.coordinator);
    }
}

struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl Words<'_> {
    fn text(&self, name: &str) -> String {
        self.0.get(name).map(|value| (*value).to_owned()).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).unwrap_or_else(|| panic!("{name}=… is missing")).parse().unwrap()
    }

    fn ids<T: Ord + From<u32>>(&self, name: &str) -> BTreeSet<T> {
        let items = self.0.get(name).into_iter().flat_map(|list| list.split(','));
        items.filter(|item| !item.is_empty()).map(|item| T::from(item.parse::<u32>().unwrap())).collect()
    }

    /// `child:parent+parent`, separated by commas.
    fn parents(&self) -> BTreeMap<GroupId, BTreeSet<GroupId>> {
        let id = |text: &str| GroupId(text.parse().unwrap());
        let text = self.text("parents");
        let children = text.split(',').filter(|item| !item.is_empty());
        children
            .map(|item| item.split_once(':').unwrap())
            .map(|(child, parents)| (id(child), parents.split('+').map(id).collect()))
            .collect()
    }

    fn member(&self) -> MemberId {
        MemberId(self.text("member"))
    }
}

fn command(verb: &str, words: &Words<'_>) -> Command {
    let group = words.text("group");
    match verb {
        "join" => Command::Join {
            group,
            member: words.member(),
            topics: words.ids("topics"),
            session_timeout_ms: words.number("timeout"),
            request: RequestId(words.number("request")),
        },
        "beat" => Command::Heartbeat {
            group,
            member: words.member(),
            epoch: Epoch(words.number("epoch")),
            owned: words.ids("owned"),
        },
        "leave" => Command::Leave { group, member: words.member(), epoch: Epoch(words.number("epoch")) },
        "tick" => Command::Tick,
        "partitions" => Command::SetPartitions {
            topic: TopicId(words.number("topic") as u32),
            partitions: words.ids("list"),
            version: words.number("version"),
        },
        "lineage" => Command::SetLineage {
            topic: TopicId(words.number("topic") as u32),
            partitions: words.ids("list"),
            parents: words.parents(),
            version: words.number("version"),
        },
        "finish" => Command::Finish {
            group,
            member: words.member(),
            partition: GroupId(words.number("partition") as u32),
            epoch: Epoch(words.number("epoch")),
        },
        "delete" => Command::DeleteGroup { group },
        "raise" => Command::RaiseEpochs { above: Epoch(words.number("above")) },
        other => panic!("unknown verb {other}"),
    }
}

fn question(coordinator: &Coordinator, verb: &str, words: &Words<'_>) -> Option<String> {
    Some(match verb {
        "groups" => lines(coordinator.groups().map(|(name, state)| format!("{name}: {state:?}"))),
        "deadline" => format!("{:?}", coordinator.next_deadlines().lease),
        "wanted" => {
            lines(coordinator.topics_wanted().map(|(topic, known)| format!("topic {topic}: {known:?}")))
        }
        "parents" => format!("{:?}", coordinator.parents(TopicId(words.number("topic") as u32))),
        "finished" => format!("{:?}", coordinator.group(&words.text("group")).map(|group| &group.finished)),
        "describe" => match coordinator.describe(&words.text("group")) {
            None => "none".to_owned(),
            Some(group) => {
                let members = group.members.iter().map(|member| {
                    let (id, epoch, deadline) = (&member.id, member.epoch, member.deadline);
                    format!("  {id} (epoch {epoch}, until {deadline}): {}", shown(&member.assignment))
                });
                format!("{} since {}: {:?}\n{}", group.name, group.created, group.state, lines(members))
            }
        },
        _ => return None,
    })
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = lines.collect();
    if all.is_empty() { "none".to_owned() } else { all.join("\n") }
}

/// `partition@epoch`.
fn shown(assignment: &Assignment) -> String {
    let all = assignment.partitions.iter().map(|a| format!("{}@{}", a.partition, a.epoch));
    let revoked = assignment.revoked.iter().map(|partition| format!("give up {partition}"));
    let all: Vec<String> = all.chain(revoked).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn row(change: &RowChange) -> String {
    let (tag, id) = change.key.split_first().unwrap();
    let number = |id: &[u8]| GroupId(u32::from_be_bytes(id.try_into().unwrap()));
    let in_group = || {
        let end = id.iter().position(|byte| *byte == 0).unwrap();
        (String::from_utf8_lossy(&id[..end]).into_owned(), &id[end + 1..])
    };
    let name = match tag {
        1 => "epoch".to_owned(),
        2 => format!("topic {}", number(id)),
        3 => format!("group {}", String::from_utf8_lossy(id)),
        4 => format!("member {} {}", in_group().0, String::from_utf8_lossy(in_group().1)),
        5 => format!("slot {} {}", in_group().0, number(in_group().1)),
        6 => format!("parents of topic {}", number(id)),
        7 => format!("finished {} {}", in_group().0, number(in_group().1)),
        other => panic!("unknown row {other}"),
    };
    match change.value {
        Some(_) => format!("put {name}"),
        None => format!("delete {name}"),
    }
}
