//! One stage: its steps in order, each on top of what the ones before left.
//!
//! All stages start at once; a step that needs another stage or an image waits for just that. The result of a stage is
//! published when its last step is done, and whoever waits for it gets it. One that failed says why to the build alone: those
//! that wait for it are only cancelled, so that the reason is given once and in its own place.

mod memo;

use std::collections::BTreeMap;
use std::sync::Arc;

use farm_model::event::MissReason;
use farm_model::result::LayerRef;
use farm_model::{
    Base, BuildEvent, BuildGraph, BuildId, History, ImageId, OciDigest, Op, Stage, StageId, Step, StepDigest,
    StepId,
};
use farm_oci::LayerDescriptor;
use farm_proto::client::Goal;
use farm_tree::Tree;
use tokio::sync::{OnceCell, watch};

use crate::base::Known;
use crate::build::{Farm, now};
use crate::context::Contexts;
use crate::report::Reporter;
use crate::{Error, Request, base, step};

pub(crate) use memo::Memo;

/// What a stage has come to.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<ChainLayer>,
    /// What they give when they are merged.
    pub(crate) merged: Tree,
    /// An entry an instruction, those of the base first.
    pub(crate) history: Vec<History>,
}

/// A layer of a stage.
#[derive(Clone, Debug)]
pub(crate) struct ChainLayer {
    pub(crate) layer: LayerRef,
    /// How the registry has it, for a layer of the base image.
    pub(crate) base: Option<LayerDescriptor>,
}

impl State {
    fn empty() -> Self {
        Self { layers: Vec::new(), merged: Tree::empty(), history: Vec::new() }
    }

    /// The layers without where they came from.
    pub(crate) fn layer_refs(&self) -> Vec<LayerRef> {
        self.layers.iter().map(|layer| layer.layer).collect()
    }
}

/// How far a stage is, for those who wait for it.
#[derive(Clone, Debug)]
enum Progress {
    Running,
    Done(Arc<State>),
    /// It would run, and nothing is to run: nobody knows what it comes to.
    Unknown,
    /// Why is reported once, by the stage itself.
    Failed,
}

/// Everything that the stages of one build share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) farm: Arc<Farm>,
    pub(crate) build: BuildId,
    pub(crate) request: Arc<Request>,
    pub(crate) graph: BuildGraph,
    pub(crate) contexts: Contexts,
    pub(crate) reporter: Reporter,
    resolved: BTreeMap<ImageId, Arc<Known>>,
    images: BTreeMap<ImageId, OnceCell<Arc<State>>>,
    stages: BTreeMap<StageId, watch::Sender<Progress>>,
}

impl Shared {
    pub(crate) fn new(
        farm: Arc<Farm>,
        request: Arc<Request>,
        plan: crate::plan::Plan,
        contexts: Contexts,
        reporter: Reporter,
    ) -> Self {
        let images =
            (0..).map(ImageId).zip(&plan.graph.images).map(|(id, _)| (id, OnceCell::new())).collect();
        let stages =
            plan.graph.stages.iter().map(|stage| (stage.id, watch::Sender::new(Progress::Running))).collect();
        // Events that go to no log are of no build that anybody could name.
        let build = reporter.build().unwrap_or_else(|| BuildId(now().to_be_bytes()));
        let (graph, resolved) = (plan.graph, plan.resolved);
        Self { farm, build, request, graph, contexts, reporter, resolved, images, stages }
    }

    /// The result of a stage, once there is one; [`Error::Cancelled`] when it failed.
    pub(crate) async fn stage(&self, id: StageId) -> Result<Arc<State>, Error> {
        let stage = self.stages.get(&id).ok_or_else(|| Error::NotPlanned(format!("stage {}", id.0)))?;
        let mut progress = stage.subscribe();
        let ended = progress.wait_for(|progress| !matches!(progress, Progress::Running)).await;
        match ended.as_deref() {
            Ok(Progress::Done(result)) => Ok(Arc::clone(result)),
            Ok(Progress::Unknown) => Err(Error::WouldRun),
            Ok(Progress::Running | Progress::Failed) | Err(_) => Err(Error::Cancelled),
        }
    }

    /// Name and manifest of an image that some stage starts from.
    pub(crate) fn base_of(&self, id: ImageId) -> Option<(String, Option<OciDigest>)> {
        let image = usize::try_from(id.0).ok().and_then(|index| self.graph.images.get(index))?;
        let manifest = self.resolved.get(&id).and_then(|known| known.manifest());
        Some((image.source.to_string(), manifest))
    }

    /// An image, pulled when it is asked for first.
    pub(crate) async fn image(&self, id: ImageId) -> Result<Arc<State>, Error> {
        let index = usize::try_from(id.0).unwrap_or(usize::MAX);
        let (Some(cell), Some(image)) = (self.images.get(&id), self.graph.images.get(index)) else {
            return Err(Error::NotPlanned(format!("image {}", id.0)));
        };
        let pull = async {
            let resolved = match self.resolved.get(&id) {
                Some(resolved) => Arc::clone(resolved),
                None => base::resolve(&self.farm, &self.request, image, &self.reporter).await?,
            };
            base::pull(&self.farm, &self.request, image, &resolved, &self.reporter).await.map(Arc::new)
        };
        cell.get_or_try_init(|| pull).await.cloned()
    }

