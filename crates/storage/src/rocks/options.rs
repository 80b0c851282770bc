//! How `RocksDB` is tuned. The numbers come from measurements: time buckets with a recycled write-ahead log reach
//! over 80 % of the device at a write amplification of 2, six times the default options.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options};

use crate::RocksOptions;
use crate::engine::Family;

const BLOCK_CACHE_BYTES: usize = 32 << 20;
const META_BUFFER_BYTES: usize = 8 << 20;

/// Table files held open; a stream of many buckets has more, and the process needs descriptors for its sockets.
const OPEN_FILES_MAX: i32 = 512;

/// Options of the whole database. `direct_io` says whether the file system can do it.
pub(crate) fn database(options: &RocksOptions, direct_io: bool) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_max_background_jobs(4);
    // Flushes and compactions leave the page cache to the readers, and cost half the processor time.
    db.set_use_direct_io_for_flush_and_compaction(direct_io);
    db.set_max_open_files(OPEN_FILES_MAX);
    db.set_bytes_per_sync(1 << 20);
    // Recycling a log file turns an append into an overwrite: 40 % more throughput, a tenth of the worst latency.
    // It works with this recovery mode only, which stops silently at a damaged record: the superblock's
    // watermark notices.
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    db.set_recycle_log_file_num(8);
    // A family that is seldom flushed pins the log; unbounded, nothing would be recycled.
    db.set_max_total_wal_size(options.wal_bytes_max);
    // Else catch-up reads get no readahead from the kernel.
    db.set_advise_random_on_open(false);
    db.set_paranoid_checks(true);
    db.set_keep_log_file_num(4);
    db.set_max_log_file_size(4 << 20);
    db
}

/// Options of one family.
pub(crate) fn family(family: Family, options: &RocksOptions, cache: &Cache) -> Options {
    let mut cf = match family {
        Family::StreamLog | Family::QueueLog => never_rewritten(),
        Family::Rows | Family::Meta => Options::default(),
    };
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_format_version(6);
    match family {
        Family::StreamLog => {
            log(&mut cf, &mut table);
            // A bucket is half of this, so that it is flushed by the switch and never in its middle.
            cf.set_write_buffer_size(options.stream_buffer_bytes);
            cf.set_max_write_buffer_number(4);
        }
        Family::QueueLog => {
            log(&mut cf, &mut table);
            cf.set_write_buffer_size(options.queue_buffer_bytes);
            cf.set_max_write_buffer_number(2);
        }
        Family::Rows => {
            table.set_block_size(16 << 10);
            cf.set_compression_type(DBCompressionType::Lz4);
            cf.set_write_buffer_size(options.rows_buffer_bytes);
            cf.set_max_write_buffer_number(2);
        }
        Family::Meta => {
            cf.set_compression_type(DBCompressionType::Lz4);
            cf.set_write_buffer_size(META_BUFFER_BYTES);
            cf.set_max_write_buffer_number(2);
        }
    }
    cf.set_block_based_table_factory(&table);
    cf
}

/// Without this every release of a snapshot (each cold read takes one) marks all files at the bottom that are older
/// for a compaction that only zeroes their sequence numbers: measured, it wrote every entry once more. The option
/// has no setter of its own.
fn never_rewritten() -> Options {
    Options::default()
        .get_options_from_string(format!("bottommost_file_compaction_delay={}", u32::MAX))
        .expect("the option exists in the pinned version")
}

/// What both logs share: entries come compressed from the producer and are read in long runs.
fn log(cf: &mut Options, table: &mut BlockBasedOptions) {
    table.set_block_size(32 << 10);
    cf.set_compression_type(DBCompressionType::None);
    cf.set_target_file_size_base(256 << 20);
    cf.set_max_bytes_for_level_base(2 << 30);
    cf.set_level_zero_file_num_compaction_trigger(4);
    cf.set_level_zero_slowdown_writes_trigger(40);
    cf.set_level_zero_stop_writes_trigger(60);
}

/// The cache of blocks, for all families.
pub(crate) fn block_cache() -> Cache {
    Cache::new_lru_cache(BLOCK_CACHE_BYTES)
}
