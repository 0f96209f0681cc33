//! `farm run`: a command in an image, as a step whose result is thrown away.

use std::collections::BTreeMap;

use farm_model::encoding;
use farm_model::event::Stream as Which;
use farm_model::graph::Image;
use farm_model::{
    BuildEvent, BuildId, Exit, ImageConfig, ImageSource, Reference, StageId, StepDigest, StepId,
};
use farm_oci::Source;
use farm_proto::client::{Reply, RunRequest};
use farm_proto::{Keep, Outcome, RunTask};
use farm_scheduler::{Input, Work};
use farm_transport::Sender;
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::base::Known;
use crate::build::{Farm, blocking, drawn};
use crate::dispatch::Execution;
use crate::report::Reporter;
use crate::stage::State;
use crate::{Error, base, images};

/// The only step of what is no build.
const STEP: StepId = StepId { stage: StageId(0), index: 0 };
/// Domain of the digest of the one family to which all commands belong.
const DOMAIN: &str = "farm 2026-11 family of commands v1";
/// Events that may wait to be sent.
const EVENTS: usize = 256;
/// What a command sees when the image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the command; what it writes goes out as it comes. Dropping the future ends the command.
pub(crate) async fn run(farm: &Arc<Farm>, request: RunRequest, stream: &mut Sender) -> Result<(), Error> {
    // The image stays until the command ends, whatever is pruned meanwhile.
    let _kept = farm.store.begin();
    let (config, state) = image(farm, &request).await?;
    let task = task(request, &config, &state)?;
    if state.layers.is_empty() {
        let (store, empty) = (farm.store.clone(), state.merged.clone());
        blocking(move || Ok(store.put_tree(&empty)?)).await?;
    }
    let (events, mut written) = mpsc::channel(EVENTS);
    let execute = execute(farm, &config, &state, task, Reporter::new(events));
    tokio::pin!(execute);
    let exit = loop {
        tokio::select! {
            biased;
            Some(event) = written.recv() => send(stream, event).await?,
            exit = &mut execute => break exit?,
        }
    };
    while let Ok(event) = written.try_recv() {
        send(stream, event).await?;
    }
    Ok(stream.send(&Reply::Exited(exit)).await?)
}

async fn send(stream: &mut Sender, event: BuildEvent) -> Result<(), Error> {
    let (which, bytes) = if let BuildEvent::Logged { stream, bytes, .. } = event {
        (stream, bytes)
    } else if let BuildEvent::Retried { reason, .. } = event {
        (Which::Stderr, format!("farm: again: {reason}\n").into_bytes())
    } else {
        return Ok(());
    };
    // A client that is gone wants nothing more: the step is abandoned with it.
    stream.send(&Reply::Output { stream: which, bytes }).await.map_err(|_| Error::ClientGone)
}

/// The image that is meant: one of the farm's own, else a registry's.
async fn image(farm: &Arc<Farm>, request: &RunRequest) -> Result<(ImageConfig, State), Error> {
    let missing = match images::look_up(farm, &request.image) {
        Ok((_, record)) => return Ok((record.image.config.clone(), images::state(farm, &record).await?)),
        Err(error) => error,
    };
    let Ok(name) = request.image.parse::<Reference>() else { return Err(missing) };
    let image = Image { source: ImageSource::Registry(name.clone()), platform: request.platform.clone() };
    match base::resolve_name(farm, false, &name, &image).await? {
        Known::Built(record) => Ok((record.image.config.clone(), images::state(farm, &record).await?)),
        Known::Remote(resolved) => {
            let source = Source::Registry { client: Arc::clone(&farm.registry), reference: name };
            let unheard = Reporter::new(mpsc::channel(1).0);
            let state = base::fetch(farm, &request.image, source, &resolved, &unheard).await?;
            Ok((resolved.config.clone(), state))
        }
    }
}

fn task(request: RunRequest, config: &ImageConfig, state: &State) -> Result<RunTask, Error> {
    let argv: Vec<String> = match (request.entrypoint, &config.entrypoint) {
        // An entry point of one's own leaves the image's command out, as `docker run` does.
        (Some(entrypoint), _) => entrypoint.into_iter().chain(request.command).collect(),
        (None, entrypoint) => {
            let command = if request.command.is_empty() {
                config.cmd.clone().unwrap_or_default()
            } else {
                request.command
            };
            entrypoint.iter().flatten().cloned().chain(command).collect()
        }
    };
    if argv.is_empty() {
        return Err(Error::NoCommand(request.image));
    }
    let mut env: BTreeMap<String, String> = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    env.extend(config.env.iter().cloned());
    env.extend(request.env);
    let workdir = request.workdir.unwrap_or_else(|| config.working_dir.clone());
    Ok(RunTask {
        layers: state.layer_refs(),
        merged: state.merged.layer_ref(),
        argv,
        env: env.into_iter().collect(),
        user: request.user.unwrap_or_else(|| config.user.clone()),
        workdir: if workdir.is_empty() { "/".to_owned() } else { workdir },
        mounts: Vec::new(),
        files: Vec::new(),
        network: request.network,
        hostname: "farm".to_owned(),
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        keep: Keep::Nothing,
    })
}

async fn execute(
    farm: &Farm,
    config: &ImageConfig,
    state: &State,
    task: RunTask,
    reporter: Reporter,
) -> Result<Exit, Error> {
    // Nobody shares what is run for its effect: the key is drawn, not computed.
    let (key, build) = (StepDigest(drawn()?), BuildId(drawn()?));
    let input = |layer: &crate::stage::ChainLayer| {
        let layer = layer.layer.digest;
        Input { layer, bytes: farm.memo.bytes(&farm.store, &layer) }
    };
    let work = Work {
        key,
        platform: config.platform.clone(),
        labels: Vec::new(),
        inputs: state.layers.iter().map(input).collect(),
    };
    let family = encoding::digest(DOMAIN, config.platform.to_string().as_bytes());
    let shape = farm_scheduler::StepShape { step: STEP, family, needs: Vec::new() };
    farm.dispatch.single_started(build, farm.scope.clone(), shape);
    let _ended = Ended { farm, build };
    let turn = farm.dispatch.turn(&farm.scope, key);
    let execution = Execution { build, step: STEP, turn, work, task, agents: BTreeMap::new(), session: None };
    let delivered = farm.dispatch.execute(execution, &reporter).await?;
    match &*delivered.outcome {
        Outcome::Success { .. } => Ok(Exit::Code(0)),
        Outcome::UserFailure { exit, .. } => Ok(*exit),
        Outcome::Failure(failure) => Err(Error::Worker(failure.clone())),
        Outcome::Cancelled => Err(Error::Cancelled),
    }
}

/// Tells the dispatcher that the one step is over, also when its client has gone.
struct Ended<'a> {
    farm: &'a Farm,
    build: BuildId,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.farm.dispatch.build_ended(self.build);
    }
}
