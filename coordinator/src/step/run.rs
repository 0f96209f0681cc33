//! `RUN`: the key from what the command sees, then a lease for a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use farm_model::op::{self, MountKind, Origin};
use farm_model::{BuildEvent, LayerDigest, Stage, Step, StepDigest};
use farm_proto::{Agent, CacheMount, Keep, Outcome, RunTask, TaskMount, TaskMountKind};
use farm_scheduler::{Input, Work};
use farm_store::Store;
use farm_tree::{Directory, Entries, Entry, Metadata, Node, Records as _, Tree, TreeBuilder, resolve};

use crate::Error;
use crate::build::blocking;
use crate::context::{Attempts, Ingest};
use crate::dispatch::{Delivered, Execution, Order};
use crate::key::{self, Preimage};
use crate::stage::{Shared, State};
use crate::step::record::{self, Fresh};
use crate::step::{self, Done, Stack};
use crate::why::Open;

/// Sockets of agents on this machine, by id.
type Agents = BTreeMap<String, String>;

pub(crate) async fn run(
    shared: &Shared,
    stage: &Stage,
    step: &Step,
    run: &op::Run,
    so_far: &State,
) -> Result<Done, Error> {
    let mut attempts = Attempts::new();
    loop {
        let stacks = stacks(shared, run).await?;
        let contents = contents(shared, run, &stacks).await?;
        let preimage = Preimage::new("run", &so_far.merged, &stage.platform);
        let preimage = key::of_run(preimage, run, &contents, &shared.farm.values);
        let key = preimage.key();
        // Held until the result is recorded: whoever comes in between shares it.
        let turn = shared.farm.dispatch.turn(&shared.farm.scope, key);
        if let Some(done) = record::look_up(shared, stage, step, &preimage, Order::First).await? {
            return Ok(done);
        }
        let mut agents = Agents::new();
        let mounts = match mounts(shared, stage, run, stacks, &mut agents).await? {
            Ready::Mounts(mounts) => mounts,
            Ready::ContextChanged(context) => {
                attempts.again(&context)?;
                continue;
            }
        };
        if so_far.layers.is_empty() {
            // A worker looks the merged tree up; every other one was kept when it came about.
            let (store, empty) = (shared.farm.store.clone(), so_far.merged.clone());
            blocking(move || Ok(store.put_tree(&empty)?)).await?;
        }
        let started = Instant::now();
        let task = task(run, so_far, mounts);
        let work = work(shared, stage, key, &task);
        let session = Some(shared.contexts.session().clone());
        let (build, turn) = (shared.build, turn.clone());
        let execution = Execution { build, step: step.id, turn, work, task, agents, session };
        let delivered = shared.farm.dispatch.execute(execution, &shared.reporter).await?;
        let fresh = finished(shared, step, run, &delivered).await?;
        let done = record::commit(shared, stage, step, &so_far.merged, &preimage, fresh, started).await?;
        return Ok(done);
    }
}

/// What can be told of the key before what the stage comes to is known, and what of it cannot.
pub(super) async fn foresee(
    shared: &Shared,
    stage: &Stage,
    run: &op::Run,
    so_far: &State,
) -> Result<(Preimage, Open), Error> {
    let contents = async { contents(shared, run, &stacks(shared, run).await?).await };
    let (contents, open) = match contents.await {
        Ok(contents) => (contents, Open::Base),
        Err(Error::WouldRun) => (vec![None; run.mounts.len()], Open::BaseAndMounts),
        Err(error) => return Err(error),
    };
    let preimage = Preimage::new("run", &so_far.merged, &stage.platform);
    Ok((key::of_run(preimage, run, &contents, &shared.farm.values), open))
}

/// For each mount with an origin, the stack it reads.
async fn stacks(shared: &Shared, run: &op::Run) -> Result<Vec<Option<Stack>>, Error> {
    let mut stacks = Vec::with_capacity(run.mounts.len());
    for mount in &run.mounts {
        let origin = match &mount.kind {
            MountKind::Bind { from, .. } => Some(from),
            MountKind::Cache { from, .. } => from.as_ref(),
            MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
        };
        stacks.push(match origin {
            Some(origin) => Some(step::stack(shared, origin).await?),
            None => None,
        });
    }
    Ok(stacks)
}

/// For each bind mount, a tree with what it shows alone in it.
async fn contents(
    shared: &Shared,
    run: &op::Run,
    stacks: &[Option<Stack>],
) -> Result<Vec<Option<Tree>>, Error> {
    let mut contents = Vec::with_capacity(stacks.len());
    for (mount, stack) in run.mounts.iter().zip(stacks) {
        let (MountKind::Bind { source, .. }, Some(stack)) = (&mount.kind, stack) else {
            contents.push(None);
            continue;
        };
        let (store, tree, path) = (shared.farm.store.clone(), stack.merged.clone(), source.clone());
        let shown = blocking(move || {
            let found = resolve::resolve(&store, &tree, path.as_bytes())?;
            found.node.map(|node| alone(&store, node)).transpose()
        });
        let Some(shown) = shown.await? else {
            let message =
                format!("mount at `{}`: source `{source}`: no such file or directory", mount.target);
            return Err(Error::User(message));
        };
        contents.push(Some(shown));
    }
    Ok(contents)
}

