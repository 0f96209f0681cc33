//! Who wants a build. It goes on while somebody does, and for a while after the connection of the last one was lost.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// For how long a client whose connection was lost may come back.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Why a build is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stopped {
    /// Nobody wants it any more, or somebody cancelled it.
    Cancelled,
    /// Whoever wanted it was lost and did not come back.
    Interrupted,
}

/// Those who want one build.
#[derive(Debug)]
pub(crate) struct Wants {
    counts: Mutex<Counts>,
    stopped: watch::Sender<Option<Stopped>>,
}

#[derive(Debug, Default)]
struct Counts {
    present: usize,
    /// Whose connection was lost a short while ago.
    absent: usize,
    /// Raised whenever those who are absent have no more say.
    generation: u64,
}

impl Wants {
    pub(crate) fn new() -> Self {
        Self { counts: Mutex::default(), stopped: watch::Sender::new(None) }
    }

    /// One more wants it.
    pub(crate) fn join(&self) {
        self.counts().present += 1;
    }

    /// The client that asked for it wants it again; nobody need wait for a lost one any more. False when the build is being
    /// stopped already.
    pub(crate) fn rejoin(&self) -> bool {
        // Under the same lock it is found that nobody wants it.
        let mut counts = self.counts();
        if self.stopped.borrow().is_some() {
            return false;
        }
        counts.present += 1;
        counts.absent = 0;
        counts.generation += 1;
        true
    }

    /// One who joined does not want it any more.
    pub(crate) fn leave(&self) {
        let mut counts = self.counts();
        counts.present = counts.present.saturating_sub(1);
        if counts.present == 0 && counts.absent == 0 {
            self.stop(Stopped::Cancelled);
        }
    }

    /// The connection of one who joined was lost: returns when their time to come back is over.
    pub(crate) async fn lose(&self, grace: Duration) {
        let generation = {
            let mut counts = self.counts();
            counts.present = counts.present.saturating_sub(1);
            counts.absent += 1;
            counts.generation
        };
        tokio::time::sleep(grace).await;
        let mut counts = self.counts();
        if counts.generation == generation {
            counts.absent = counts.absent.saturating_sub(1);
            if counts.present == 0 && counts.absent == 0 {
                self.stop(Stopped::Interrupted);
            }
        }
    }

    /// Stops the build, whoever wants it. The first reason counts.
    pub(crate) fn stop(&self, why: Stopped) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(why);
            }
            first
        });
    }

    /// Waits until the build is to stop.
    pub(crate) async fn stopped(&self) -> Stopped {
        let mut stopped = self.stopped.subscribe();
        let why = stopped.wait_for(Option::is_some).await;
        why.ok().and_then(|why| *why).unwrap_or(Stopped::Cancelled)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn the_last_one_who_leaves_cancels() {
        let wants = Wants::new();
        wants.join();
        wants.join();
        wants.leave();
        assert_eq!(*wants.stopped.borrow(), None);
        wants.leave();
        assert_eq!(wants.stopped().await, Stopped::Cancelled);
    }

    #[tokio::test]
    async fn who_is_lost_and_stays_away_interrupts() {
        let wants = Wants::new();
        wants.join();
        wants.lose(SHORT).await;
        assert_eq!(wants.stopped().await, Stopped::Interrupted);
    }

    #[tokio::test]
    async fn who_comes_back_in_time_keeps_the_build() {
        let wants = Wants::new();
        wants.join();
        tokio::join!(wants.lose(SHORT), async {
            // At once after it was lost: both are polled in turn.
            assert!(wants.rejoin());
        });
        assert_eq!(*wants.stopped.borrow(), None);
        wants.leave();
        assert_eq!(wants.stopped().await, Stopped::Cancelled);
    }

    #[tokio::test]
    async fn who_comes_back_too_late_does_not_join_what_is_being_stopped() {
        let wants = Wants::new();
        wants.join();
        wants.lose(Duration::ZERO).await;
        assert!(!wants.rejoin());
        assert_eq!(wants.counts().present, 0);
        assert_eq!(wants.stopped().await, Stopped::Interrupted);
    }

    #[tokio::test]
    async fn another_reader_keeps_the_build_of_a_lost_client() {
        let wants = Wants::new();
        wants.join();
        wants.join();
        wants.lose(SHORT).await;
        assert_eq!(*wants.stopped.borrow(), None);
    }

    #[tokio::test]
    async fn a_reader_that_leaves_does_not_end_the_build_of_a_client_that_may_come_back() {
        let wants = Wants::new();
        wants.join();
        wants.join();
        tokio::join!(wants.lose(SHORT), async {
            // At once after it was lost: both are polled in turn.
            wants.leave();
            assert_eq!(*wants.stopped.borrow(), None);
        });
        assert_eq!(wants.stopped().await, Stopped::Interrupted);
    }
}
