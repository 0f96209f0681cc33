//! Whoever waits for a machine outside says so, before its deadline has passed in silence.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::report::Reporter;

/// How long nothing may happen before something is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// What changes while something goes on; equal for as long as nothing happens.
pub(crate) trait Progress: Sync {
    /// A number for where it stands; none while nobody outside is waited for.
    fn stands(&self) -> Option<u64>;
}

/// A short exchange: nothing changes before its end.
pub(crate) struct Exchange;

impl Progress for Exchange {
    fn stands(&self) -> Option<u64> {
        Some(0)
    }
}

/// Parts on their way, each of a known size.
#[derive(Debug, Default)]
pub(crate) struct Parts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    moved: u64,
    /// By part: bytes that are still to come.
    open: std::collections::BTreeMap<usize, u64>,
    seen: bool,
}

impl Parts {
    /// So many bytes of a part are still to come.
    pub(crate) fn left(&self, part: usize, bytes: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved += 1;
        state.seen = true;
        if bytes == 0 {
            state.open.remove(&part);
        } else {
            state.open.insert(part, bytes);
        }
    }
}

impl Progress for Parts {
    fn stands(&self) -> Option<u64> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Once every part that began is here, what takes its time is done by us.
        (!state.seen || !state.open.is_empty()).then_some(state.moved)
    }
}

/// Runs `work`, and tells the log of the build that `what` is waited for while nothing happens.
pub(crate) async fn told<T>(
    reporter: &Reporter,
    what: &str,
    progress: &dyn Progress,
    work: impl Future<Output = T>,
) -> T {
    told_after(PATIENCE, reporter, what, progress, work).await
}

async fn told_after<T>(
    patience: Duration,
    reporter: &Reporter,
    what: &str,
    progress: &dyn Progress,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    let (mut stood, mut silent) = (progress.stands(), Duration::ZERO);
    loop {
        if let Ok(result) = timeout(patience, &mut work).await {
            return result;
        }
        let stands = progress.stands();
        silent = if stands.is_some() && stands == stood { silent + patience } else { Duration::ZERO };
        stood = stands;
        if !silent.is_zero() {
            reporter.warn(format!("still waiting for {what}: nothing came for {} s", silent.as_secs())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use farm_model::BuildEvent;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn silence_is_told_of_until_it_ends() {
        let (events, mut heard) = mpsc::channel(1);
        let reporter = Reporter::new(events);
        let (end, ended) = oneshot::channel();
        let patience = Duration::from_millis(1);
        let told = told_after(patience, &reporter, "a registry", &Exchange, ended);
        let listening = async {
            let Some(BuildEvent::Warned { message }) = heard.recv().await else { panic!("nothing was said") };
            assert!(message.contains("a registry"), "{message}");
            end.send(()).unwrap();
            heard.close();
        };
        let (result, ()) = tokio::join!(told, listening);
        result.unwrap();
    }

    #[test]
    fn nobody_is_waited_for_once_what_began_is_here() {
        let parts = Parts::default();
        let before = parts.stands();
        assert!(before.is_some());
        parts.left(0, 5);
        assert!(parts.stands().is_some() && parts.stands() != before);
        parts.left(0, 0);
        assert_eq!(parts.stands(), None);
    }
}
