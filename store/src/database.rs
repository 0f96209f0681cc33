//! RocksDB: tables in a few column families, one write-ahead log for all of them.
//!
//! A column family costs a memtable, a file and two syncs at every open, so small tables share one; their keys start with a
//! number of the table. A table of its own is what is searched by prefix or deleted by range.
//!
//! The log is a sequence: after a power cut a prefix of it survives, across all tables. A process kill loses nothing,
//! since writes that were not synced are in the page cache. Values start with a version byte and then use the written
//! encoding of `farm-model`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use farm_model::encoding::{Decoder, Encoder, Malformed};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Direction, IteratorMode, LogLevel, Options, PrefixRange, ReadOptions, SliceTransform, WriteBatch,
    WriteOptions,
};

use crate::Error;

const VERSION: u8 = 1;
const BLOCK_CACHE_BYTES: usize = 8 << 20;
const ALL_MEMTABLES_BYTES: usize = 24 << 20;
const MEMTABLE_BYTES: usize = 8 << 20;
const LOG_BYTES: u64 = 64 << 20;
const BLOOM_BITS: f64 = 10.0;
/// Hash and size of a blob: what the location rows of one blob have in common.
const LOCATION_PREFIX: usize = 40;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $family:ident, $text:literal,)*) => {
        /// The tables; the numbers are on disk.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Table {
            $($(#[$doc])* $name = $number,)*
        }

        impl Table {
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            const fn family(self) -> Family {
                match self {
                    $(Self::$name => Family::$family,)*
                }
            }
        }
    };
}

tables! {
    /// Single values of the store itself.
    Meta = 1, Small, "meta",
    /// `BlobDigest` → inline bytes, or that there is a file.
    Blobs = 2, Content, "blobs",
    /// `BlobDigest`, `LayerDigest` → path in that layer's directory.
    Locations = 3, Locations, "locations",
    /// `DirectoryDigest` → entries.
    Records = 4, Content, "records",
    /// `LayerDigest` → root directory.
    Trees = 5, Small, "trees",
    /// `LayerDigest` → summary of its directory under `layers/`.
    Directories = 6, Small, "directories",
    /// Kind and digest of files that are not yet synced → boot id.
    Fresh = 7, Small, "fresh",
    /// `LayerDigest` → generation in which all its bytes were found.
    Complete = 8, Small, "complete",
    /// Scope and `StepDigest` → result.
    Steps = 9, Small, "steps",
    /// Scope and `StepDigest` → key preimage.
    Preimages = 10, Small, "preimages",
    /// Scope and `StepDigest` → what explains a miss, in the caller's encoding, and the trees it names.
    Witnesses = 11, Small, "witnesses",
    /// Scope and family → `StepDigest` that was recorded last.
    Families = 12, Small, "families",
    /// Family → microseconds.
    Durations = 13, Small, "durations",
    /// Scope, chain and content → layer that came first.
    Canonical = 14, Small, "canonical",
    /// `OciDigest` → size of the file under `oci/`.
    OciBlobs = 15, Small, "oci-blobs",
    /// Chain id → layer.
    BaseLayers = 16, Small, "base-layers",
    /// `LayerDigest` and codec → packed form.
    Packed = 17, Small, "packed",
    /// Image name → the caller's encoding.
    Images = 18, Small, "images",
    /// Reference → answer and its time.
    Tags = 19, Small, "tags",
    /// `BuildId` → summary in the caller's encoding.
    Builds = 20, Small, "builds",
    /// `BuildId` and number → event in the caller's encoding.
    Events = 21, Events, "events",
    /// What was used, by kind and digest → seconds since the Unix epoch.
    Uses = 22, Small, "uses",
    /// Number → what a person did, in the caller's encoding.
    Actions = 23, Small, "actions",
    /// Kind and name of what a person marked.
    Marks = 24, Small, "marks",
}

/// The column families.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Family {
    /// What is small, and read at every build.
    Small,
    /// What there is much of, by digest.
    Content,
    Locations,
    Events,
}

impl Family {
    const ALL: [Self; 4] = [Self::Small, Self::Content, Self::Locations, Self::Events];

    /// The names are on disk.
    const fn name(self) -> &'static str {
        match self {
            // It is always there, so that it should be of use.
            Self::Small => "default",
            Self::Content => "content",
            Self::Locations => "locations",
            Self::Events => "events",
        }
    }

    /// Whether keys start with the number of their table.
    const fn is_shared(self) -> bool {
        match self {
            Self::Small | Self::Content => true,
            Self::Locations | Self::Events => false,
        }
    }
}

impl Table {
    /// Bytes before each key.
    const fn prefix(self) -> usize {
        if self.family().is_shared() { 1 } else { 0 }
    }