/// A tree with `node` alone in it, so that nothing but its name is fixed.
fn alone(store: &Store, node: Node) -> Result<Tree, Error> {
    let entries = Entries::from([(Arc::from(b"mounted".as_slice()), Entry::Node(node))]);
    let record = store.put(entries)?;
    Ok(Tree { root: Directory { record, ..Directory::empty(Metadata::default()) } })
}

/// Whether the mounts of a step can be used.
enum Ready {
    Mounts(Vec<TaskMount>),
    ContextChanged(farm_model::ContextName),
}

async fn mounts(
    shared: &Shared,
    stage: &Stage,
    run: &op::Run,
    stacks: Vec<Option<Stack>>,
    agents: &mut Agents,
) -> Result<Ready, Error> {
    let mut mounts = Vec::with_capacity(run.mounts.len());
    for (mount, stack) in run.mounts.iter().zip(stacks) {
        let stack = match stack {
            None => None,
            Some(stack) => match hold(shared, &mount.kind, stack).await? {
                Ok(stack) => Some(stack),
                Err(context) => return Ok(Ready::ContextChanged(context)),
            },
        };
        for kind in kinds(shared, stage, &mount.kind, stack, agents).await? {
            mounts.push(TaskMount { target: mount.target.clone(), kind });
        }
    }
    Ok(Ready::Mounts(mounts))
}

/// Makes sure that a stack can be materialised: a context becomes one layer, its bytes are taken.
async fn hold(
    shared: &Shared,
    kind: &MountKind,
    mut stack: Stack,
) -> Result<Result<Stack, farm_model::ContextName>, Error> {
    let (MountKind::Bind { from, source, .. } | MountKind::Cache { from: Some(from), source, .. }) = kind
    else {
        return Ok(Ok(stack));
    };
    if let Origin::Context(context) = from {
        let seen = stack.merged.clone();
        narrow(shared, source, &mut stack).await?;
        if shared.contexts.ingest(&shared.farm, context, &seen, &stack.merged).await? == Ingest::Changed {
            return Ok(Err(context.clone()));
        }
        stack.layers = vec![stack.merged.layer_ref()];
    }
    let (store, tree) = (shared.farm.store.clone(), stack.merged.clone());
    blocking(move || Ok(store.put_tree(&tree)?)).await?;
    Ok(Ok(stack))
}

/// Leaves of a context only what a mount shows, where it was: nothing else is taken or materialised then. What leads
/// through symbolic links, or has files with several names, is left as it is.
async fn narrow(shared: &Shared, source: &str, stack: &mut Stack) -> Result<(), Error> {
    let (store, whole, path) = (shared.farm.store.clone(), stack.merged.clone(), source.to_owned());
    let narrowed = blocking(move || {
        let found = resolve::lookup(&store, &whole, path.as_bytes())?;
        let written = farm_tree::path::clean(path.as_bytes());
        let Some(node) = found.node.filter(|_| !written.is_empty() && written == found.path) else {
            return Ok(None);
        };
        let mut builder = TreeBuilder::new(whole.root.metadata.clone());
        match node {
            Node::Directory(directory) if directory.record.linked == 0 => {
                builder.graft(&found.path, directory)?;
            }
            Node::File(file) if file.hard_link.is_none() => builder.insert(&found.path, Node::File(file))?,
            Node::Directory(_) | Node::File(_) | Node::Symlink(_) | Node::Device(_) => return Ok(None),
        }
        Ok(Some(builder.finish(&store)?))
    })
    .await?;
    if let Some(narrowed) = narrowed {
        stack.merged = narrowed;
    }
    Ok(())
}

