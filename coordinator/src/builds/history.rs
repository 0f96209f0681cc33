//! Logs of builds in the store, each beside what a list says of it.

use std::sync::Arc;

use farm_model::encoding::{Decoder, Encoder, Malformed};
use farm_model::event::encoding;
use farm_model::{BuildId, Recorded};
use farm_proto::client::{BuildState, BuildSummary};
use farm_store::{Store, Sync};

use crate::Error;
use crate::build::blocking;
use crate::builds::log::{self, Numbered};
use crate::builds::summary::Fold;

/// How many events are read from the store at once.
const CHUNK: usize = 1024;
/// The layout of a summary's bytes.
const VERSION: u8 = 2;
/// The layout that did not say who asked.
const WITHOUT_CLIENT: u8 = 1;

/// The right to append to a log.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<()>;

/// The logs that a store keeps.
#[derive(Clone)]
pub(crate) struct History {
    store: Store,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

/// A log that goes on.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// How many events it has.
    pub(crate) events: u64,
    /// Time of the last.
    pub(crate) last_at: u64,
    /// What they add up to.
    pub(crate) fold: Fold,
}

impl History {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Keeps the events of `build` from the position `from` on. It goes on when the future is dropped, and keeps its turn
    /// until it is done.
    pub(crate) async fn append(
        &self,
        build: BuildId,
        from: u64,
        events: Vec<Arc<[u8]>>,
        summary: BuildSummary,
        turn: Turn,
    ) -> Result<Turn, Error> {
        let store = self.store.clone();
        blocking(move || {
            let events: Vec<_> = events.iter().map(|event| event.to_vec()).collect();
            // What is lost in a power cut is the end of a log; a build that waits for the disk would cost every one of them.
            store.append_events(&build, from, &events, &encode(&summary), Sync::Later)?;
            Ok(turn)
        })
        .await
    }

    /// Events from the position `from` on; none at the end of the log.
    pub(crate) async fn read(&self, build: BuildId, from: u64) -> Result<Vec<Numbered>, Error> {
        let store = self.store.clone();
        let events = blocking(move || Ok(store.events(&build, from, CHUNK)?)).await?;
        Ok(log::handful(from, events.into_iter().map(|(_, event)| Arc::from(event))))
    }

    /// Events from the position `from` on that are no output of a step, and the position after everything that was looked
    /// at: that is `from` at the end of the log.
    pub(crate) async fn facts(&self, build: BuildId, from: u64) -> Result<(Vec<Numbered>, u64), Error> {
        let mut events = self.read(build, from).await?;
        let next = events.last().map_or(from, |(last, _)| last.saturating_add(1));
        events.retain(|(_, event)| !encoding::is_logged(event));
        Ok((events, next))
    }

    /// How many events the log of `build` has.
    pub(crate) async fn count(&self, build: BuildId) -> Result<u64, Error> {
        let store = self.store.clone();
        blocking(move || Ok(store.event_count(&build)?)).await
    }

    /// Whether there is a log of `build`.
    pub(crate) async fn is_known(&self, build: BuildId) -> Result<bool, Error> {
        Ok(self.count(build).await? > 0)
    }

    /// The whole log of `build` so far; none when there is none.
    pub(crate) async fn past(&self, build: BuildId) -> Result<Option<Past>, Error> {
        let store = self.store.clone();
        blocking(move || {
            let mut past = Past { events: 0, last_at: 0, fold: Fold::new(build) };
            loop {
                let events = store.events(&build, past.events, CHUNK)?;
                if events.is_empty() {
                    return Ok((past.events > 0).then_some(past));
                }
                for (number, event) in events {
                    past.events = number.saturating_add(1);
                    // What cannot be read says nothing, and is no reason not to go on.
                    if let Ok(Recorded { at, event }) = encoding::decode(&event) {
                        past.last_at = past.last_at.max(at);
                        past.fold.add(&Recorded { at, event });
                    }
                }
            }
        })
        .await
    }

