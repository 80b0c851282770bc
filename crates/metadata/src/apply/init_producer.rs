//! `InitProducer`: ids for idempotent producers.

use weir_types::{Output, ProducerEpoch, RequestId};

use super::create_topic::check_name;
use crate::limits::PRODUCERS_NAMED_MAX;
use crate::output::{Effect, Rejection, Reply};
use crate::producer::NamedProducer;
use crate::registry::Registry;

impl Registry {
    pub(crate) fn init_producer(
        &mut self,
        name: Option<String>,
        request: RequestId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let Some(name) = name else {
            // Nothing is remembered of it: a retry that gets a second id harms nobody.
            let producer = self.formed().take_producer();
            self.put_cluster(out);
            return Ok(Reply::ProducerReady { producer, epoch: ProducerEpoch(0) });
        };
        let next = match self.producers.get(&name) {
            Some(known) if known.request == request => *known,
            Some(known) => NamedProducer { id: known.id, epoch: ProducerEpoch(known.epoch.0 + 1), request },
            None => {
                check_name(&name)?;
                if self.producers.len() >= PRODUCERS_NAMED_MAX {
                    return Err(Rejection::TooManyProducers { limit: PRODUCERS_NAMED_MAX });
                }
                let id = self.formed().take_producer();
                self.put_cluster(out);
                NamedProducer { id, epoch: ProducerEpoch(0), request }
            }
        };
        if self.producers.get(&name) != Some(&next) {
            self.put_producer(name, next, out);
        }
        Ok(Reply::ProducerReady { producer: next.id, epoch: next.epoch })
    }
}
