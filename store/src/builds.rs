//! Builds: their event logs and summaries, the farm's epochs, and how long steps took.
//!
//! Events and summaries are the caller's bytes. A log survives a process kill as soon as a call returns, and a power cut
//! when the call asked for that.

use std::sync::PoisonError;

use farm_model::BuildId;
use farm_model::encoding::Decoder;

use crate::database::{Table, Write, read_value, value};
use crate::{Error, Store};

const EPOCH: &[u8] = b"epoch";
const NUMBER: usize = 8;

/// Whether a write waits for the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sync {
    /// It survives a power cut when the call returns.
    Now,
    /// It survives a process kill when the call returns, and a power cut a little later.
    Later,
}

impl From<Sync> for Write {
    fn from(sync: Sync) -> Self {
        match sync {
            Sync::Now => Self::Synced,
            Sync::Later => Self::Lazy,
        }
    }
}

impl Store {
    /// A number greater than every one before it. It is on disk when the call returns.
    pub fn next_epoch(&self) -> Result<u64, Error> {
        let _turn = self.core.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match self.core.database.get(Table::Meta, EPOCH)? {
            Some(row) => read_value(Table::Meta, &row, Decoder::u64)?,
            None => 0,
        };
        let next = last + 1;
        let mut row = value();
        row.u64(next);
        let mut batch = self.core.database.batch();
        batch.put(Table::Meta, EPOCH, row.as_bytes());
        batch.write(Write::Synced)?;
        Ok(next)
    }

    /// Adds `events` to the log of `build`, the first of them as number `first`, and keeps what a list shows of it then, both
    /// or neither. Writing a number again replaces it.
    pub fn append_events(
        &self,
        build: &BuildId,
        first: u64,
        events: &[Vec<u8>],
        summary: &[u8],
        sync: Sync,
    ) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.put(Table::Builds, &build.0, summary);
        for (number, event) in (first..).zip(events) {
            batch.put(Table::Events, &event_key(*build, number), event);
        }
        batch.write(sync.into())
    }

    /// Up to `limit` events of `build` from number `from` on, with their numbers.
    pub fn events(&self, build: &BuildId, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let start = event_key(*build, from);
        let rows = self.core.database.rows_from(Table::Events, &build.0, &start, limit)?;
        Ok(rows.into_iter().filter_map(|(key, event)| Some((number(&key)?, event.into_vec()))).collect())
    }

    /// The number that the next event of `build` has.
    pub fn event_count(&self, build: &BuildId) -> Result<u64, Error> {
        let last = self.core.database.last_key(Table::Events, &event_key(*build, u64::MAX))?;
        let last = last.filter(|key| key.starts_with(&build.0)).and_then(|key| number(&key));
        Ok(last.map_or(0, |last| last.saturating_add(1)))
    }

    /// The summary of every build, in no order that means anything.
    pub fn builds(&self) -> Result<Vec<(BuildId, Vec<u8>)>, Error> {
        let rows = self.core.database.rows(Table::Builds, &[])?;
        let builds = rows
            .into_iter()
            .filter_map(|(key, summary)| Some((BuildId((*key).try_into().ok()?), summary.into_vec())));
        Ok(builds.collect())
    }

    /// Forgets the log and the summary of `build`.
    pub fn remove_build(&self, build: &BuildId) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.delete(Table::Builds, &build.0);
        // One byte longer than any key of the build, so that the last number goes too.
        let end = [event_key(*build, u64::MAX).as_slice(), &[0]].concat();
        batch.delete_range(Table::Events, &event_key(*build, 0), &end);
        batch.write(Write::Lazy)
    }

    /// Remembers how long steps of `family` take.
    pub fn put_duration(&self, family: &[u8; 32], micros: u64) -> Result<(), Error> {
        let mut row = value();
        row.u64(micros);
        self.core.database.put(Table::Durations, family, row.as_bytes())
    }

    /// How long steps took in microseconds, by family.
    pub fn durations(&self) -> Result<Vec<([u8; 32], u64)>, Error> {
        let rows = self.core.database.rows(Table::Durations, &[])?;
        let read = rows.into_iter().filter_map(|(family, row)| {
            let family = (*family).try_into().ok()?;
            Some(read_value(Table::Durations, &row, Decoder::u64).map(|micros| (family, micros)))
        });
        read.collect()
    }
}

fn event_key(build: BuildId, number: u64) -> Vec<u8> {
    [build.0.as_slice(), &number.to_be_bytes()].concat()
}

fn number(key: &[u8]) -> Option<u64> {
    let (_, number) = key.split_last_chunk::<NUMBER>()?;
    Some(u64::from_be_bytes(*number))
}