    /// A key as it is on disk.
    fn key(self, key: &[u8]) -> Cow<'_, [u8]> {
        if self.family().is_shared() { Cow::Owned([&[self as u8], key].concat()) } else { Cow::Borrowed(key) }
    }
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
        let options = database_options();
        // Opening makes what is missing, one synced family after the other; one that is not ours, it refuses less plainly.
        if let Ok(found) = DB::list_cf(&options, path)
            && found.iter().any(|name| Family::ALL.iter().all(|family| family.name() != name))
        {
            return Err(Error::OtherLayout { path: path.to_owned() });
        }
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = Family::ALL
            .iter()
            .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(*family, &cache)));
        let db = DB::open_cf_descriptors(&options, path, families)
            .map_err(|error| Error::database("open", path, error))?;
        Ok(Self { db, path: path.to_owned() })
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db
            .get_cf(self.family(table), table.key(key))
            .map_err(|error| Error::database("read", &self.path, error))
    }

    pub(crate) fn has(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        self.db
            .get_pinned_cf(self.family(table), table.key(key))
            .map(|value| value.is_some())
            .map_err(|error| Error::database("read", &self.path, error))
    }

    pub(crate) fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.db
            .put_cf(self.family(table), table.key(key), value)
            .map_err(|error| Error::database("write", &self.path, error))
    }

    /// The rows whose key starts with `prefix`, in key order.
    pub(crate) fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.visit(table, prefix, &mut |key, value| {
            rows.push((key.into(), value.into()));
            Ok(())
        })?;
        Ok(rows)
    }

    /// Shows every row of a table, in key order, without holding them all.
    pub(crate) fn each(&self, table: Table, visit: &mut VisitRow<'_>) -> Result<(), Error> {
        self.visit(table, &[], visit)
    }

    fn visit(&self, table: Table, prefix: &[u8], visit: &mut VisitRow<'_>) -> Result<(), Error> {
        let (family, start) = (self.family(table), table.key(prefix));
        let mut options = ReadOptions::default();
        options.set_iterate_range(PrefixRange(&*start));
        if table == Table::Locations && !prefix.is_empty() {
            // Which lets a filter say that there is nothing.
            options.set_prefix_same_as_start(true);
        }
        for row in self.db.iterator_cf_opt(family, options, IteratorMode::From(&start, Direction::Forward)) {
            let (key, value) = row.map_err(|error| Error::database("read", &self.path, error))?;
            visit(&key[table.prefix()..], &value)?;
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
        let (prefix, start) = (table.key(prefix), table.key(start));
        self.db
            .iterator_cf(self.family(table), IteratorMode::From(&start, Direction::Forward))
            .map(|row| row.map_err(|error| Error::database("read", &self.path, error)))
            .take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
            .map(|row| row.map(|(key, value)| (key[table.prefix()..].into(), value)))
            .take(limit)
            .collect()
    }

    /// The last key that is not behind `end`.
    pub(crate) fn last_key(&self, table: Table, end: &[u8]) -> Result<Option<Box<[u8]>>, Error> {
        let (first, end) = (table.key(&[]), table.key(end));
        let mode = IteratorMode::From(&end, Direction::Reverse);
        let row = self.db.iterator_cf(self.family(table), mode).next();
        let row = row.transpose().map_err(|error| Error::database("read", &self.path, error))?;
        let key = row.map(|(key, _)| key).filter(|key| key.starts_with(&first));
        Ok(key.map(|key| key[table.prefix()..].into()))
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { database: self, batch: WriteBatch::default() }
    }

    /// Makes every earlier write survive a power cut.
    pub(crate) fn flush_log(&self) -> Result<(), Error> {
        self.db.flush_wal(true).map_err(|error| Error::database("sync", &self.path, error))
    }

    fn family(&self, table: Table) -> &ColumnFamily {
        self.db.cf_handle(table.family().name()).expect("every column family was opened")
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
        self.batch.put_cf(self.database.family(table), table.key(key), value);
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.batch.delete_cf(self.database.family(table), table.key(key));
    }

    /// Deletes the rows from `start` to before `end`.
    pub(crate) fn delete_range(&mut self, table: Table, start: &[u8], end: &[u8]) {
        self.batch.delete_range_cf(self.database.family(table), table.key(start), table.key(end));
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

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(BLOOM_BITS, false);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    if family == Family::Locations {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(LOCATION_PREFIX));
        options.set_memtable_prefix_bloom_ratio(0.05);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_share_a_family_do_not_see_each_other() {
        let root = tempfile::tempdir().unwrap();
        let database = Database::open(root.path()).unwrap();
        let tables = [Table::Meta, Table::Trees, Table::Uses, Table::Blobs, Table::Records, Table::Locations];
        for table in tables {
            database.put(table, b"", table.name().as_bytes()).unwrap();
            database.put(table, &[0xff; 40], b"last").unwrap();
        }
        for table in tables {
            let rows = database.rows(table, &[]).unwrap();
            assert_eq!(rows.len(), 2, "{}", table.name());
            assert_eq!(&*rows[0].1, table.name().as_bytes());
            assert_eq!(database.rows(table, &[0xff; 40]).unwrap().len(), 1);
            assert_eq!(database.rows_from(table, &[], &[1], 9).unwrap().len(), 1);
            assert_eq!(database.last_key(table, &[1]).unwrap().as_deref(), Some(&[][..]));
        }
        assert_eq!(database.last_key(Table::Steps, &[1]).unwrap(), None);
    }

    #[test]
    fn a_database_of_another_layout_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let mut options = database_options();
        options.create_missing_column_families(true);
        drop(DB::open_cf(&options, root.path(), ["default", "steps"]).unwrap());
        let opened = Database::open(root.path());
        assert!(matches!(opened, Err(Error::OtherLayout { .. })));
    }
}
