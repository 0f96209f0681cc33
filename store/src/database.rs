//! RocksDB: one column family a table, one write-ahead log for all of them.
//!
//! The log is a sequence: after a power cut a prefix of it survives, across all tables. A process kill loses nothing,
//! since writes that were not synced are in the page cache. Values start with a version byte and then use the written
//! encoding of `farm-model`.

use std::path::{Path, PathBuf};

use farm_model::encoding::{Decoder, Encoder, Malformed};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Direction, IteratorMode, LogLevel, Options, SliceTransform, WriteBatch, WriteOptions,
};

use crate::Error;

const VERSION: u8 = 1;
const BLOCK_CACHE_BYTES: usize = 8 << 20;
const ALL_MEMTABLES_BYTES: usize = 32 << 20;
const MEMTABLE_BYTES: usize = 8 << 20;
const LOG_BYTES: u64 = 64 << 20;
const BLOOM_BITS: f64 = 10.0;
/// Hash and size of a blob: what the location rows of one blob have in common.
const LOCATION_PREFIX: usize = 40;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The tables; the names are on disk.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Table {
            $($(#[$doc])* $name,)*
        }

        impl Table {
            const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

tables! {
    /// Single values of the store itself.
    Meta = "meta",
    /// `BlobDigest` → inline bytes, or that there is a file.
    Blobs = "blobs",
    /// `BlobDigest`, `LayerDigest` → path in that layer's directory.
    Locations = "locations",
    /// `DirectoryDigest` → entries.
    Records = "records",
    /// `LayerDigest` → root directory.
    Trees = "trees",
    /// `LayerDigest` → summary of its directory under `layers/`.
    Directories = "directories",
    /// Kind and digest of files that are not yet synced → boot id.
    Fresh = "fresh",
    /// `LayerDigest` → generation in which all its bytes were found.
    Complete = "complete",
    /// Scope and `StepDigest` → result.
    Steps = "steps",
    /// Scope and `StepDigest` → key preimage.
    Preimages = "preimages",
    /// Scope and `StepDigest` → what explains a miss, in the caller's encoding, and the trees it names.
    Witnesses = "witnesses",
    /// Scope and family → `StepDigest` that was recorded last.
    Families = "families",
    /// Family → microseconds.
    Durations = "durations",
    /// Scope, chain and content → layer that came first.
    Canonical = "canonical",
    /// `OciDigest` → size of the file under `oci/`.
    OciBlobs = "oci-blobs",
    /// Chain id → layer.
    BaseLayers = "base-layers",
    /// `LayerDigest` and codec → packed form.
    Packed = "packed",
    /// Image name → the caller's encoding.
    Images = "images",
    /// Reference → answer and its time.
    Tags = "tags",
    /// `BuildId` → summary in the caller's encoding.
    Builds = "builds",
    /// `BuildId` and number → event in the caller's encoding.
    Events = "events",
    /// What was used, by kind and digest → seconds since the Unix epoch.
    Uses = "uses",
}

/// Whether a write waits for the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Write {
    /// It survives a process kill.
    Lazy,
    /// It, and every write before it, survives a power cut.
    Synced,
}

pub(crate) struct Database {
    db: DB,
    path: PathBuf,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = Table::ALL
            .iter()
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(*table, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), path, families)
            .map_err(|error| Error::database("open", path, error))?;
        Ok(Self { db, path: path.to_owned() })
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db.get_cf(self.family(table), key).map_err(|error| Error::database("read", &self.path, error))
    }

    pub(crate) fn has(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        self.db
            .get_pinned_cf(self.family(table), key)
            .map(|value| value.is_some())
            .map_err(|error| Error::database("read", &self.path, error))
    }

    pub(crate) fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.db
            .put_cf(self.family(table), key, value)
            .map_err(|error| Error::database("write", &self.path, error))
    }

    /// The rows whose key starts with `prefix`, in key order.
    pub(crate) fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, Error> {
        let family = self.family(table);
        let iterator = if prefix.is_empty() {
            self.db.iterator_cf(family, IteratorMode::Start)
        } else {
            self.db.prefix_iterator_cf(family, prefix)
        };
        iterator
            .map(|row| row.map_err(|error| Error::database("read", &self.path, error)))
            .take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
            .collect()
    }

    /// Shows every row of a table, in key order, without holding them all.
    pub(crate) fn each(&self, table: Table, visit: &mut VisitRow<'_>) -> Result<(), Error> {
        for row in self.db.iterator_cf(self.family(table), IteratorMode::Start) {
            let (key, value) = row.map_err(|error| Error::database("read", &self.path, error))?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    /// Up to `limit` rows whose key starts with `prefix`, from the key `start` on.
    pub(crate) fn rows_from(
        &self,
        table: Table,
        prefix: &[u8],
        start: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mode = IteratorMode::From(start, Direction::Forward);
        self.db
            .iterator_cf(self.family(table), mode)
            .map(|row| row.map_err(|error| Error::database("read", &self.path, error)))
            .take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
            .take(limit)
            .collect()
    }

    /// The last key that is not behind `end`.
    pub(crate) fn last_key(&self, table: Table, end: &[u8]) -> Result<Option<Box<[u8]>>, Error> {
        let mode = IteratorMode::From(end, Direction::Reverse);
        let row = self.db.iterator_cf(self.family(table), mode).next();
        row.map(|row| row.map(|(key, _)| key).map_err(|error| Error::database("read", &self.path, error)))
            .transpose()
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { database: self, batch: WriteBatch::default() }
    }

    /// Makes every earlier write survive a power cut.
    pub(crate) fn flush_log(&self) -> Result<(), Error> {
        self.db.flush_wal(true).map_err(|error| Error::database("sync", &self.path, error))
    }

    fn family(&self, table: Table) -> &ColumnFamily {
        self.db.cf_handle(table.name()).expect("every table was opened as a column family")
    }
}

/// Is shown a key and its value.
pub(crate) type VisitRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Error> + 'a;

/// A key and its value.
pub(crate) type Row = (Box<[u8]>, Box<[u8]>);

/// Writes that happen together or not at all.
pub(crate) struct Batch<'a> {
    database: &'a Database,
    batch: WriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.database.family(table), key, value);
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.batch.delete_cf(self.database.family(table), key);
    }

    /// Deletes the rows from `start` to before `end`.
    pub(crate) fn delete_range(&mut self, table: Table, start: &[u8], end: &[u8]) {
        self.batch.delete_range_cf(self.database.family(table), start, end);
    }

    pub(crate) fn write(self, write: Write) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        options.set_sync(write == Write::Synced);
        self.database
            .db
            .write_opt(self.batch, &options)
            .map_err(|error| Error::database("write", &self.database.path, error))
    }
}

/// Starts a value.
pub(crate) fn value() -> Encoder {
    let mut encoder = Encoder::new();
    encoder.u8(VERSION);
    encoder
}

/// Reads a value of `table` through `decode`, which has to use all of it.
pub(crate) fn read_value<'a, T>(
    table: Table,
    bytes: &'a [u8],
    decode: impl FnOnce(&mut Decoder<'a>) -> Result<T, Malformed>,
) -> Result<T, Error> {
    let malformed = |source| Error::Malformed { table: table.name(), source };
    let mut decoder = Decoder::new(bytes);
    let version = decoder.u8().map_err(malformed)?;
    if version != VERSION {
        return Err(Error::UnknownVersion { table: table.name(), version });
    }
    let value = decode(&mut decoder).map_err(malformed)?;
    decoder.finish().map_err(malformed)?;
    Ok(value)
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(ALL_MEMTABLES_BYTES);
    options.set_max_total_wal_size(LOG_BYTES);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_open_files(256);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

fn table_options(table: Table, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(BLOOM_BITS, false);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    if table == Table::Locations {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(LOCATION_PREFIX));
        options.set_memtable_prefix_bloom_ratio(0.05);
    }
    options
}
