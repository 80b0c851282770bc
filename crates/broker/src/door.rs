//! The door: a record batch is checked here once (length, magic, CRC, count, decompression bound, every record),
//! and is opaque bytes from then on. What a queue needs to know of each record is read here, into the command.

use std::borrow::Cow;

use bytes::Bytes;
use weir_compression::decompress;
use weir_queue::{Attributes, DedupId, DedupRecord, Enqueue, ProducerBatch, Run, TenantRun};
use weir_stream::Append;
use weir_types::batch::{BatchError, BatchView, Codec, HeadersView, RecordView, reserved_headers};
use weir_types::limits::{BATCH_UNCOMPRESSED_BYTES_MAX, DELAY_MS_MAX};
use weir_types::{ErrorKind, KeyHash, TenantHash, WallClock, WeirError};

/// Checks a batch for a stream. One that is compacted takes no record without a key.
pub(crate) fn append(batch: &Bytes, is_compacted: bool) -> Result<Append, WeirError> {
    let view = BatchView::verify(batch).map_err(bad_batch)?;
    let section = open(&view)?;
    for (number, record) in view.records(&section).enumerate() {
        let record = record.map_err(bad_batch)?;
        if is_compacted && record.key.is_none() {
            let message = format!("record {number} has no key, and the stream is compacted by key");
            return Err(invalid("key-missing", message));
        }
    }
    let header = view.header();
    Ok(Append {
        position: 0,
        length: batch.len() as u32,
        count: header.count,
        producer: header.producer,
        max_timestamp_ms: header.max_timestamp_ms,
    })
}

/// Checks a batch for a queue, and reads what the queue decides by. `now` turns a record's time to live into the
/// time when it is gone. Whose the records are is read too when the queue says which header names it; nothing when none
/// of them has it.
pub(crate) fn enqueue(
    batch: &Bytes,
    now: WallClock,
    fair_by: Option<&str>,
) -> Result<(Enqueue, Vec<TenantRun>), WeirError> {
    let view = BatchView::verify(batch).map_err(bad_batch)?;
    let section = open(&view)?;
    let mut runs: Vec<Run> = Vec::new();
    let (mut dedup, mut tenants) = (Vec::new(), Vec::new());
    for (number, record) in view.records(&section).enumerate() {
        let record = record.map_err(bad_batch)?;
        let attributes = attributes(&record, now)?;
        match runs.last_mut() {
            Some(run) if run.attributes == attributes => run.count += 1,
            _ => runs.push(Run { count: 1, attributes }),
        }
        if let Some(header) = fair_by {
            add_tenant(&mut tenants, record.headers.get(header).map(TenantHash::of));
        }
        if let Some(id) = record.headers.get(reserved_headers::MESSAGE_ID) {
            dedup.push(DedupRecord { record: number as u32, id: dedup_id(id) });
        }
    }
    if matches!(&runs[..], [run] if run.attributes == Attributes::default()) {
        runs.clear();
    }
    if matches!(tenants[..], [TenantRun { tenant: None, .. }]) {
        tenants.clear();
    }
    let header = view.header();
    let producer =
        header.producer.map(|p| ProducerBatch { id: p.id, epoch: p.epoch, sequence: p.base_sequence });
    let enqueue = Enqueue {
        position: 0,
        length: batch.len() as u32,
        count: header.count,
        bytes: section.len() as u64,
        producer,
        runs,
        dedup,
    };
    Ok((enqueue, tenants))
}

fn add_tenant(runs: &mut Vec<TenantRun>, tenant: Option<TenantHash>) {
    match runs.last_mut() {
        Some(run) if run.tenant == tenant => run.count += 1,
        _ => runs.push(TenantRun { count: 1, tenant }),
    }
}

/// The records section of a batch, uncompressed.
pub(crate) fn open<'a>(view: &BatchView<'a>) -> Result<Cow<'a, [u8]>, WeirError> {
    match view.header().codec {
        Codec::None => Ok(Cow::Borrowed(view.section())),
        codec => decompress(codec, view.section(), BATCH_UNCOMPRESSED_BYTES_MAX)
            .map(|bytes| Cow::Owned(bytes.to_vec()))
            .map_err(|error| WeirError::new(error.kind(), error.code(), error.to_string())),
    }
}

fn attributes(record: &RecordView<'_>, now: WallClock) -> Result<Attributes, WeirError> {
    let headers = &record.headers;
    let deliver_at = number(headers, reserved_headers::DELIVER_AT)?.map(WallClock);
    if let Some(at) = deliver_at.filter(|at| *at - now > DELAY_MS_MAX) {
        let message = format!("delivery in {} ms exceeds the limit of {DELAY_MS_MAX} ms", at - now);
        return Err(invalid("delay-too-long", message));
    }
    let priority = number(headers, reserved_headers::PRIORITY)?.unwrap_or(0);
    if priority > 9 {
        return Err(invalid("priority-out-of-range", format!("priority {priority} is not 0 to 9")));
    }
    Ok(Attributes {
        key: record.key.map(KeyHash::of),
        priority: priority as u8,
        deliver_at: deliver_at.filter(|at| *at > now),
        expires_at: number(headers, reserved_headers::TTL)?.map(|ttl| now + ttl),
    })
}

