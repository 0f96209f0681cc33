//! A build's task: runs it, keeps its log, and ends it in every case.

use std::sync::Arc;

use farm_model::event::Ending;
use farm_proto::client::BuildRequest;
use tokio::task::JoinSet;

use crate::build::{self, Farm};
use crate::builds::{Running, Stopped};
use crate::report::Reporter;
use crate::{Error, diagnosis};

/// Drives a build that was admitted until it has ended.
pub(crate) async fn drive(farm: Arc<Farm>, running: Arc<Running>, request: BuildRequest) {
    // Until everything is recorded, no prune takes what the build has looked at.
    let _kept = farm.store.begin();
    let (build, log) = (running.build, Arc::clone(&running.log));
    let (name, source) = (request.dockerfile_name.clone(), request.dockerfile.clone());
    let mut work = JoinSet::new();
    work.spawn({
        let (farm, running) = (Arc::clone(&farm), Arc::clone(&running));
        let reporter = Reporter::of(Arc::clone(&log));
        async move { build::run(&farm, &running, &request, &reporter).await }
    });
    let ended = tokio::select! {
        biased;
        ended = work.join_next() => match ended {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(Error::Panicked(panic.to_string())),
            None => Err(Error::Cancelled),
        },
        stopped = running.wants.stopped() => Err(match stopped {
            Stopped::Cancelled => Error::Cancelled,
            Stopped::Interrupted => Error::ClientGone,
        }),
        failed = log.keep() => Err(failed),
    };
    // Nothing of it runs any more when its end is announced.
    work.shutdown().await;
    farm.dispatch.build_ended(build);
    let ending = match ended {
        Ok(image) => Ending::Succeeded { image },
        Err(error) => diagnosis::ending(&error, &name, &source),
    };
    if let Err(error) = log.end(ending).await {
        tracing::error!(%build, %error, "the end of a build is not kept");
    }
    if let Err(error) = farm.builds.retire(build).await {
        tracing::warn!(%build, %error, "old builds are not forgotten");
    }
}
