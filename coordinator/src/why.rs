//! Why a step was not found in the cache: its key's preimage against that of the last step like it.
//!
//! A step's *family* is what it still has when its arguments change: the image, stage, place and instruction word. The store
//! remembers the last key of each family. Two preimages are compared field by field; where the field is a content digest, the
//! trees behind it are compared, which are kept beside the record, down to the first path that differs.

mod compare;
mod witness;

use farm_model::encoding::{self, Encoder};
use farm_model::event::MissReason;
use farm_model::{Stage, Step};
use farm_store::Store;

use crate::Error;
use crate::build::blocking;
use crate::key::{BASE, MOUNT_CONTENT, Preimage};
use crate::stage::Shared;

pub(crate) use witness::Witness;

/// Domain of the digests of families.
const DOMAIN: &str = "farm 2026-11 step family for misses v1";

/// What a step is called from build to build.
pub(crate) fn family(shared: &Shared, stage: &Stage, step: &Step) -> [u8; 32] {
    let word = step.name.split_whitespace().next().unwrap_or_default();
    let mut encoder = Encoder::new();
    // An image is known by its names; without them, by what its Dockerfile is called.
    encoder.list(&shared.request.families, |encoder, name| {
        encoder.str(name);
    });
    encoder.str(&stage.label()).str(&stage.platform.to_string()).u32(step.id.index).str(word);
    encoding::digest(DOMAIN, encoder.as_bytes())
}

/// What of a key is not known yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Open {
    Nothing,
    /// What the step stands on would have to run first.
    Base,
    /// And so would what its mounts show.
    BaseAndMounts,
}

impl Open {
    fn covers(self, field: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Base => field == BASE,
            Self::BaseAndMounts => field == BASE || field.starts_with(MOUNT_CONTENT),
        }
    }
}

/// Why there is no result for `preimage`, the most telling reason first. Empty only when everything but what is `open` is as
/// it was.
pub(crate) async fn reasons(
    shared: &Shared,
    stage: &Stage,
    step: &Step,
    preimage: &Preimage,
    open: Open,
) -> Result<Vec<MissReason>, Error> {
    if stage.no_cache {
        return Ok(vec![MissReason::Disabled]);
    }
    let family = family(shared, stage, step);
    let mut before =
        stage.steps.iter().filter(|other| other.id < step.id && other.op != farm_model::Op::Metadata);
    let now = compare::Now {
        preimage: preimage.clone(),
        witness: witness::of(shared, stage, step, preimage),
        before: before.next_back().map(|step| step.id),
        origin: compare::origin(shared, step),
    };
    let (store, scope) = (shared.farm.store.clone(), shared.farm.scope.clone());
    blocking(move || {
        let key = now.preimage.key();
        let Some(last) = store.last_step(&scope, &family)? else {
            return Ok(vec![MissReason::New]);
        };
        if open == Open::Nothing && last == key {
            return Ok(vec![MissReason::Lost]);
        }
        let encoded = store.preimage(&scope, &last)?;
        let Some(then) = encoded.and_then(|bytes| Preimage::decode(&bytes).ok()) else {
            return Ok(vec![MissReason::New]);
        };
        let witness = store.witness(&scope, &last)?.and_then(|bytes| Witness::decode(&bytes).ok());
        let reasons = compare::compare(&store, &then, &witness.unwrap_or_default(), &now, open);
        Ok(if open == Open::Nothing && reasons.is_empty() { vec![MissReason::New] } else { reasons })
    })
    .await
}

/// What is kept beside a record so that a later miss can be explained; its trees are put into the store.
pub(crate) fn keep(store: &Store, witness: &Witness) -> Result<(), Error> {
    for (_, tree) in &witness.trees {
        store.put_tree(tree)?;
    }
    Ok(())
}

/// The witness of a step that is about to be recorded.
pub(crate) fn witness(shared: &Shared, stage: &Stage, step: &Step, preimage: &Preimage) -> Witness {
    witness::of(shared, stage, step, preimage)
}
