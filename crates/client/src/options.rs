//! How to reach a cluster.

use std::time::Duration;

use weir_runtime::Runtime;

use crate::{Error, Result};

/// Where a cluster is and how long to wait for it. Any of its nodes will do as a seed: the others are learned.
///
/// ```
/// use std::time::Duration;
/// use weir_client::ClientOptions;
///
/// let options = ClientOptions::new(["10.0.0.11:7400", "10.0.0.12:7400"]);
/// let patient = ClientOptions { request_timeout: Duration::from_secs(60), ..options };
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Client addresses (`host:port`) of some nodes. They are tried in turn.
    pub seeds: Vec<String>,
    /// How long one connection may take to open. Default 3 s.
    pub connect_timeout: Duration,
    /// How long a call is tried, over all its attempts. Default 30 s.
    pub request_timeout: Duration,
    /// How long one attempt waits for its answer before another node is asked. Default 10 s.
    pub attempt_timeout: Duration,
    /// Clocks, randomness and sockets. Default: those of this machine.
    pub runtime: Runtime,
}

impl ClientOptions {
    /// The defaults with these seeds.
    pub fn new(seeds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            seeds: seeds.into_iter().map(Into::into).collect(),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            runtime: Runtime::real(),
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.seeds.is_empty() {
            return Err(Error::Option { option: "seeds", problem: "is empty: name one node".to_owned() });
        }
        if let Some(seed) = self.seeds.iter().find(|seed| !is_address(seed)) {
            return Err(Error::Option {
                option: "seeds",
                problem: format!("holds `{seed}`, which is not `host:port`"),
            });
        }
        Ok(())
    }
}

impl From<&str> for ClientOptions {
    /// One seed, or several with commas between them.
    fn from(seeds: &str) -> Self {
        Self::new(seeds.split(',').map(str::trim).filter(|seed| !seed.is_empty()))
    }
}

impl From<String> for ClientOptions {
    fn from(seeds: String) -> Self {
        Self::from(seeds.as_str())
    }
}

impl From<Vec<String>> for ClientOptions {
    fn from(seeds: Vec<String>) -> Self {
        Self::new(seeds)
    }
}

/// Whether `address` is `host:port`, which every address of a node is, too.
pub(crate) fn is_address(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        && format!("http://{address}").parse::<http::Uri>().is_ok_and(|uri| uri.path() == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_are_no_addresses_are_refused_before_anything_is_dialled() {
        for (seeds, valid) in [
            ("127.0.0.1:7400", true),
            ("a.example:1, [::1]:2", true),
            ("", false),
            ("localhost", false),
            ("localhost:", false),
            ("localhost:0", false),
            ("localhost:70000", false),
            ("a b:1", false),
            ("a/b:1", false),
        ] {
            assert_eq!(ClientOptions::from(seeds).validate().is_ok(), valid, "{seeds}");
        }
    }
}
