//! A dispatcher with drivers and fake workers around it.

use std::sync::Arc;

use farm_model::event::{Blame, Stream};
use farm_model::op::Network;
use farm_model::{
    BuildEvent, BuildId, LeaseId, Platform, Scope, StageId, StepDigest, StepId, Usage, WorkerId,
};
use farm_proto::{CoordinatorMessage, Failure, Keep, Outcome, RunTask, WorkerMessage};
use farm_scheduler::{StepShape, Work};
use farm_store::Store;
use farm_tree::Tree;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::build::Farm;
use crate::dispatch::{Delivered, Dispatch, Execution};
use crate::report::Reporter;
use crate::{Error, Options, Paths, workers};

pub(super) struct Bench {
    pub(super) dispatch: Dispatch,
    farm: Arc<Farm>,
    tasks: JoinSet<()>,
    _root: tempfile::TempDir,
}

pub(super) struct Driver {
    events: mpsc::Receiver<BuildEvent>,
    ended: oneshot::Receiver<Result<Delivered, Error>>,
    task: JoinSet<()>,
}

pub(super) struct FakeWorker {
    commands: mpsc::Receiver<CoordinatorMessage>,
    reports: mpsc::Sender<WorkerMessage>,
}

pub(super) fn build(number: u8) -> BuildId {
    BuildId([number; 8])
}

pub(super) fn started(worker: &str) -> BuildEvent {
    BuildEvent::Started { step: STEP, worker: Some(WorkerId(worker.to_owned())) }
}

pub(super) fn logged(bytes: &[u8]) -> BuildEvent {
    BuildEvent::Logged { step: STEP, stream: Stream::Stdout, bytes: bytes.to_vec() }
}

const STEP: StepId = StepId { stage: StageId(0), index: 0 };

fn platform() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: String::new() }
}

impl Bench {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (dispatch, dispatcher) = Dispatch::new(&store, 1);
        let options = Options {
            resolve_ttl: std::time::Duration::ZERO,
            registries: farm_oci::RegistryConfig::default(),
            limits: farm_oci::Limits::default(),
            paths: Paths::Refused,
            version: "test".to_owned(),
        };
        let farm = Arc::new(Farm::new(store, dispatch.clone(), options).unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatcher.run());
        Self { dispatch, farm, tasks, _root: root }
    }

    pub(super) fn store(&self) -> &Store {
        &self.farm.store
    }

    pub(super) async fn worker(&mut self, name: &str) -> FakeWorker {
        self.worker_running(name, Vec::new()).await
    }

    pub(super) async fn worker_running(
        &mut self,
        name: &str,
        running: Vec<(LeaseId, StepDigest, Scope)>,
    ) -> FakeWorker {
        let (to_worker, commands) = mpsc::channel(16);
        let (reports, from_worker) = mpsc::channel(16);
        let (farm, worker) = (Arc::clone(&self.farm), WorkerId(name.to_owned()));
        self.tasks.spawn(async move { workers::local(&farm, worker, to_worker, from_worker).await });
        let hello = WorkerMessage::Hello {
            slots: 1,
            most: 1,
            platform: platform(),
            labels: Vec::new(),
            address: None,
            running,
        };
        let mut present = self.dispatch.workers().watch_holdings();
        reports.send(hello).await.unwrap();
        // What is asked for from now on finds it there.
        present.changed().await.unwrap();
        FakeWorker { commands, reports }
    }

    /// A driver of the step with the key `key` of `build`, which begins with it.
    pub(super) fn execute(&self, build: BuildId, key: u8) -> Driver {
        let shape = StepShape { step: STEP, family: [key; 32], needs: Vec::new() };
        self.dispatch.single_started(build, Scope::main(), shape);
        let (events, receiver) = mpsc::channel(64);
        let (done, ended) = oneshot::channel();
        let key = StepDigest([key; 32]);
        let turn = self.dispatch.turn(&Scope::main(), key);
        let execution = Execution {
            build,
            step: STEP,
            turn: turn.clone(),
            work: Work { key, platform: platform(), labels: Vec::new(), inputs: Vec::new() },
            task: task(),
            agents: std::collections::BTreeMap::new(),
            session: None,
        };
        let dispatch = self.dispatch.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ended = done.send(dispatch.execute(execution, &Reporter::new(events)).await);
            // The turn is let go when the driver is dropped: until then it may be recording.
            std::future::pending::<()>().await;
            drop(turn);
        });
        Driver { events: receiver, ended, task: tasks }
    }
}

impl Driver {
    pub(super) async fn event(&mut self) -> BuildEvent {
        self.events.recv().await.unwrap()
    }

    pub(super) async fn ended(&mut self) -> Result<Delivered, Error> {
        (&mut self.ended).await.unwrap()
    }

    pub(super) async fn cancel(mut self) {
        self.task.shutdown().await;
    }
}

impl FakeWorker {
    pub(super) async fn command(&mut self) -> CoordinatorMessage {
        self.commands.recv().await.unwrap()
    }

    pub(super) async fn granted(&mut self) -> LeaseId {
        loop {
            if let CoordinatorMessage::Execute { lease, .. } = self.command().await {
                return lease;
            }
        }
    }

    /// Which of two is given a step: the lease, who was, and who was not.
    pub(super) async fn who_is_granted<'a>(
        one: &'a mut Self,
        other: &'a mut Self,
    ) -> (LeaseId, &'a mut Self, &'a mut Self) {
        tokio::select! {
            lease = one.granted() => (lease, one, other),
            lease = other.granted() => (lease, other, one),
        }
    }

    pub(super) async fn say(&self, message: WorkerMessage) {
        self.reports.send(message).await.unwrap();
    }

    pub(super) async fn start(&self, lease: LeaseId) {
        self.reports.send(WorkerMessage::Started { lease }).await.unwrap();
    }

    pub(super) async fn log(&self, lease: LeaseId, bytes: &[u8]) {
        let logged = WorkerMessage::Logged { lease, stream: Stream::Stdout, bytes: bytes.to_vec() };
        self.reports.send(logged).await.unwrap();
    }

    pub(super) async fn succeed(&self, lease: LeaseId) {
        self.finish(lease, Outcome::Success { layer: None, usage: Usage::default(), ended: 1 }).await;
    }

    pub(super) async fn fail(&self, lease: LeaseId, message: &str) {
        let (blame, message) = (Blame::Environment, message.to_owned());
        self.finish(lease, Outcome::Failure(Failure { blame, message, hint: None, lost: Vec::new() })).await;
    }

    pub(super) async fn finish(&self, lease: LeaseId, outcome: Outcome) {
        self.reports.send(WorkerMessage::Finished { lease, outcome }).await.unwrap();
    }

    /// Asserts that the worker is told nothing: whatever was decided so far has been said when a message has gone there
    /// and back through the dispatcher.
    pub(super) async fn hears_nothing(&mut self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(self.commands.try_recv().is_err());
    }

    #[expect(clippy::unused_self, reason = "the channels are dropped with it")]
    pub(super) fn leave(self) {}
}

fn task() -> RunTask {
    RunTask {
        layers: Vec::new(),
        merged: Tree::empty().layer_ref(),
        argv: vec!["true".to_owned()],
        env: Vec::new(),
        user: String::new(),
        workdir: "/".to_owned(),
        mounts: Vec::new(),
        files: Vec::new(),
        network: Network::None,
        hostname: String::new(),
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        keep: Keep::Layer,
    }
}
