//! What a node's partitions hold, as gauges: looked up when somebody asks for the metrics, so that it costs
//! nothing otherwise. Each partition is reported by its leader alone.

use metrics::gauge;
use weir_queue::Queue;
use weir_stream::Stream;
use weir_types::outbox::Outbox;

use crate::broker::Broker;
use crate::hosted::Kind;
use crate::partition::Partition;

impl Broker {
    /// Brings the gauges of the partitions that this node leads up to date.
    pub fn update_gauges(&self) {
        let hosted: Vec<_> = self.inner().hosted.read().iter().map(|(g, h)| (*g, h.clone())).collect();
        let mut led = 0u32;
        let total = hosted.len() as u32;
        for (group, hosted) in hosted.into_iter().filter(|(_, hosted)| hosted.leads()) {
            led += 1;
            let name = self.registry(|registry| {
                let partition = registry.partition(group)?;
                let topic = registry.topic(partition.topic)?;
                Some((topic.name.clone(), partition.index.to_string()))
            });
            let Some((topic, partition)) = name else { continue };
            match &hosted.partition {
                Kind::Queue(queue) => queue_gauges(queue, &topic, &partition),
                Kind::Stream(stream) => self.stream_gauges(stream, &topic, &partition),
                Kind::Coordinator(_) => {}
            }
        }
        let registry_here = self.metadata().partition().leadership().borrow().here;
        let moves = self.registry(|registry| registry.moves().count()) as u64;
        gauge!("weir_replica_moves").set(if registry_here { float(moves) } else { 0.0 });
        gauge!("weir_partitions_led").set(led);
        gauge!("weir_replicas").set(total);
    }

    fn stream_gauges(&self, stream: &Partition<Stream>, topic: &str, partition: &str) {
        let now = self.wall();
        let labels = [("topic", topic.to_owned()), ("partition", partition.to_owned())];
        let (start, end, bytes, lags) = stream.read(|replica| {
            let stream = replica.state();
            outbox_gauges(&labels, stream.outbox());
            let lags: Vec<_> =
                stream.groups().map(|(group, ..)| (group.to_owned(), stream.lag(group))).collect();
            (stream.start_offset(), stream.end_offset(), stream.bytes(), lags)
        });
        gauge!("weir_stream_start_offset", &labels).set(float(start.0));
        gauge!("weir_stream_end_offset", &labels).set(float(end.0));
        gauge!("weir_stream_bytes", &labels).set(float(bytes));
        for (group, lag) in lags {
            let [topic, partition] = labels.clone();
            let labels = [topic, partition, ("group", group)];
            gauge!("weir_group_lag_records", &labels).set(float(lag.records));
            let age_ms = lag.oldest.map_or(0, |oldest| now - oldest);
            gauge!("weir_group_lag_seconds", &labels).set(float(age_ms) / 1000.0);
        }
    }
}

fn queue_gauges(queue: &Partition<Queue>, topic: &str, partition: &str) {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_owned())];
    let stats = queue.read(|replica| {
        outbox_gauges(&labels, replica.state().outbox());
        replica.state().stats()
    });
    gauge!("weir_queue_ready", &labels).set(float(stats.ready));
    gauge!("weir_queue_leased", &labels).set(float(stats.leased));
    gauge!("weir_queue_scheduled", &labels).set(float(stats.scheduled + stats.delayed));
    gauge!("weir_queue_parked", &labels).set(float(stats.parked));
    gauge!("weir_queue_bytes", &labels).set(float(stats.bytes));
    gauge!("weir_queue_kept", &labels).set(float(stats.kept));
    gauge!("weir_queue_kept_bytes", &labels).set(float(stats.kept_bytes));
}

fn outbox_gauges(labels: &[(&'static str, String); 2], outbox: &Outbox) {
    gauge!("weir_outbox_batches", labels).set(float(outbox.len() as u64));
    gauge!("weir_outbox_bytes", labels).set(float(outbox.bytes()));
}

/// Metrics are floating-point numbers; counts beyond 2^53 lose their last digits there.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn float(value: u64) -> f64 {
    value as f64
}
