//! What people did to the farm, and what they said of its parts: records that outlive the process.
//!
//! Actions are the caller's bytes, numbered from 0 without gaps; the oldest beyond those that are kept are forgotten.

use crate::database::{Table, Write};
use crate::{Error, Store};

/// What a person said of something by its name, until they take it back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Mark {
    /// A worker that takes no more work.
    DrainedWorker = 0,
    /// An image that stays whatever is pruned or removed.
    PinnedImage = 1,
}

impl Store {
    /// Keeps an action as `number`, and forgets those from before `first`. It is on disk when the call returns.
    pub fn put_action(&self, number: u64, action: &[u8], first: u64) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.put(Table::Actions, &number.to_be_bytes(), action);
        batch.delete_range(Table::Actions, &[], &first.to_be_bytes());
        batch.write(Write::Synced)
    }

    /// Up to `limit` actions from `number` on, with their numbers.
    pub fn actions(&self, number: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let rows = self.core.database.rows_from(Table::Actions, &[], &number.to_be_bytes(), limit)?;
        let read = |(key, action): (Box<[u8]>, Box<[u8]>)| {
            Some((u64::from_be_bytes((*key).try_into().ok()?), action.into_vec()))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The number that the next action has.
    pub fn action_count(&self) -> Result<u64, Error> {
        let last = self.core.database.last_key(Table::Actions, &u64::MAX.to_be_bytes())?;
        let last = last.and_then(|key| (*key).try_into().ok()).map(u64::from_be_bytes);
        Ok(last.map_or(0, |last| last.saturating_add(1)))
    }

    /// Marks `name`. It is on disk when the call returns.
    pub fn put_mark(&self, mark: Mark, name: &str) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.put(Table::Marks, &mark_key(mark, name), &[]);
        batch.write(Write::Synced)
    }

    /// Takes a mark back.
    pub fn remove_mark(&self, mark: Mark, name: &str) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.delete(Table::Marks, &mark_key(mark, name));
        batch.write(Write::Synced)
    }

    /// Whether `name` is marked.
    pub fn has_mark(&self, mark: Mark, name: &str) -> Result<bool, Error> {
        self.core.database.has(Table::Marks, &mark_key(mark, name))
    }

    /// Every name that is marked.
    pub fn marks(&self, mark: Mark) -> Result<Vec<String>, Error> {
        let rows = self.core.database.rows(Table::Marks, &[mark as u8])?;
        Ok(rows.into_iter().map(|(key, _)| String::from_utf8_lossy(&key[1..]).into_owned()).collect())
    }
}

fn mark_key(mark: Mark, name: &str) -> Vec<u8> {
    [&[mark as u8], name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_actions_are_kept_in_order() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert_eq!(store.action_count().unwrap(), 0);
        for number in 0..300_u64 {
            store.put_action(number, &number.to_le_bytes(), number.saturating_sub(9)).unwrap();
        }
        assert_eq!(store.action_count().unwrap(), 300);
        let all = store.actions(0, 100).unwrap();
        let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (290..300).collect::<Vec<_>>());
        assert_eq!(all[0].1, 290_u64.to_le_bytes());
        assert_eq!(store.actions(298, 1).unwrap().len(), 1);
    }

    #[test]
    fn marks_of_one_kind_are_not_those_of_another() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        store.put_mark(Mark::PinnedImage, "a:1").unwrap();
        store.put_mark(Mark::DrainedWorker, "w1").unwrap();
        assert_eq!(store.marks(Mark::PinnedImage).unwrap(), ["a:1"]);
        assert!(!store.has_mark(Mark::DrainedWorker, "a:1").unwrap());
        store.remove_mark(Mark::PinnedImage, "a:1").unwrap();
        assert_eq!(store.marks(Mark::PinnedImage).unwrap(), Vec::<String>::new());
        assert_eq!(store.marks(Mark::DrainedWorker).unwrap(), ["w1"]);
    }
}
