//! The way from broker to broker in the simulation, in place of gRPC.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use weir_broker::Remote;
use weir_types::WeirError;

use super::network::SimulatedNetwork;
use super::wire::{self, Asked};

/// How long another node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Calls other nodes on their simulated client ports.
#[derive(Clone)]
pub(super) struct SimulatedRemote(pub(super) SimulatedNetwork);

impl Remote for SimulatedRemote {
    fn call(
        &self,
        address: &str,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, WeirError>> + Send + '_>> {
        let address = address.to_owned();
        Box::pin(async move {
            let asked = Asked::Peer(request.to_vec());
            wire::call::<Vec<u8>>(&self.0, &address, &asked, PATIENCE).await.map(Bytes::from)
        })
    }
}
