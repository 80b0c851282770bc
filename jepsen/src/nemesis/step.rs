//! One fault of a schedule: what is to happen, to whom, when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Kind;

/// A fault to come. The seed decides everything that the other fields leave open, so that a step means the same
/// whenever it is performed on a cluster in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, from the beginning of the run.
    #[serde(with = "microseconds")]
    pub at: Duration,
    /// For how long.
    #[serde(with = "microseconds")]
    pub lasts: Duration,
    /// What.
    pub kind: Kind,
    /// To whom.
    pub target: Target,
    /// Of what is left open.
    pub seed: u64,
}

/// Who suffers. Relative targets are resolved when the step is performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The leader of a partition: its place among all partitions, counted round.
    Leader(u32),
    /// A follower of that partition.
    Follower(u32),
    /// Fewer than half of the nodes.
    Minority,
    /// More than half of the nodes.
    Majority,
    /// Every node.
    All,
    /// Any one node.
    Random,
    /// These.
    Nodes(Vec<String>),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader(partition) => write!(f, "leader({partition})"),
            Self::Follower(partition) => write!(f, "follower({partition})"),
            Self::Minority => f.write_str("minority"),
            Self::Majority => f.write_str("majority"),
            Self::All => f.write_str("all"),
            Self::Random => f.write_str("random"),
            Self::Nodes(nodes) => write!(f, "nodes({})", nodes.join(",")),
        }
    }
}

/// A text that is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no target: leader(P), follower(P), minority, majority, all, random or nodes(NAME,…) are")]
pub struct NoTarget(String);

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let wrong = || NoTarget(text.to_owned());
        let Some((word, rest)) = text.split_once('(') else {
            return match text {
                "minority" => Ok(Self::Minority),
                "majority" => Ok(Self::Majority),
                "all" => Ok(Self::All),
                "random" => Ok(Self::Random),
                _ => Err(wrong()),
            };
        };
        let inside = rest.strip_suffix(')').ok_or_else(wrong)?;
        let partition = || inside.parse().map_err(|_| wrong());
        match word {
            "leader" => Ok(Self::Leader(partition()?)),
            "follower" => Ok(Self::Follower(partition()?)),
            "nodes" if !inside.is_empty() => Ok(Self::Nodes(inside.split(',').map(str::to_owned).collect())),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Durations as whole microseconds, as in histories.
mod microseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_micros() as u64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_step_is_the_same_after_a_trip_through_json() {
        let targets = [
            Target::Leader(3),
            Target::Follower(0),
            Target::Minority,
            Target::Majority,
            Target::All,
            Target::Random,
            Target::Nodes(vec!["n1".to_owned(), "n3".to_owned()]),
        ];
        for (kind, target) in Kind::ALL.iter().zip(targets.iter().cycle()) {
            let at = Duration::from_micros(1_234_567);
            let step =
                Step { at, lasts: Duration::from_secs(5), kind: *kind, target: target.clone(), seed: 7 };
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step, "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in ["", "leader", "leader(", "leader(x)", "nodes()", "some", "leader(1"] {
            assert_eq!(text.parse::<Target>(), Err(NoTarget(text.to_owned())));
        }
    }
}