/// A mount as the worker sees it; a secret may be both a file and a variable.
async fn kinds(
    shared: &Shared,
    stage: &Stage,
    kind: &MountKind,
    stack: Option<Stack>,
    agents: &mut Agents,
) -> Result<Vec<TaskMountKind>, Error> {
    let session = shared.contexts.session();
    Ok(match kind {
        MountKind::Bind { source, writable, .. } => stack
            .map(|stack| TaskMountKind::Bind {
                merged: stack.merged.layer_ref(),
                layers: stack.layers,
                source: source.clone(),
                writable: *writable,
            })
            .into_iter()
            .collect(),
        MountKind::Cache { id, sharing, read_only, source, mode, uid, gid, .. } => {
            vec![TaskMountKind::Cache(CacheMount {
                // What a fresh directory is like is part of its identity: a step never finds one that is not its own.
                id: format!(
                    "{}/{id}/{mode:o}/{uid}:{gid}/{}",
                    shared.farm.scope,
                    seed_identity(stack.as_ref(), source)
                ),
                sharing: *sharing,
                read_only: *read_only,
                fresh: stage.no_cache.then(|| u64::from_be_bytes(shared.build.0)),
                seed: stack.map(|stack| (stack.layers, stack.merged.layer_ref(), source.clone())),
                mode: *mode,
                uid: *uid,
                gid: *gid,
            })]
        }
        MountKind::Tmpfs { size } => vec![TaskMountKind::Tmpfs { size: *size }],
        MountKind::Secret { id, required, env, file, mode, uid, gid } => {
            let Some(value) = session.secret(id).await? else {
                return if *required { Err(Error::SecretMissing(id.clone())) } else { Ok(Vec::new()) };
            };
            let variable =
                env.iter().map(|name| TaskMountKind::SecretEnv { name: name.clone(), value: value.clone() });
            let mut kinds: Vec<_> = variable.collect();
            if *file {
                kinds.push(TaskMountKind::Secret { value, mode: *mode, uid: *uid, gid: *gid });
            }
            kinds
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            let Some(agent) = session.agent(id).await? else {
                return if *required { Err(Error::SshMissing(id.clone())) } else { Ok(Vec::new()) };
            };
            // Which worker it will be, and whether it sees the client's paths, is not known yet.
            if let Agent::Path(path) = agent {
                agents.insert(id.clone(), path);
            }
            let agent = Agent::Client { id: id.clone() };
            vec![TaskMountKind::Ssh { agent, mode: *mode, uid: *uid, gid: *gid }]
        }
    })
}

fn seed_identity(stack: Option<&Stack>, source: &str) -> String {
    stack.map_or_else(String::new, |stack| format!("{}:{source}", stack.merged.content_digest()))
}

fn task(run: &op::Run, so_far: &State, mounts: Vec<TaskMount>) -> RunTask {
    let mut env = run.env.clone();
    env.extend(run.unkeyed_env.iter().cloned());
    // The variable that says where the agent is belongs to the mount, not to the key.
    let agent = mounts.iter().find(|mount| matches!(mount.kind, TaskMountKind::Ssh { .. }));
    if let Some(agent) = agent {
        env.push(("SSH_AUTH_SOCK".to_owned(), agent.target.clone()));
    }
    RunTask {
        layers: so_far.layer_refs(),
        merged: so_far.merged.layer_ref(),
        argv: run.argv.clone(),
        env,
        user: run.user.clone(),
        workdir: run.workdir.clone(),
        mounts,
        files: run.files.clone(),
        network: run.network,
        hostname: run.hostname.clone(),
        extra_hosts: run.extra_hosts.clone(),
        shm_size: run.shm_size,
        ulimits: run.ulimits.clone(),
        keep: Keep::Layer,
    }
}

/// What the scheduler has to know of a task: where it may run, and what it reads.
fn work(shared: &Shared, stage: &Stage, key: StepDigest, task: &RunTask) -> Work {
    let mounted = task.mounts.iter().filter_map(|mount| match &mount.kind {
        TaskMountKind::Bind { layers, .. } => Some(layers),
        TaskMountKind::Cache(cache) => cache.seed.as_ref().map(|(layers, _, _)| layers),
        TaskMountKind::Tmpfs { .. }
        | TaskMountKind::Secret { .. }
        | TaskMountKind::SecretEnv { .. }
        | TaskMountKind::Ssh { .. } => None,
    });
    let layers: BTreeSet<LayerDigest> =
        task.layers.iter().chain(mounted.flatten()).map(|layer| layer.digest).collect();
    let (memo, store) = (&shared.farm.memo, &shared.farm.store);
    let input = |layer| Input { layer, bytes: memo.bytes(store, &layer) };
    Work {
        key,
        platform: stage.platform.clone(),
        labels: Vec::new(),
        inputs: layers.into_iter().map(input).collect(),
    }
}

async fn finished(
    shared: &Shared,
    step: &Step,
    run: &op::Run,
    delivered: &Delivered,
) -> Result<Fresh, Error> {
    match &*delivered.outcome {
        Outcome::Success { layer, usage, ended } => {
            let layer = layer.as_ref().map(|made| made.layer);
            Ok(Fresh { layer, ended: *ended, usage: *usage })
        }
        Outcome::UserFailure { exit, .. } => {
            let exit = *exit;
            shared.reporter.send(BuildEvent::Failed { step: step.id, exit }).await;
            Err(Error::Process { command: run.argv.join(" "), exit })
        }
        Outcome::Failure(failure) if !failure.lost.is_empty() => {
            shared.farm.dispatch.workers().disbelieve(&failure.lost);
            Err(Error::LayerLost(failure.lost.clone()))
        }
        Outcome::Failure(failure) => Err(Error::Worker(failure.clone())),
        Outcome::Cancelled => Err(Error::Cancelled),
    }
}
