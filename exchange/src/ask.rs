//! Asks several sources for many things: one after the other for what is still missing, each on a few streams at once.

use std::collections::VecDeque;
use std::fmt::Display;

use farm_model::{BlobDigest, DirectoryDigest, LayerDigest};
use farm_proto::blob::{Fetch, MOST_ITEMS};
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use crate::keep::Keep;
use crate::take::{Patience, Taken, take};
use crate::{Error, Source};

/// Streams on which one source answers at the same time.
const STREAMS: usize = 4;
/// Bytes that one question asks for, unless a single thing has more.
const BATCH_BYTES: u64 = 16 << 20;
/// How often an answer may end early before the source is passed over.
const MOST_FAILURES: usize = 8;

/// Something that is asked for by name.
pub(crate) trait Name: Copy + Display + Send + Sync + 'static {
    /// The question.
    fn fetch(names: Vec<Self>) -> Fetch;

    /// Bytes of the answer, as far as the name tells.
    fn bytes(&self) -> u64;
}

impl Name for LayerDigest {
    fn fetch(layers: Vec<Self>) -> Fetch {
        Fetch::Trees { layers }
    }

    fn bytes(&self) -> u64 {
        0
    }
}

impl Name for DirectoryDigest {
    fn fetch(digests: Vec<Self>) -> Fetch {
        Fetch::Records { digests }
    }

    /// A directory of some ten files.
    fn bytes(&self) -> u64 {
        4096
    }
}

impl Name for BlobDigest {
    fn fetch(blobs: Vec<Self>) -> Fetch {
        Fetch::Blobs { blobs }
    }

    fn bytes(&self) -> u64 {
        self.size
    }
}

/// What could be had.
#[derive(Debug)]
pub(crate) struct Answered<N> {
    /// No source had it.
    pub(crate) missing: Vec<N>,
    /// Bytes that arrived and were kept.
    pub(crate) bytes: u64,
}

/// Asks each of `from` in turn for what those before it did not have.
pub(crate) async fn ask<N: Name>(
    wanted: Vec<N>,
    keep: &Keep<N>,
    from: &[Source],
) -> Result<Answered<N>, Error> {
    let mut answered = Answered { missing: wanted, bytes: 0 };
    for source in from {
        if answered.missing.is_empty() {
            break;
        }
        let batches = batches(std::mem::take(&mut answered.missing));
        let answers = futures_util::stream::iter(batches).map(|batch| ask_for_batch(batch, keep, source));
        let answers: Vec<Answered<N>> = answers.buffer_unordered(STREAMS).try_collect().await?;
        for answer in answers {
            answered.bytes += answer.bytes;
            answered.missing.extend(answer.missing);
        }
    }
    Ok(answered)
}

fn batches<N: Name>(wanted: Vec<N>) -> Vec<Vec<N>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0u64;
    for name in wanted {
        if !batch.is_empty()
            && (batch.len() == MOST_ITEMS || bytes.saturating_add(name.bytes()) > BATCH_BYTES)
        {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes = bytes.saturating_add(name.bytes());
        batch.push(name);
    }
    batches.extend((!batch.is_empty()).then_some(batch));
    batches
}

/// Asks one source until it has answered, or has shown that it will not.
async fn ask_for_batch<N: Name>(
    batch: Vec<N>,
    keep: &Keep<N>,
    source: &Source,
) -> Result<Answered<N>, Error> {
    let mut answered = Answered { missing: Vec::new(), bytes: 0 };
    let mut wanted = VecDeque::from(batch);
    let mut failures = 0;
    while !wanted.is_empty() {
        if failures == MOST_FAILURES || source.is_gone() {
            answered.missing.extend(wanted);
            break;
        }
        let asked = wanted.len();
        let names: Vec<N> = wanted.into();
        let receiver = match source.ask(N::fetch(names.clone())).await {
            Ok(receiver) => receiver,
            Err(error) => {
                let reason = farm_model::causes(&error);
                tracing::warn!(source = source.name(), reason, "a source cannot be asked");
                answered.missing.extend(names);
                break;
            }
        };
        let taken = take(receiver, names, keep.clone(), Patience::Short).await?;
        report(source, &taken);
        answered.bytes += taken.bytes;
        answered.missing.extend(taken.absent);
        answered.missing.extend(taken.corrupt);
        wanted = taken.unanswered.into();
        if wanted.len() < asked {
            failures += usize::from(!wanted.is_empty());
        } else {
            // It ended at the first item: the rest may still be had.
            failures += 1;
            answered.missing.extend(wanted.pop_front());
        }
    }
    Ok(answered)
}

fn report<N: Name>(source: &Source, taken: &Taken<N>) {
    let source = source.name();
    for name in &taken.corrupt {
        tracing::warn!(source, %name, "a source sent bytes that are not what they should be");
    }
    if let (Some(name), false) = (taken.unanswered.first(), taken.unanswered.is_empty()) {
        let reason = taken.broken.as_ref().map(|error| farm_model::causes(error));
        tracing::warn!(source, %name, reason, "a source did not answer to the end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_in_number_and_bytes_and_lose_nothing() {
        let blob = |size| BlobDigest { hash: [0; 32], size };
        let many = batches(vec![blob(1); MOST_ITEMS * 2 + 1]);
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [MOST_ITEMS, MOST_ITEMS, 1]);
        let large = batches(vec![blob(1), blob(BATCH_BYTES), blob(u64::MAX), blob(u64::MAX), blob(2)]);
        assert_eq!(large.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1, 1]);
        assert!(batches::<BlobDigest>(Vec::new()).is_empty());
    }
}
