//! One build, from top to bottom: request, plan, stages, image, outputs, names.

use std::sync::Arc;

use farm_model::OciDigest;
use farm_proto::client::{BuildRequest, Goal};
use tokio::task::JoinSet;

use crate::build::Farm;
use crate::builds::Running;
use crate::context::Contexts;
use crate::output::Outputs;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::stage::Shared;
use crate::{Error, Request, Session, image, images, plan};

/// How often a build starts over because layers were lost that it had counted on.
const RESTARTS: usize = 3;

/// A build whose graph is known.
struct Build<'a> {
    farm: &'a Arc<Farm>,
    running: &'a Running,
    session: Session,
    request: Arc<Request>,
    asked: &'a BuildRequest,
    plan: Plan,
    contexts: Contexts,
    reporter: &'a Reporter,
}

/// Builds what `asked` asks for. Dropping the future cancels the build; finished steps stay recorded.
pub(crate) async fn run(
    farm: &Arc<Farm>,
    running: &Running,
    asked: &BuildRequest,
    reporter: &Reporter,
) -> Result<Option<OciDigest>, Error> {
    let session = running.session();
    let request = Arc::new(Request::new(asked, session.clone()));
    let plan = plan::plan(farm, &request, reporter).await?;
    let contexts = Contexts::new(session.clone(), reporter.clone(), &plan.graph);
    let build = Build { farm, running, session, request, asked, plan, contexts, reporter };
    for _ in 0..RESTARTS {
        match build.attempt().await {
            // What was finished is found in the cache, but for what was lost.
            Err(error) if matches!(error.cause(), Error::LayerLost(_)) => {
                tracing::warn!(build = %running.build, %error, "the build starts over");
                reporter.warn(format!("{}: what made them runs again", error.cause())).await;
            }
            result => return result,
        }
    }
    build.attempt().await
}

impl Build<'_> {
    async fn attempt(&self) -> Result<Option<OciDigest>, Error> {
        let Self { farm, plan, reporter, .. } = self;
        farm.dispatch.build_started(self.running.build, farm.scope.clone(), &plan.graph);
        let shared = Arc::new(Shared::new(
            Arc::clone(farm),
            Arc::clone(&self.request),
            plan.clone(),
            self.contexts.clone(),
            (*reporter).clone(),
        ));
        run_stages(&shared).await?;
        if self.asked.goal == Goal::Plan {
            return Ok(None);
        }
        let finished = image::assemble(&shared).await?;
        reporter.send(finished.event.clone()).await;
        images::budget::check(farm, &finished, self.asked, reporter).await?;
        let outputs = Outputs {
            farm,
            session: &self.session,
            reporter,
            finished: &finished,
            source_date_epoch: plan.source_date_epoch,
        };
        let image = outputs.write_all(self.asked).await?;
        if !self.asked.names.is_empty() {
            images::record(&shared, &finished, &self.asked.names, self.running.build, image).await?;
        }
        Ok(image)
    }
}

/// Runs every stage; the first failure ends the others. What a worker has finished by then is still recorded: that part of
/// a step runs where it cannot be aborted.
async fn run_stages(shared: &Arc<Shared>) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    for stage in shared.graph.stages.clone() {
        let shared = Arc::clone(shared);
        tasks.spawn(async move { shared.run(&stage).await });
    }
    let mut ended = Ok(());
    while let Some(done) = tasks.join_next().await {
        let result = match done {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(Error::Cancelled),
            Err(panic) => Err(Error::Panicked(panic.to_string())),
        };
        match (&ended, &result) {
            // A stage that waited for one that failed may be heard first; it does not know why.
            (Ok(()), Err(Error::Cancelled)) => ended = result,
            (Ok(()) | Err(Error::Cancelled), Err(failure)) if !matches!(failure, Error::Cancelled) => {
                ended = result;
                tasks.abort_all();
            }
            _ => {}
        }
    }
    ended
}