    /// Runs a stage and publishes what it came to.
    pub(crate) async fn run(&self, stage: &Stage) -> Result<(), Error> {
        let result = self.steps(stage).await;
        let (progress, result) = match result {
            Ok(result) => (Progress::Done(Arc::new(result)), Ok(())),
            Err(Error::WouldRun) => (Progress::Unknown, Ok(())),
            Err(error) => (Progress::Failed, Err(error)),
        };
        if let Some(published) = self.stages.get(&stage.id) {
            published.send_replace(progress);
        }
        result
    }

    async fn steps(&self, stage: &Stage) -> Result<State, Error> {
        let mut so_far = match self.start(stage).await {
            Err(Error::WouldRun) => {
                let before = match &stage.base {
                    Base::Stage(base) => self.last_step(*base),
                    Base::Scratch | Base::Image(_) | Base::Context(_) => None,
                };
                return Err(self.would_run(stage, &stage.steps, before, &State::empty()).await);
            }
            started => started?,
        };
        for (index, step) in stage.steps.iter().enumerate() {
            if self.request.goal == Goal::Plan
                && let Some(unknown) = self.waits_for_unknown(step).await?
            {
                return Err(self.would_run(stage, &stage.steps[index..], Some(unknown), &so_far).await);
            }
            match self.step(stage, step, &mut so_far).await {
                // Its own miss is reported already.
                Err(Error::WouldRun) => {
                    return Err(self
                        .would_run(stage, &stage.steps[index + 1..], Some(step.id), &so_far)
                        .await);
                }
                done => done.map_err(|error| error.in_step(step))?,
            }
        }
        Ok(so_far)
    }

    /// The last step of a stage that would run and that `step` reads, if it reads one.
    async fn waits_for_unknown(&self, step: &Step) -> Result<Option<StepId>, Error> {
        for stage in step.op.stages() {
            match self.stage(stage).await {
                Ok(_) => {}
                Err(Error::WouldRun) => return Ok(Some(self.last_step(stage).unwrap_or(step.id))),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The step that a stage ends with; of one without steps, that of the stage it starts from.
    fn last_step(&self, mut id: StageId) -> Option<StepId> {
        loop {
            let stage = self.graph.stage(id)?;
            if let Some(step) = stage.steps.iter().rfind(|step| step.op != Op::Metadata) {
                return Some(step.id);
            }
            match &stage.base {
                Base::Stage(base) => id = *base,
                Base::Scratch | Base::Image(_) | Base::Context(_) => return None,
            }
        }
    }

    /// Reports steps of a plan whose keys cannot be known, since what they stand on would have to run first: what can be
    /// told of them all the same, then that.
    async fn would_run(
        &self,
        stage: &Stage,
        steps: &[Step],
        mut before: Option<StepId>,
        so_far: &State,
    ) -> Error {
        for step in steps.iter().filter(|step| step.op != Op::Metadata) {
            let mut reasons = step::foresee(self, stage, step, so_far).await;
            reasons.push(MissReason::Parent { step: before, first: None });
            let key = StepDigest([0; 32]);
            self.reporter.send(BuildEvent::Missed { step: step.id, key, reasons }).await;
            before = Some(step.id);
        }
        Error::WouldRun
    }

    async fn start(&self, stage: &Stage) -> Result<State, Error> {
        match &stage.base {
            Base::Scratch => Ok(State::empty()),
            Base::Stage(id) => Ok(State::clone(&*self.stage(*id).await?)),
            Base::Image(id) => Ok(State::clone(&*self.image(*id).await?)),
            Base::Context(context) => step::context_base(self, context).await,
        }
    }

    async fn step(&self, stage: &Stage, step: &Step, so_far: &mut State) -> Result<(), Error> {
        let done = match &step.op {
            Op::Metadata => step::Done::default(),
            Op::Run(run) => step::run::run(self, stage, step, run, so_far).await?,
            Op::Copy(copy) => step::copy::copy(self, stage, step, copy, so_far).await?,
            Op::Workdir(workdir) => step::workdir::workdir(self, stage, step, workdir, so_far).await?,
        };
        so_far.history.push(History {
            // What only changes metadata is as old as what it stands on.
            created: done.created.or_else(|| so_far.history.last()?.created),
            created_by: step.created_by.clone(),
            comment: "farm".to_owned(),
            author: step.author.clone(),
            empty_layer: done.layer.is_none(),
        });
        if let Some(layer) = done.layer {
            so_far.merged = step::lay(&self.farm, &so_far.merged, &layer).await?;
            so_far.layers.push(ChainLayer { layer, base: None });
        }
        Ok(())
    }
}
