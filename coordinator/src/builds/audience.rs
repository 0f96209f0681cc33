//! Those who watch the whole farm, and which builds have grown since each of them last looked.
//!
//! Invariants: whoever appends to a log waits for no viewer; what is kept for a viewer that does not look is bounded, and
//! what goes beyond that is not lost but looked up again from the start.
//!
//! Telling is cheap: a log that has grown says so once, and not again before somebody has looked. `looks` counts how often
//! anybody did; a log remembers that count from when it said so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farm_model::BuildId;
use tokio::sync::{Notify, watch};

/// How many may watch at once.
const MOST_VIEWERS: usize = 256;
/// Builds that may have grown before a viewer who does not look has to begin anew.
const MOST_GROWN: usize = 8192;

/// Everybody who watches.
#[derive(Debug)]
pub(crate) struct Audience {
    seats: Mutex<Seats>,
    looks: AtomicU64,
    /// How many there are.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: BTreeMap<u64, Taken>,
    next: u64,
}

#[derive(Debug)]
struct Taken {
    grown: Grown,
    bell: Arc<Notify>,
}

/// What has happened since a viewer last looked.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Grown {
    /// These builds began, went on or ended.
    Builds(BTreeSet<BuildId>),
    /// More than can be told one by one.
    TooMuch,
}

/// What a log remembers of having said that it has grown.
#[derive(Debug)]
pub(crate) struct Told(AtomicU64);

/// The place of one viewer, who is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    audience: Arc<Audience>,
    number: u64,
    bell: Arc<Notify>,
}

impl Default for Told {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Audience {
    pub(crate) fn new() -> Self {
        Self { seats: Mutex::default(), looks: AtomicU64::default(), count: watch::Sender::new(0) }
    }

    /// Lets somebody watch; none when the house is full.
    pub(crate) fn sit(self: &Arc<Self>) -> Option<Seat> {
        let bell = Arc::new(Notify::new());
        let mut seats = self.seats();
        if seats.taken.len() >= MOST_VIEWERS {
            return None;
        }
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Taken { grown: Grown::nothing(), bell: Arc::clone(&bell) });
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.count.send_replace(seats.taken.len());
        Some(Seat { audience: Arc::clone(self), number, bell })
    }

    /// How many watch.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Hears of those who come and go.
    pub(crate) fn counts(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// A log has grown; to be called after it has.
    pub(crate) fn grew(&self, build: BuildId, told: &Told) {
        // Nobody has looked since it was last said: whoever looks next sees this growth too.
        if told.0.load(Ordering::SeqCst) == self.looks.load(Ordering::SeqCst) {
            return;
        }
        let mut seats = self.seats();
        told.0.store(self.looks.load(Ordering::SeqCst), Ordering::SeqCst);
        for taken in seats.taken.values_mut() {
            taken.grown.add(build);
            taken.bell.notify_one();
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grown {
    fn nothing() -> Self {
        Self::Builds(BTreeSet::new())
    }

    fn add(&mut self, build: BuildId) {
        if let Self::Builds(builds) = self {
            builds.insert(build);
            if builds.len() > MOST_GROWN {
                *self = Self::TooMuch;
            }
        }
    }
}

impl Seat {
    /// Waits until there is something to look at.
    pub(crate) async fn called(&self) {
        self.bell.notified().await;
    }

    /// What has grown since the last look. To be called before the logs are read.
    pub(crate) fn look(&self) -> Grown {
        let mut seats = self.audience.seats();
        self.audience.looks.fetch_add(1, Ordering::SeqCst);
        let taken = seats.taken.get_mut(&self.number);
        taken.map_or_else(Grown::nothing, |taken| std::mem::replace(&mut taken.grown, Grown::nothing()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.audience.seats();
        seats.taken.remove(&self.number);
        self.audience.count.send_replace(seats.taken.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(number: u64) -> BuildId {
        BuildId(number.to_be_bytes())
    }

    fn grown(builds: &[BuildId]) -> Grown {
        Grown::Builds(builds.iter().copied().collect())
    }

    #[tokio::test]
    async fn each_viewer_is_told_once_of_each_build_until_it_looks() {
        let audience = Arc::new(Audience::new());
        let told = Told::default();
        audience.grew(build(1), &told);
        let (one, two) = (audience.sit().unwrap(), audience.sit().unwrap());
        for _ in 0..3 {
            audience.grew(build(1), &told);
            audience.grew(build(2), &Told::default());
        }
        one.called().await;
        assert_eq!(one.look(), grown(&[build(1), build(2)]));
        audience.grew(build(1), &told);
        assert_eq!(one.look(), grown(&[build(1)]));
        assert_eq!((one.look(), two.look()), (grown(&[]), grown(&[build(1), build(2)])));
    }

    #[test]
    fn who_never_looks_costs_no_more_than_so_much() {
        let audience = Arc::new(Audience::new());
        let seat = audience.sit().unwrap();
        for number in 0..2 * MOST_GROWN as u64 {
            audience.grew(build(number), &Told::default());
        }
        assert_eq!(seat.look(), Grown::TooMuch);
        assert_eq!(seat.look(), grown(&[]));
    }

    #[test]
    fn a_seat_is_free_again_when_its_viewer_is_gone() {
        let audience = Arc::new(Audience::new());
        let seats: Vec<_> = std::iter::from_fn(|| audience.sit()).collect();
        assert_eq!((seats.len(), audience.count()), (MOST_VIEWERS, MOST_VIEWERS));
        drop(seats);
        assert_eq!(audience.count(), 0);
        assert!(audience.sit().is_some());
    }
}
