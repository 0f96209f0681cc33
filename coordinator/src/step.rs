//! What all steps have in common: look the key up, else do the work, adopt what came first, and record it.

pub(crate) mod copy;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod workdir;

use std::sync::Arc;

use farm_model::event::MissReason;
use farm_model::op::Origin;
use farm_model::result::LayerRef;
use farm_model::{ContextName, Op, Stage, Step};
use farm_tree::Tree;

use crate::Error;
use crate::build::{Farm, blocking};
use crate::context::{Attempts, Ingest};
use crate::stage::{ChainLayer, Shared, State};
use crate::why::{self, Open};

/// What a step left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// The layer it made, or that was adopted in its place.
    pub(crate) layer: Option<LayerRef>,
    /// When the layer was made; none for a step that only changes metadata.
    pub(crate) created: Option<i64>,
}

/// A stack of layers that a step reads.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) layers: Vec<LayerRef>,
    pub(crate) merged: Tree,
}

/// Why a step of a plan would run as far as that can be told although what it stands on would run first; `so_far` is what
/// is known of the stage. What cannot be told is no reason to fail a plan.
pub(crate) async fn foresee(shared: &Shared, stage: &Stage, step: &Step, so_far: &State) -> Vec<MissReason> {
    let foreseen = async {
        let (preimage, open) = match &step.op {
            Op::Metadata => return Ok(Vec::new()),
            Op::Run(run) => run::foresee(shared, stage, run, so_far).await?,
            Op::Copy(copy) => match copy::foresee(shared, stage, copy, so_far).await? {
                Some(preimage) => (preimage, Open::Base),
                None => return Ok(Vec::new()),
            },
            Op::Workdir(workdir) => (workdir::preimage(stage, workdir, so_far), Open::Base),
        };
        why::reasons(shared, stage, step, &preimage, open).await
    };
    let foreseen: Result<_, Error> = foreseen.await;
    foreseen.unwrap_or_default()
}

/// The stack that `origin` stands for. Of a context only the tree is there, not yet the bytes.
pub(crate) async fn stack(shared: &Shared, origin: &Origin) -> Result<Stack, Error> {
    let of_state = |state: &State| Stack { layers: state.layer_refs(), merged: state.merged.clone() };
    match origin {
        Origin::Stage(id) => Ok(of_state(&*shared.stage(*id).await?)),
        Origin::Image(id) => Ok(of_state(&*shared.image(*id).await?)),
        Origin::Scratch => Ok(Stack { layers: Vec::new(), merged: Tree::empty() }),
        Origin::Context(context) => {
            let merged = shared.contexts.tree(&shared.farm, context).await?;
            Ok(Stack { layers: Vec::new(), merged })
        }
    }
}

/// The merged tree of `below` under the layer named `layer`; kept in the store.
pub(crate) async fn lay(farm: &Arc<Farm>, below: &Tree, layer: &LayerRef) -> Result<Tree, Error> {
    // A cached build does nothing but this and look-ups: what is known costs it no other thread.
    if let Some(known) = farm.memo.known(&farm.store, below, layer) {
        return Ok(known);
    }
    let (farm, below, layer) = (Arc::clone(farm), below.clone(), *layer);
    blocking(move || farm.memo.lay(&farm.store, &below, &layer)).await
}

/// A stage that starts from a local directory: all of it as one layer.
pub(crate) async fn context_base(shared: &Shared, context: &ContextName) -> Result<State, Error> {
    let mut attempts = Attempts::new();
    loop {
        let tree = shared.contexts.tree(&shared.farm, context).await?;
        if shared.contexts.ingest(&shared.farm, context, &tree, &tree).await? == Ingest::Changed {
            attempts.again(context)?;
            continue;
        }
        let store = shared.farm.store.clone();
        let layered = tree.clone();
        let layer = blocking(move || Ok(store.put_tree(&layered)?)).await?;
        let layers = vec![ChainLayer { layer, base: None }];
        let history = vec![farm_model::History {
            created: None,
            created_by: format!("FROM {context}"),
            comment: "farm".to_owned(),
            author: None,
            empty_layer: false,
        }];
        return Ok(State { layers, merged: tree, history });
    }
}
