//! Waiting until what an outbox holds has arrived.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weir_types::outbox::Outbox;
use weir_types::{ErrorKind, GroupId, WeirError};

use super::Sends;
use super::recut::is_sealed;
use crate::broker::Broker;
use crate::hosted::Kind;
use crate::partition::Partition;

/// Waits until everything that the outbox of a partition holds now has arrived, or only what goes to one destination, or until
/// the deadline has come. How many batches are left then.
pub(crate) async fn wait_for_arrivals<S: Sends>(
    partition: &Partition<S>,
    to: Option<GroupId>,
    deadline: Instant,
) -> Result<u64, WeirError> {
    let (mut applied, mut leadership) = (partition.applied(), partition.leadership());
    let wanted = |destination: &(GroupId, _)| to.is_none_or(|to| to == destination.0);
    let promised: Vec<_> = partition.read(|replica| replica.state().outbox().last().filter(wanted).collect());
    let left = |outbox: &Outbox| promised.iter().map(|(to, through)| outbox.left(*to, *through)).sum();
    loop {
        applied.borrow_and_update();
        leadership.borrow_and_update();
        partition.check_leads()?;
        let left = partition.read(|replica| left(replica.state().outbox()));
        if left == 0 {
            return Ok(0);
        }
        tokio::select! {
            changed = applied.changed() => changed.map_err(|_| stopping())?,
            changed = leadership.changed() => changed.map_err(|_| stopping())?,
            () = sleep_until(deadline) => return Ok(left),
        }
    }
}

/// Waits until everything that the outbox holds now is where it belongs, for a bounded time. What was to go to a partition
/// that is sealed is there only when those that have its keys now have taken it in.
///
/// A key goes on in a child only after this: what came of its messages or records in the parent would be overtaken by what
/// comes of those in the child (P15).
pub(crate) async fn all_arrived<S: Sends>(
    broker: &Broker,
    partition: &Partition<S>,
    patience: Duration,
) -> Result<(), WeirError> {
    // What a former leader took in is in the outbox only when this one has applied it.
    partition.barrier().await?;
    let deadline = Instant::now() + patience;
    loop {
        let promised: Vec<GroupId> =
            partition.read(|replica| replica.state().outbox().last().map(|(to, _)| to).collect());
        let left = wait_for_arrivals(partition, None, deadline).await?;
        if left > 0 {
            return Err(under_way(format!(
                "{left} batches of outputs have not arrived where they belong yet"
            )));
        }
        if !promised.into_iter().any(|destination| is_sealed(broker, destination)) {
            return Ok(());
        }
    }
}

/// Fails while the outbox of a partition holds something for another one.
pub(crate) async fn check_nothing_waits(
    broker: &Broker,
    group: GroupId,
    destination: GroupId,
) -> Result<(), WeirError> {
    match broker.hosted(group)?.partition {
        Kind::Queue(queue) => check_free(&queue, destination).await,
        Kind::Stream(stream) => check_free(&stream, destination).await,
        Kind::Coordinator(_) => Ok(()),
    }
}

async fn check_free<S: Sends>(partition: &Partition<S>, destination: GroupId) -> Result<(), WeirError> {
    partition.barrier().await?;
    let waits = partition.read(|replica| {
        let outbox = replica.state().outbox();
        outbox.waiting().any(|(waiting, _)| waiting == destination)
    });
    if waits {
        Err(under_way(format!("outputs for partition {destination} have not arrived yet")))
    } else {
        Ok(())
    }
}

fn under_way(message: String) -> WeirError {
    WeirError::new(ErrorKind::Retry, "outputs-under-way", message).after_ms(100)
}

fn stopping() -> WeirError {
    WeirError::new(ErrorKind::Retry, "replica-stopped", "the replica is stopping").after_ms(100)
}
