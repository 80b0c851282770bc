//! A node whose disk recovered less than it had acknowledged: it must neither vote nor answer under its old
//! replica ids, since it has forgotten what they promised. It is let in again under fresh ids, as a learner, and
//! is made a voter by the ordinary moves of the reconciler.

use tracing::warn;
use weir_metadata::{Command, Reply};
use weir_types::{GroupId, Incarnation, RequestId, WeirError};

use crate::founding::{Place, ask_leader, storage};
use crate::node::Options;
use crate::remote::{self, Answer, Request};
use tokio::time::sleep;

/// Pause before the others are asked again.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Retires the old replica ids, deletes what they held, and gives the node its place under fresh ones.
pub(crate) async fn start_over(
    options: &Options,
    place: Place,
    incarnation: Incarnation,
) -> Result<Place, WeirError> {
    warn!(node = %place.node, "the disk lost acknowledged writes: this node starts over under fresh replica ids");
    let id = place.reissue.unwrap_or_else(|| RequestId(options.runtime.random_u64() | 1));
    let place = Place { reissue: Some(id), ..place };
    place.store(&options.store, incarnation).await?;
    let request = Request::Metadata(Command::ReissueReplicas { node: place.node, incarnation, request: id });
    let others: Vec<_> = place.members.iter().filter(|member| member.node != place.node).cloned().collect();
    let (replicas, kept) = loop {
        let Some(first) = others.first() else {
            // Nobody else knows anything: what the disk still has is all there is.
            let place = Place { reissue: None, ..place };
            place.store(&options.store, incarnation).await?;
            options.store.accept_loss().await.map_err(storage)?;
            return Ok(place);
        };
        match ask_leader(&*options.remote, &first.addresses.client, &others, &request).await {
            Ok(Answer::Metadata(Reply::Reissued { replicas, kept })) => break (replicas, kept),
            Ok(other) => return Err(remote::unexpected(&other)),
            // Removed, or replaced: to ask again changes nothing.
            Err(error) if error.kind.is_final() => return Err(error),
            Err(error) => warn!(%error, "waiting for the others to retire this node's replicas"),
        }
        sleep(options.runtime.jittered(PAUSE)).await;
    };
    for group in options.store.groups().await.map_err(storage)? {
        let Some(class) = options.store.class_of(group).filter(|_| !kept.contains(&group)) else { continue };
        options.store.group(group, class).destroy().await.map_err(storage)?;
    }
    let fresh = replicas.iter().find(|reissued| reissued.group == GroupId::METADATA);
    let replica = fresh.map_or(place.replica, |reissued| reissued.new);
    let replicas_from = replicas.iter().map(|reissued| reissued.new).min().unwrap_or(place.replicas_from);
    // The request is forgotten before the loss is accepted: the next loss must not get the answer of this one.
    let place = Place { replica, replicas_from, reissue: None, founding: None, ..place };
    place.store(&options.store, incarnation).await?;
    options.store.accept_loss().await.map_err(storage)?;
    Ok(place)
}
