//! The log of a build that runs: appended to by its parts, written to the store in batches, read by any number of readers.
//!
//! Invariants: sequence numbers have no gaps; a time is never less than the one before; what is stored is a prefix of what
//! was appended; an event leaves memory only after it was stored.
//!
//! Whoever watches the farm reads what is no output of a step. Of that a log keeps more in memory than of the rest, so that
//! a step that writes much costs a viewer nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farm_model::event::{Ending, encoding};
use farm_model::{BuildEvent, BuildId, Recorded};
use farm_proto::client::BuildSummary;
use tokio::sync::{Notify, watch};

use crate::Error;
use crate::builds::audience::{Audience, Told};
use crate::builds::history::{History, Past};
use crate::builds::summary::Fold;

/// How long an event may wait for others to be written with it.
const BATCH: Duration = Duration::from_millis(50);
/// Bytes of events that are kept in memory for readers, beside those that are not stored yet.
const TAIL: usize = 4 << 20;
/// Bytes of events other than output that are kept in memory for those who watch.
const FACTS: usize = 1 << 20;
/// Bytes that may wait for the store; then those who append wait too.
const BACKLOG: usize = 16 << 20;
/// Bytes of events that a reader is given at once.
const HANDFUL: usize = 256 << 10;

/// An event in its written encoding, with its position in the log.
pub(crate) type Numbered = (u64, Arc<[u8]>);

/// The log of one build.
#[derive(Debug)]
pub(crate) struct Log {
    build: BuildId,
    history: History,
    /// Time in the log when `since` was taken.
    offset: u64,
    since: Instant,
    /// How many events there were when the build was taken up again.
    resumed_at: u64,
    state: Mutex<State>,
    length: watch::Sender<Length>,
    stored: watch::Sender<u64>,
    /// Held while a batch is written, so that batches come in order.
    writing: Arc<tokio::sync::Mutex<()>>,
    wake: Notify,
    audience: Arc<Audience>,
    told: Told,
}

#[derive(Debug)]
struct State {
    /// Sequence number of the first event in memory.
    first: u64,
    events: VecDeque<Arc<[u8]>>,
    /// Bytes of the events in memory.
    bytes: usize,
    /// Of these, bytes of events that are not stored.
    waiting: usize,
    /// Events that are no output, all of them from the position `facts_from` on.
    facts: VecDeque<Numbered>,
    facts_from: u64,
    facts_bytes: usize,
    last_at: u64,
    fold: Fold,
}

/// How long a log is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Length {
    /// How many events there are.
    pub(crate) events: u64,
    /// Whether no more will follow.
    pub(crate) is_over: bool,
}

impl Length {
    /// Whether nothing follows the position `from`, nor ever will.
    pub(crate) fn is_over_at(self, from: u64) -> bool {
        self.is_over && self.events <= from
    }
}

impl Log {
    /// An empty log of a build that begins now.
    pub(crate) fn new(history: History, audience: Arc<Audience>, build: BuildId) -> Self {
        Self::after(history, audience, build, Past { events: 0, last_at: 0, fold: Fold::new(build) }, 0)
    }

    /// Goes on with a log that was interrupted; `offset` is the time since the build's start.
    pub(crate) fn after(
        history: History,
        audience: Arc<Audience>,
        build: BuildId,
        past: Past,
        offset: u64,
    ) -> Self {
        let resumed_at = past.events;
        let state = State {
            first: past.events,
            events: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            facts: VecDeque::new(),
            facts_from: past.events,
            facts_bytes: 0,
            last_at: past.last_at,
            fold: past.fold,
        };
        Self {
            build,
            history,
            offset: offset.max(past.last_at),
            since: Instant::now(),
            resumed_at,
            state: Mutex::new(state),
            length: watch::Sender::new(Length { events: resumed_at, is_over: false }),
            stored: watch::Sender::new(resumed_at),
            writing: Arc::default(),
            wake: Notify::new(),
            audience,
            told: Told::default(),
        }
    }