    /// What is known of every build, in no order. One that was running when its coordinator ended is interrupted.
    pub(crate) async fn list(&self) -> Result<Vec<BuildSummary>, Error> {
        let store = self.store.clone();
        blocking(move || {
            let mut all = Vec::new();
            for (build, bytes) in store.builds()? {
                let Ok(mut summary) = decode(build, &bytes) else { continue };
                if summary.state == BuildState::Running {
                    summary.state = BuildState::Interrupted;
                }
                all.push(summary);
            }
            Ok(all)
        })
        .await
    }

    /// Forgets a build.
    pub(crate) async fn remove(&self, build: BuildId) -> Result<(), Error> {
        let store = self.store.clone();
        blocking(move || Ok(store.remove_build(&build)?)).await
    }
}

fn encode(summary: &BuildSummary) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let state = match summary.state {
        BuildState::Running => 0,
        BuildState::Succeeded => 1,
        BuildState::Failed => 2,
        BuildState::Cancelled => 3,
        BuildState::Interrupted => 4,
    };
    encoder.u8(VERSION).i64(summary.started).u64(summary.micros).u8(state);
    encoder.str(&summary.dockerfile).str(&summary.context);
    encoder.option(summary.target.as_deref(), |encoder, target| {
        encoder.str(target);
    });
    encoder.list(&summary.names, |encoder, name| {
        encoder.str(name);
    });
    encoder.u32(summary.steps).u32(summary.cached).u32(summary.done);
    encoder.option(summary.image_bytes, |encoder, bytes| {
        encoder.u64(bytes);
    });
    encoder.str(&summary.client);
    encoder.into_bytes()
}

fn decode(build: BuildId, bytes: &[u8]) -> Result<BuildSummary, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let version = decoder.u8()?;
    if !matches!(version, VERSION | WITHOUT_CLIENT) {
        return Err(decoder.malformed("the version of the summary is not known here"));
    }
    let (started, micros) = (decoder.i64()?, decoder.u64()?);
    let state = match decoder.u8()? {
        0 => BuildState::Running,
        1 => BuildState::Succeeded,
        2 => BuildState::Failed,
        3 => BuildState::Cancelled,
        4 => BuildState::Interrupted,
        _ => return Err(decoder.malformed("the state is not known here")),
    };
    let (dockerfile, context) = (decoder.str()?.to_owned(), decoder.str()?.to_owned());
    let target = decoder.option(|decoder| Ok(decoder.str()?.to_owned()))?;
    let names = decoder.list(|decoder| Ok(decoder.str()?.to_owned()))?;
    let (steps, cached, done) = (decoder.u32()?, decoder.u32()?, decoder.u32()?);
    let image_bytes = decoder.option(Decoder::u64)?;
    let client = if version == WITHOUT_CLIENT { String::new() } else { decoder.str()?.to_owned() };
    decoder.finish()?;
    Ok(BuildSummary {
        build,
        started,
        micros,
        state,
        dockerfile,
        context,
        target,
        names,
        steps,
        cached,
        done,
        image_bytes,
        client,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_round_trips() {
        let summary = BuildSummary {
            build: BuildId([7; 8]),
            started: -1,
            micros: 2,
            state: BuildState::Interrupted,
            dockerfile: "Dockerfile".to_owned(),
            context: ".".to_owned(),
            target: Some("t".to_owned()),
            names: vec!["a".to_owned(), "b".to_owned()],
            steps: 3,
            cached: 1,
            done: 2,
            image_bytes: Some(4),
            client: "ci".to_owned(),
        };
        let bytes = encode(&summary);
        assert_eq!(decode(summary.build, &bytes).unwrap(), summary);
        for cut in 0..bytes.len() {
            assert!(decode(summary.build, &bytes[..cut]).is_err());
        }
        // What was kept before the client was part of it.
        let mut old = bytes[..bytes.len() - "ci".len() - 8].to_vec();
        old[0] = WITHOUT_CLIENT;
        let read = decode(summary.build, &old).unwrap();
        assert_eq!(read, BuildSummary { client: String::new(), ..summary });
    }
}
