//! The sending side.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use weir_storage::Export;
use weir_types::NodeId;

use super::view::{CHUNK_BYTES_MAX, View};
use super::{MESSAGE_BYTES_MAX, Offer, Reply, SILENCE_MAX, decode, encode};
use crate::raft::{Shared, Vote};
use crate::transport::{Connected, Peers, Target, WireVote};

/// Longest wait for the peer to take one chunk.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the peer to verify and install what it got.
const INSTALL_TIMEOUT: Duration = Duration::from_mins(10);

/// Streams this replica's state to `target`. Gives back the receiver's vote.
pub(crate) async fn send(
    shared: &Shared,
    peers: &Peers,
    node: NodeId,
    target: Target,
    vote: &Vote,
) -> io::Result<WireVote> {
    let mut connected = peers.dial_snapshot(node).await?;
    let view = View::take(shared).await?;
    // A view of a newer term than the vote would be an old leader's replication still running; openraft
    // treats it as corruption.
    let newest = view.meta.last_log_id.map_or(0, |last| **last.committed_leader_id());
    if newest > vote.leader_id.term {
        return Err(io::Error::other("leadership has moved on"));
    }
    let offer = Offer { target, vote: vote.into(), meta: view.meta, retained_from: view.retained_from };
    write(&mut connected, encode(&offer)).await?;
    match reply(&mut connected).await? {
        Reply::Send => {}
        Reply::HaveIt { vote } => return Ok(vote),
        other => return Err(io::Error::other(format!("peer answered {other:?}"))),
    }
    stream(&mut connected, view.export).await?;
    let installed = timeout(INSTALL_TIMEOUT, installed(&mut connected)).await;
    let vote = installed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    metrics::counter!("weir_snapshots_sent_total").increment(1);
    Ok(vote)
}

/// Until the peer has installed what it got, as long as it says that it is at it.
async fn installed(connected: &mut Connected) -> io::Result<WireVote> {
    loop {
        match reply(connected).await? {
            Reply::Installing => {}
            Reply::Installed { vote } => return Ok(vote),
            other => return Err(io::Error::other(format!("peer answered {other:?}"))),
        }
    }
}

async fn stream(connected: &mut Connected, mut export: Export) -> io::Result<()> {
    while let Some(chunk) = export.next_chunk(CHUNK_BYTES_MAX).await.map_err(io::Error::other)? {
        metrics::counter!("weir_snapshot_bytes_sent_total").increment(chunk.len() as u64);
        write(connected, chunk).await?;
    }
    write(connected, Bytes::new()).await
}

async fn write(connected: &mut Connected, frame: Bytes) -> io::Result<()> {
    let write = connected.writer.write(vec![frame]);
    timeout(CHUNK_TIMEOUT, write).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn reply(connected: &mut Connected) -> io::Result<Reply> {
    let read = connected.reader.read(MESSAGE_BYTES_MAX);
    let frame = timeout(SILENCE_MAX, read).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    decode(&frame)
}
