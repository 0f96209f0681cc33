//! From a request to a closed graph: parse, lower, resolve the base images that decide what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farm_dockerfile::lower;
use farm_model::event::PlannedStep;
use farm_model::graph::Image;
use farm_model::{Base, BuildEvent, BuildGraph, ImageId, Op};
use tokio::task::JoinSet;

use crate::base::Known;
use crate::build::Farm;
use crate::report::Reporter;
use crate::{Error, Request, base};

/// A build that is ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) graph: BuildGraph,
    /// What is known of the source images; those that only `COPY` reads are resolved later.
    pub(crate) resolved: BTreeMap<ImageId, Arc<Known>>,
    /// Seconds since the Unix epoch that all times of the image are set to.
    pub(crate) source_date_epoch: Option<i64>,
}

/// Plans `request`.
pub(crate) async fn plan(
    farm: &Arc<Farm>,
    request: &Arc<Request>,
    reporter: &Reporter,
) -> Result<Plan, Error> {
    let mut prepared = lower::prepare_source(&request.dockerfile, request.options.clone())?;
    let mut known: BTreeMap<usize, (Image, Arc<Known>)> = BTreeMap::new();
    loop {
        let wanted: Vec<Image> = prepared.wanted().to_vec();
        if wanted.is_empty() {
            break;
        }
        let wanted = wanted.into_iter().map(|image| (prepared.lines_of(&image), image)).collect();
        for (image, resolved) in resolve_all(farm, request, wanted, reporter).await? {
            let (wanted, got) = (&image.platform, &resolved.config().platform);
            if (&wanted.os, &wanted.architecture) != (&got.os, &got.architecture) {
                reporter.warn(format!("{}: the image is for {got}, not for {wanted}", image.source)).await;
            }
            prepared.provide(&image, resolved.config().clone())?;
            known.insert(known.len(), (image, resolved));
        }
    }
    let lowered = prepared.finish()?;
    for warning in &lowered.warnings {
        reporter.warn(place(request, warning)).await;
    }
    let find = |image: &Image| {
        known.values().find(|(known, _)| known == image).map(|(_, resolved)| Arc::clone(resolved))
    };
    let resolved = (0..)
        .map(ImageId)
        .zip(&lowered.graph.images)
        .filter_map(|(id, image)| Some((id, find(image)?)))
        .collect();
    reporter.send(BuildEvent::Planned { steps: planned(&lowered.graph) }).await;
    Ok(Plan { graph: lowered.graph, resolved, source_date_epoch: lowered.source_date_epoch })
}

/// Lines of the Dockerfile.
type Lines = Option<(u32, u32)>;

/// Resolves several images at once.
async fn resolve_all(
    farm: &Arc<Farm>,
    request: &Arc<Request>,
    images: Vec<(Lines, Image)>,
    reporter: &Reporter,
) -> Result<Vec<(Image, Arc<Known>)>, Error> {
    let mut tasks = JoinSet::new();
    for (lines, image) in images {
        let (farm, request, reporter) = (Arc::clone(farm), Arc::clone(request), reporter.clone());
        tasks.spawn(async move {
            let resolved = base::resolve(&farm, &request, &image, &reporter).await.map_err(|source| {
                Error::Step { step: format!("FROM {}", image.source), lines, source: Box::new(source) }
            })?;
            Ok::<_, Error>((image, resolved))
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done.map_err(|panic| Error::Panicked(panic.to_string()))??);
    }
    Ok(all)
}

/// The steps that can run or be cached.
fn planned(graph: &BuildGraph) -> Vec<PlannedStep> {
    let mut all = Vec::new();
    for stage in &graph.stages {
        let mut base = match &stage.base {
            Base::Stage(id) => Some(*id),
            Base::Scratch | Base::Image(_) | Base::Context(_) => None,
        };
        for step in stage.steps.iter().filter(|step| step.op != Op::Metadata) {
            let needs: BTreeSet<_> = base.take().into_iter().chain(step.op.stages()).collect();
            all.push(PlannedStep {
                id: step.id,
                stage: stage.label(),
                name: step.name.clone(),
                lines: step.lines,
                needs: needs.into_iter().collect(),
            });
        }
    }
    all
}

fn place(request: &Request, warning: &farm_dockerfile::Diagnostic) -> String {
    format!("{}:{}: {}", request.dockerfile_name, warning.span.line, warning.message)
}
