//! A producer's ids: under which stamp the next batch of a partition goes.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_types::{ProducerEpoch, ProducerId, ProducerSequence};

use super::actor::Actor;

/// The stamps of one producer, by partition.
#[derive(Default)]
pub(super) struct Stamps(BTreeMap<u32, ProducerSequence>);

impl Stamps {
    /// The stamp of the next batch; asks for a new producer id until there is one. None when the run ends before.
    pub(super) async fn next(&mut self, actor: &mut Actor, group: u32) -> Option<ProducerSequence> {
        loop {
            if let Some(stamp) = self.0.get(&group) {
                return Some(*stamp);
            }
            // A retry draws another request: an id that nobody uses harms nobody.
            let request =
                v1::InitProducerRequest { name: String::new(), request_id: actor.dice.number() | 1 };
            let asked = actor
                .ask_any(Duration::ZERO, |channel| async move {
                    AdminClient::new(channel).init_producer(request).await
                })
                .await;
            match asked.answer {
                Ok(given) => {
                    let (id, epoch) = (ProducerId(given.producer_id), ProducerEpoch(given.epoch));
                    self.0.insert(group, ProducerSequence { id, epoch, base_sequence: 0 });
                }
                Err(trouble) => {
                    actor.rest(&trouble).await;
                    if actor.stage.stop.is_cancelled() {
                        return None;
                    }
                }
            }
        }
    }

    /// So many records of a partition are appended.
    pub(super) fn advance(&mut self, group: u32, records: u32) {
        if let Some(stamp) = self.0.get_mut(&group) {
            stamp.base_sequence = ProducerSequence::advance(stamp.base_sequence, records);
        }
    }

    /// Nobody knows whether the last batch was appended, and nobody will: the next one goes under another id.
    pub(super) fn give_up(&mut self, group: u32) {
        self.0.remove(&group);
    }
}
