//! Keeping the routing table fresh, from whichever node answers.

use std::sync::Arc;
use std::time::Duration;

use tonic::Streaming;
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;

use super::RoutingTable;
use crate::call::{Core, Failure, Pauses};

/// Holds a watch at one node; when it breaks, at the next. A pause is made only when all of them failed in a row.
pub(crate) async fn keep_watch(core: Arc<Core>) {
    let mut pauses = Pauses::default();
    let mut failures = 0;
    let mut turn = core.options.runtime.random_u64() as usize;
    loop {
        let entrances = core.router.entrances();
        let address = &entrances[turn % entrances.len()];
        turn = turn.wrapping_add(1);
        let (tables, failure) = watch_at(&core, address).await;
        if tables > 0 {
            failures = 0;
            pauses = Pauses::default();
        }
        tracing::debug!(address, error = %failure.error, "routing watch broke");
        core.note_unreachable(format!("{address}: {}", failure.error));
        failures += 1;
        if failures >= entrances.len() {
            failures = 0;
            core.sleep_jittered(pauses.next()).await;
        }
    }
}

/// Takes tables from one node until the watch breaks: how many came, and why it broke.
async fn watch_at(core: &Core, address: &str) -> (u64, Failure) {
    let mut stream = match open(core, address).await {
        Ok(stream) => stream,
        Err(failure) => return (0, failure),
    };
    let mut tables = 0;
    loop {
        match stream.message().await {
            Ok(Some(table)) => {
                core.router.update(RoutingTable::from_wire(table));
                tables += 1;
            }
            Ok(None) => return (tables, Failure::stream_ended()),
            Err(status) => return (tables, Failure::from_status(&status)),
        }
    }
}

async fn open(core: &Core, address: &str) -> Result<Streaming<v1::RoutingTable>, Failure> {
    let channel = core.pool.channel(address).map_err(Failure::answered)?;
    let mut client = AdminClient::new(channel).max_decoding_message_size(crate::call::ANSWER_BYTES_MAX);
    let wait: Duration = core.options.attempt_timeout;
    match tokio::time::timeout(wait, client.watch_routing(v1::WatchRoutingRequest {})).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Failure::from_status(&status)),
        Err(_) => Err(Failure::no_answer(address)),
    }
}
