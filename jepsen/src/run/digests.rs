//! What every replica holds when all is over, as the nodes tell it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use weir_checker::{Digested, Lost, MessageState, Op};
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;

use crate::history::History;
use crate::nemesis::Nemesis;
use crate::wire::{Link, Trouble};

/// How long replicas are given to apply the same entries.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a node may take to read all its rows.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Writes down what every replica on these nodes (name and client address) holds, again and again until all replicas of a
/// partition are there and have applied the same entries, or for so long. One that is missing then proves nothing good. A
/// node that does not answer may have found damage just now: then it is replaced, and given time to catch up.
pub(super) async fn note(
    nodes: &[(String, String)],
    replicas: u32,
    history: &History,
    nemesis: &Arc<Nemesis>,
) {
    let mut link = Link::default();
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let mut applied: BTreeMap<(String, u32), Vec<u64>> = BTreeMap::new();
        for (node, address) in nodes {
            let from = history.now();
            match ask(&mut link, address).await {
                Ok(answer) => {
                    for replica in answer.replicas {
                        let digested = digested(node, &replica);
                        let place = (digested.topic.clone(), digested.partition);
                        applied.entry(place).or_default().push(digested.applied);
                        history.saw(from, node, Op::Digest(digested));
                    }
                }
                Err(_) if replace_late(nemesis, history).await => deadline = Instant::now() + PATIENCE,
                Err(trouble) => {
                    let text = format!("digest of {node}: {}: {}", trouble.code, trouble.text);
                    history.lost(Lost::Task(text));
                }
            }
        }
        let equal = applied.values().all(|indices| indices.iter().all(|index| *index == indices[0]));
        let short = applied.iter().find(|(_, indices)| indices.len() < replicas as usize);
        let over = Instant::now() >= deadline;
        if let Some(((topic, partition), indices)) = short.filter(|_| over) {
            let text = format!("{topic}/{partition} has {} of {replicas} replicas", indices.len());
            history.lost(Lost::Task(text));
        }
        if equal && short.is_none() || over {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Starts nodes again that ended for damage of before the heal; whether there were any.
async fn replace_late(nemesis: &Arc<Nemesis>, history: &History) -> bool {
    let nemesis = Arc::clone(nemesis);
    match spawn_blocking(move || nemesis.replace_late()).await {
        Ok(Ok(any)) => any,
        Ok(Err(error)) => {
            history.lost(Lost::Task(format!("replacing a damaged node: {error}")));
            false
        }
        Err(error) => {
            history.lost(Lost::Task(error.to_string()));
            false
        }
    }
}

async fn ask(link: &mut Link, address: &str) -> Result<v1::DigestResponse, Trouble> {
    let request = v1::DigestRequest { topic: String::new(), messages: true };
    link.call(address, DEADLINE, |channel| async move {
        AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX).digest(request).await
    })
    .await
}

fn digested(node: &str, replica: &v1::ReplicaDigest) -> Digested {
    // The cluster's own groups have no topic: their number tells them apart.
    let topic =
        if replica.topic.is_empty() { format!("group-{}", replica.group_id) } else { replica.topic.clone() };
    let states = replica.message_states().map(|state| match state {
        v1::DigestedState::Leased => MessageState::Leased,
        v1::DigestedState::Parked => MessageState::Parked,
        v1::DigestedState::Ready | v1::DigestedState::Unspecified => MessageState::Ready,
    });
    // A cut list would read as if the rest were gone.
    let messages = if replica.messages_cut {
        Vec::new()
    } else {
        replica.message_ids.iter().copied().zip(states).collect()
    };
    Digested {
        node: node.to_owned(),
        topic,
        partition: replica.partition,
        applied: replica.applied,
        hash: replica.hash.clone(),
        messages,
        bounds: replica.stream.map(|stream| (stream.start_offset, stream.end_offset)),
    }
}
