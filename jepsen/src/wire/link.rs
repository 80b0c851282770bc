//! One client's connections.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::Trouble;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection without traffic is asked for a sign of life this often, and given up after as long.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// The connections of one client, by address; no two clients share one.
#[derive(Default)]
pub struct Link {
    channels: BTreeMap<String, Channel>,
}

impl Link {
    /// Asks one node once. A call that is cut off by its deadline may have happened.
    pub async fn call<T, F>(
        &mut self,
        address: &str,
        deadline: Duration,
        ask: impl FnOnce(Channel) -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let channel = self.channel(address)?;
        let answer = match timeout(deadline, ask(channel)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => Trouble::from_status(&status),
            Err(_) => Trouble::silence(deadline),
        };
        if answer.unknown {
            // What is left of a broken connection must not hold up the next call.
            self.channels.remove(address);
        }
        Err(answer)
    }

    fn channel(&mut self, address: &str) -> Result<Channel, Trouble> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| Trouble::nobody())?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .connect_lazy();
        self.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}
