//! `RUN`: the key from what the command sees, then a lease for a worker.

use std::sync::Arc;
use std::time::Instant;

use farm_model::op::{self, MountKind, Origin};
use farm_model::{BuildEvent, ContentDigest, Stage, Step};
use farm_proto::{CacheMount, Outcome, RunTask, Task, TaskMount, TaskMountKind, WorkerMessage};
use farm_tree::{DirectoryRef, Entries, Entry, Node, TreeBuilder, resolve};

use crate::Error;
use crate::build::blocking;
use crate::context::{Attempts, Ingest};
use crate::key::{self, Preimage};
use crate::stage::{Shared, State};
use crate::step::record::{self, Found, Fresh};
use crate::step::{self, Done, Stack};

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
        let preimage = Preimage::new("run", so_far.merged.content_digest(), &stage.platform);
        let preimage = key::of_run(preimage, run, &contents, &shared.farm.values);
        let _flight = match record::look_up(shared, stage, step, preimage.key()).await? {
            Found::Hit(done) => return Ok(done),
            Found::Miss(flight) => flight,
        };
        let mounts = match mounts(shared, stage, run, stacks).await? {
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
        let task = Task::Run(Box::new(task(run, so_far, mounts)));
        let outcome = execute(shared, step, task).await?;
        let fresh = finished(shared, step, run, outcome).await?;
        return record::commit(shared, step, &so_far.merged, &preimage, fresh, started).await;
    }
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

/// For each bind mount, the digest of what it shows.
async fn contents(
    shared: &Shared,
    run: &op::Run,
    stacks: &[Option<Stack>],
) -> Result<Vec<Option<ContentDigest>>, Error> {
    let mut contents = Vec::with_capacity(stacks.len());
    for (mount, stack) in run.mounts.iter().zip(stacks) {
        let (MountKind::Bind { source, .. }, Some(stack)) = (&mount.kind, stack) else {
            contents.push(None);
            continue;
        };
        let (store, tree, path) = (shared.farm.store.clone(), stack.merged.clone(), source.clone());
        let found = blocking(move || Ok(resolve::resolve(&store, &tree, path.as_bytes())?)).await?;
        let Some(node) = found.node else {
            let message =
                format!("mount at `{}`: source `{source}`: no such file or directory", mount.target);
            return Err(Error::User(message));
        };
        contents.push(Some(content_of(node)));
    }
    Ok(contents)
}

/// The digest of something on its own: of a directory that has only it, so that nothing but its name is fixed.
fn content_of(node: Node) -> ContentDigest {
    let entries = Entries::from([(Arc::from(b"mounted".as_slice()), Entry::Node(node))]);
    DirectoryRef::of(&entries).content
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
        for kind in kinds(shared, stage, &mount.kind, stack).await? {
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
                fresh: stage.no_cache.then_some(shared.number),
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
            let Some(socket) = session.ssh(id).await? else {
                return if *required { Err(Error::SshMissing(id.clone())) } else { Ok(Vec::new()) };
            };
            let socket = socket.to_string_lossy().into_owned();
            vec![TaskMountKind::Ssh { socket, mode: *mode, uid: *uid, gid: *gid }]
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
    }
}

async fn execute(shared: &Shared, step: &Step, task: Task) -> Result<Outcome, Error> {
    let id = step.id;
    let event = move |message| match message {
        WorkerMessage::Started { .. } => Some(BuildEvent::Started { step: id }),
        WorkerMessage::Logged { stream, bytes, .. } => Some(BuildEvent::Logged { step: id, stream, bytes }),
        WorkerMessage::Warned { message, .. } => Some(BuildEvent::Warned { message }),
        WorkerMessage::Finished { .. } => None,
    };
    shared.farm.worker.execute(task, &shared.reporter, event).await
}

async fn finished(shared: &Shared, step: &Step, run: &op::Run, outcome: Outcome) -> Result<Fresh, Error> {
    match outcome {
        Outcome::Success { layer, usage, ended } => Ok(Fresh { layer, ended, usage }),
        Outcome::UserFailure { exit } => {
            shared.reporter.send(BuildEvent::Failed { step: step.id, exit }).await;
            Err(Error::Process { command: run.argv.join(" "), exit })
        }
        Outcome::Failure(failure) => Err(Error::Worker(failure)),
        Outcome::Cancelled => Err(Error::Cancelled),
    }
}