    /// Whose log it is.
    pub(crate) fn build(&self) -> BuildId {
        self.build
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> u64 {
        self.length.borrow().events
    }

    /// The position from which on the build was taken up again; 0 when it never was.
    pub(crate) fn resumed_at(&self) -> u64 {
        self.resumed_at
    }

    /// What a list says of the build.
    pub(crate) fn summary(&self) -> BuildSummary {
        let mut summary = self.state().fold.summary();
        if !self.length.borrow().is_over {
            summary.micros = summary.micros.max(self.now());
        }
        summary
    }

    /// Appends an event. Waits only while too much waits for the store. What is appended after the end is dropped: it is
    /// the late word of a part that was cancelled.
    pub(crate) async fn append(&self, event: BuildEvent) {
        let waiting = self.push(event);
        self.wake.notify_one();
        if waiting > BACKLOG {
            let mut stored = self.stored.subscribe();
            while self.state().waiting > BACKLOG && !self.length.borrow().is_over {
                // The sender is part of the log, which is here.
                let _alive = stored.changed().await;
            }
        }
    }

    /// Appends the first event of a build, or of its resumption, and keeps it at once.
    pub(crate) async fn begin(&self, event: BuildEvent) -> Result<(), Error> {
        self.push(event);
        self.flush().await
    }

    /// Appends the last event and keeps it. Readers get to hear it even when it cannot be kept.
    pub(crate) async fn end(&self, ending: Ending) -> Result<(), Error> {
        self.push(BuildEvent::Ended(ending));
        self.flush().await
    }

    fn push(&self, event: BuildEvent) -> usize {
        let is_over = matches!(event, BuildEvent::Ended(_));
        let is_output = matches!(event, BuildEvent::Logged { .. });
        let mut state = self.state();
        if self.length.borrow().is_over {
            return 0;
        }
        let recorded = Recorded { at: self.now().max(state.last_at), event };
        let bytes: Arc<[u8]> = encoding::encode(&recorded).into();
        state.last_at = recorded.at;
        state.bytes += bytes.len();
        state.waiting += bytes.len();
        state.fold.add(&recorded);
        if !is_output {
            let sequence = state.first + state.events.len() as u64;
            state.facts_bytes += bytes.len();
            state.facts.push_back((sequence, Arc::clone(&bytes)));
        }
        state.events.push_back(bytes);
        let events = state.first + state.events.len() as u64;
        // Under the lock, so that lengths are published in order.
        self.length.send_replace(Length { events, is_over });
        let waiting = state.waiting;
        drop(state);
        if !is_output {
            self.audience.grew(self.build, &self.told);
        }
        waiting
    }

    /// Keeps what is appended, a batch at a time. Returns only when the store fails.
    pub(crate) async fn keep(&self) -> Error {
        loop {
            self.wake.notified().await;
            tokio::time::sleep(BATCH).await;
            if let Err(error) = self.flush().await {
                return error;
            }
        }
    }

    /// Keeps everything that was appended so far.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let from = *self.stored.borrow();
        let (batch, summary) = {
            let state = self.state();
            let skip = usize::try_from(from.saturating_sub(state.first)).unwrap_or(usize::MAX);
            (state.events.iter().skip(skip).cloned().collect::<Vec<_>>(), state.fold.summary())
        };
        if batch.is_empty() {
            return Ok(());
        }
        let (count, bytes) = (batch.len() as u64, batch.iter().map(|event| event.len()).sum::<usize>());
        let _turn = self.history.append(self.build, from, batch, summary, turn).await?;
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(bytes);
        state.trim(from + count);
        drop(state);
        self.stored.send_replace(from + count);
        Ok(())
    }

    /// Events from the position `from` on, at least one unless the log is not that long yet.
    pub(crate) async fn read(&self, from: u64) -> Result<Vec<Numbered>, Error> {
        {
            let state = self.state();
            if from >= state.first {
                let skip = usize::try_from(from - state.first).unwrap_or(usize::MAX);
                return Ok(handful(from, state.events.iter().skip(skip).cloned()));
            }
        }
        // What is no longer in memory is stored.
        self.history.read(self.build, from).await
    }

    /// Events from the position `from` on that are no output of a step, and the position after everything that was looked
    /// at: that is `from` at the end of the log.
    pub(crate) async fn facts(&self, from: u64) -> Result<(Vec<Numbered>, u64), Error> {
        {
            let state = self.state();
            if from >= state.facts_from {
                let skip = state.facts.partition_point(|(sequence, _)| *sequence < from);
                let mut taken = 0;
                let fits = |(_, event): &&Numbered| {
                    let fits = taken < HANDFUL;
                    taken += event.len();
                    fits
                };
                let facts: Vec<Numbered> = state.facts.iter().skip(skip).take_while(fits).cloned().collect();
                let next = match facts.last() {
                    Some((last, _)) if skip + facts.len() < state.facts.len() => last + 1,
                    Some(_) | None => state.first + state.events.len() as u64,
                };
                return Ok((facts, next.max(from)));
            }
        }
        // What is no longer in memory is stored.
        self.history.facts(self.build, from).await
    }

    /// Waits until the log is longer than `from`, or over.
    pub(crate) async fn longer_than(&self, from: u64) -> Length {
        let mut length = self.length.subscribe();
        match length.wait_for(|length| length.events > from || length.is_over).await {
            Ok(length) => *length,
            Err(_) => Length { events: from, is_over: true },
        }
    }

    /// Waits until the build has ended.
    pub(crate) async fn ended(&self) {
        // The sender is part of the log, which is here.
        let mut length = self.length.subscribe();
        let _alive = length.wait_for(|length| length.is_over).await;
    }

    fn now(&self) -> u64 {
        let since = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.offset.saturating_add(since)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go of stored events beyond what readers are likely to want.
    fn trim(&mut self, stored: u64) {
        while self.bytes > TAIL && self.first < stored {
            let Some(event) = self.events.pop_front() else { return };
            self.bytes -= event.len();
            self.first += 1;
        }
        while self.facts_bytes > FACTS
            && self.facts.front().is_some_and(|(sequence, _)| *sequence < stored)
            && let Some((sequence, event)) = self.facts.pop_front()
        {
            self.facts_bytes -= event.len();
            self.facts_from = sequence + 1;
        }
    }
}

/// As many events as are worth sending at once, numbered from `from`.
pub(super) fn handful(from: u64, events: impl Iterator<Item = Arc<[u8]>>) -> Vec<Numbered> {
    let mut taken = 0;
    let fits = |event: &Arc<[u8]>| {
        let fits = taken < HANDFUL;
        taken += event.len();
        fits
    };
    (from..).zip(events.take_while(fits)).collect()
}
