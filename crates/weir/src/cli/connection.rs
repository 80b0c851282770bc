//! How a command reaches the cluster.

use std::time::Duration;

use clap::Args;
use weir_client::{Admin, Client, ClientOptions};

use super::value;
use crate::failure::Failure;

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Client addresses of one or more nodes, separated by commas
    #[arg(
        long,
        env = "WEIR_SEEDS",
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    seeds: Vec<String>,
    /// How long a call is tried, over all its attempts
    #[arg(long, env = "WEIR_TIMEOUT", value_name = "SPAN", value_parser = value::span, default_value = "30s")]
    timeout: Duration,
}

impl Connection {
    /// Finds the cluster.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(self.options()).await?)
    }

    /// How the cluster is reached.
    pub(crate) fn options(&self) -> ClientOptions {
        ClientOptions { request_timeout: self.timeout, ..ClientOptions::new(&self.seeds) }
    }

    /// How long a call, or a record, is tried.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Finds the cluster, for the operator's calls.
    pub(crate) async fn admin(&self) -> Result<Admin, Failure> {
        Ok(self.client().await?.admin())
    }
}