/// A reserved header that holds a decimal number.
fn number(headers: &HeadersView<'_>, name: &str) -> Result<Option<u64>, WeirError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
        invalid("bad-header", format!("header {name} is `{shown}`, not a decimal number"))
    })
}

/// A message id as the machine keeps it: two independent 64-bit hashes of the bytes, so that two ids never meet
/// in practice.
fn dedup_id(id: &[u8]) -> DedupId {
    let half = |seed: u64| -> u64 {
        // FNV-1a with a seeded basis (Fowler, Noll, Vo), finished like `MurmurHash3`.
        let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
        for byte in id {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ (hash >> 33)
    };
    DedupId((u128::from(half(0)) << 64) | u128::from(half(0x9e37_79b9_7f4a_7c15)))
}

fn bad_batch(error: BatchError) -> WeirError {
    WeirError::new(error.kind(), error.code(), error.to_string())
}

fn invalid(code: &str, message: String) -> WeirError {
    WeirError::new(ErrorKind::Invalid, code, message)
}

#[cfg(test)]
mod tests {
    use weir_types::BatchBuilder;

    use super::*;

    fn batch(tenants: &[Option<&str>]) -> Bytes {
        let mut builder = BatchBuilder::new();
        for tenant in tenants {
            let named = tenant.map(|name| ("customer", Some(name.as_bytes())));
            let headers: Vec<_> = [("other", Some(&b"x"[..]))].into_iter().chain(named).collect();
            builder.push(None, Some(b"value"), &headers, 0).expect("a small record fits");
        }
        builder.build(None).expect("a batch without a producer can be built")
    }

    fn tenants(of: &[Option<&str>], fair_by: Option<&str>) -> Vec<(u32, Option<TenantHash>)> {
        let (_, runs) = enqueue(&batch(of), WallClock(0), fair_by).expect("it is a good batch");
        runs.into_iter().map(|run| (run.count, run.tenant)).collect()
    }

    /// The code of a queue's answer to a record with a reserved header; none when it was taken.
    fn refused(header: &str, value: &str, now: WallClock) -> Option<String> {
        let mut builder = BatchBuilder::new();
        builder.push(None, Some(b"value"), &[(header, Some(value.as_bytes()))], 0).expect("it fits");
        let batch = builder.build(None).expect("a batch without a producer can be built");
        enqueue(&batch, now, None).err().map(|error| error.code)
    }

    #[test]
    fn conditions_are_taken_up_to_their_limits() {
        let now = WallClock(1_000);
        let latest = now.0 + DELAY_MS_MAX;
        for (header, within, beyond, code) in [
            (reserved_headers::PRIORITY, 0, 10, "priority-out-of-range"),
            (reserved_headers::PRIORITY, 9, u64::MAX, "priority-out-of-range"),
            (reserved_headers::DELIVER_AT, latest, latest + 1, "delay-too-long"),
            (reserved_headers::DELIVER_AT, 0, u64::MAX, "delay-too-long"),
        ] {
            assert_eq!(refused(header, &within.to_string(), now), None, "{header}: {within}");
            let refused = refused(header, &beyond.to_string(), now);
            assert_eq!(refused.as_deref(), Some(code), "{header}: {beyond}");
        }
        for no_number in ["", "-1", "1.5", "18446744073709551616"] {
            let refused = refused(reserved_headers::TTL, no_number, now);
            assert_eq!(refused.as_deref(), Some("bad-header"), "{no_number}");
        }
        assert_eq!(refused(reserved_headers::TTL, &u64::MAX.to_string(), now), None, "it never ends");
    }

    #[test]
    fn only_a_compacted_stream_asks_for_keys() {
        let keyless = batch(&[None]);
        assert!(append(&keyless, false).is_ok());
        assert_eq!(append(&keyless, true).map_err(|error| error.code), Err("key-missing".to_owned()));
    }

    #[test]
    fn a_batch_is_taken_up_to_its_uncompressed_limit() {
        let mut builder = BatchBuilder::new();
        builder.push(None, Some(b"value"), &[], 0).expect("it fits");
        let packed = |bytes: usize| {
            let section = vec![0; bytes];
            let packed = weir_compression::compress(Codec::Zstd, &section).expect("zeros are compressed");
            builder.build_compressed(None, Codec::Zstd, &packed).expect("it is small")
        };
        let answer = |bytes: usize| append(&packed(bytes), false).expect_err("zeros are no records").code;
        assert_eq!(answer(BATCH_UNCOMPRESSED_BYTES_MAX), "batch-malformed");
        assert_eq!(answer(BATCH_UNCOMPRESSED_BYTES_MAX + 1), "batch-too-large");
    }

    #[test]
    fn neighbours_of_one_tenant_are_one_run() {
        let [acme, bolt] = ["acme", "bolt"].map(|name| Some(TenantHash::of(name.as_bytes())));
        let names = [Some("acme"), Some("acme"), None, Some("bolt")];
        assert_eq!(tenants(&names, Some("customer")), [(2, acme), (1, None), (1, bolt)]);
    }

    #[test]
    fn whose_records_are_is_not_read_when_nobody_asks_or_nobody_is_named() {
        assert_eq!(tenants(&[Some("acme"), None], None), []);
        assert_eq!(tenants(&[Some("acme"), None], Some("region")), []);
    }
}
