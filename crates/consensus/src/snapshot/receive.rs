//! The receiving side.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use weir_storage::ImportReady;

use super::{
    INSTALLING_SIGN, MESSAGE_BYTES_MAX, Offer, Received, Reply, SnapshotHandle, SnapshotSlots, decode, encode,
};
use crate::raft::{Core, LogId, TypeConfig, Vote};
use crate::replica::Replica;
use crate::transport::{Connected, FRAME_BYTES_MAX, Refusal, Target};

/// Longest wait for one chunk, and for the sender to take a reply.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotHandle>;

/// Takes a snapshot in. `find` names the replica that a target means; `silence` resolves when the sender's node
/// is not heard any more.
///
/// A place among those that receive is never waited for and every wait while holding one is bounded, so places
/// always come back: at once when the sender's process dies or its node falls silent, within [`CHUNK_TIMEOUT`]
/// when it hangs.
pub(crate) async fn receive(
    find: impl FnOnce(Target) -> Result<Arc<Replica>, Refusal>,
    slots: &SnapshotSlots,
    silence: impl Future<Output = ()>,
    mut connected: Connected,
) -> io::Result<()> {
    let offer: Offer = decode(&read(&mut connected, MESSAGE_BYTES_MAX).await?)?;
    let group = offer.target.group;
    let accepted = find(offer.target).and_then(|replica| {
        let slot = slots.receiving.try_acquire().map_err(|_| Refusal::Busy)?;
        let core = replica.core().ok_or(Refusal::Stopped)?;
        let last = offer.meta.last_log_id.ok_or(Refusal::Malformed)?;
        // openraft takes a snapshot from beyond its leader's term for corruption and stops.
        let plausible = **last.committed_leader_id() <= offer.vote.term.0;
        plausible.then_some((slot, core, last)).ok_or(Refusal::Malformed)
    });
    let (_slot, core, last) = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => return reply(&mut connected, &Reply::Refused(refusal)).await,
    };
    if log_holds(&core, last).await? {
        let vote = core.shared.vote().unwrap_or_else(|| offer.vote.into());
        return reply(&mut connected, &Reply::HaveIt { vote: (&vote).into() }).await;
    }
    reply(&mut connected, &Reply::Send).await?;
    // Once everything is here the sender does not matter, and an installation must not be broken off.
    let import = tokio::select! {
        staged = stage(&core, &mut connected) => staged?,
        () = silence => return Err(io::Error::other("the sender's node is silent")),
    };
    tracing::info!(%group, from = %connected.peer.node, position = %last, "snapshot received");
    let received = Received { import, retained_from: offer.retained_from };
    let snapshot = Snapshot { meta: offer.meta, snapshot: SnapshotHandle::Received(Box::new(received)) };
    let installing = core.shared.begin_install();
    let install = core.raft.install_full_snapshot(Vote::from(offer.vote), snapshot);
    let response = with_signs(&mut connected, install).await.map_err(io::Error::other)?;
    drop(installing);
    metrics::counter!("weir_snapshots_received_total").increment(1);
    reply(&mut connected, &Reply::Installed { vote: (&response.vote).into() }).await
}

/// Waits for the installation, and tells the sender every second that it goes on. A sender that is gone does not end it.
async fn with_signs<T>(connected: &mut Connected, install: impl Future<Output = T>) -> T {
    tokio::pin!(install);
    let mut sender_listens = true;
    loop {
        match timeout(INSTALLING_SIGN, &mut install).await {
            Ok(installed) => return installed,
            Err(_) if sender_listens => sender_listens = reply(connected, &Reply::Installing).await.is_ok(),
            Err(_) => return install.await,
        }
    }
}

/// Whether the log holds exactly the entry that the snapshot ends with. Then it holds everything before it too
/// (log matching), and the snapshot would only replace what is there; openraft would even lose entries that
/// follow it.
async fn log_holds(core: &Core, last: LogId) -> io::Result<bool> {
    let index = last.index();
    if core.shared.next_index() <= index {
        return Ok(false);
    }
    if core.shared.applied().last >= Some(last) {
        return Ok(true);
    }
    let records = core.shared.store.read(index..index + 1, 1).await.map_err(io::Error::other)?;
    Ok(records.first().is_some_and(|record| record.term.0 == **last.committed_leader_id()))
}

/// Stages the chunks as they come. Dropping the import drops what was staged.
async fn stage(core: &Core, connected: &mut Connected) -> io::Result<ImportReady> {
    let mut import = core.shared.store.begin_import().await.map_err(io::Error::other)?;
    loop {
        let chunk = read(connected, FRAME_BYTES_MAX).await?;
        if chunk.is_empty() {
            return import.finish().map_err(io::Error::other);
        }
        metrics::counter!("weir_snapshot_bytes_received_total").increment(chunk.len() as u64);
        import.chunk(chunk).await.map_err(io::Error::other)?;
    }
}

async fn read(connected: &mut Connected, bytes_max: usize) -> io::Result<bytes::Bytes> {
    let read = connected.reader.read(bytes_max);
    timeout(CHUNK_TIMEOUT, read).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn reply(connected: &mut Connected, reply: &Reply) -> io::Result<()> {
    let write = connected.writer.write(vec![encode(reply)]);
    timeout(CHUNK_TIMEOUT, write).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
