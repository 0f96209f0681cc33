//! A worker on a machine of its own, against a coordinator that the test plays. Its containers only pretend to run.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use farm_executor::{CancelFlag, Container, Executor, Exit, NetworkPool, Output, Usage};
use farm_model::result::LayerRef;
use farm_model::{LeaseId, Scope, StepDigest, op};
use farm_proto::worker::Opening;
use farm_proto::{CoordinatorMessage, Keep, Outcome, RunTask, Task, WorkerMessage};
use farm_store::Store;
use farm_transport::{Authority, Connection, Endpoint, Identity, Receiver, Role, Sender};
use farm_tree::{File, Metadata, Mtime, Node, Tree, TreeBuilder};
use farm_worker::{Options, Worker};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

const LEASE: LeaseId = LeaseId { epoch: 3, counter: 1 };
const KEY: StepDigest = StepDigest([4; 32]);
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a file into the upper directory once the test lets it, or ends because it is cancelled.
struct Pretender {
    gate: PathBuf,
    runs: AtomicUsize,
}

impl Executor for Pretender {
    fn run(
        &self,
        container: &Container,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<farm_executor::Outcome, farm_executor::Error> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        output(farm_executor::Stream::Stdout, b"working\n");
        let ended = |exit| Ok(farm_executor::Outcome { exit, usage: Usage::default() });
        while !self.gate.exists() {
            if cancel.is_cancelled() {
                return ended(Exit::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(container.lowers.iter().any(|lower| lower.join("base/file").exists()));
        std::fs::write(container.upper.join("made"), "by the step").unwrap();
        ended(Exit::Code(0))
    }
}

struct Stage {
    root: tempfile::TempDir,
    coordinator: Endpoint,
    store: Store,
    executor: Arc<Pretender>,
    stop: Option<oneshot::Sender<()>>,
    worker: JoinSet<()>,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let bind = |role, name| {
            let identity = Identity::new(role, name, Scope::main()).unwrap();
            let local = SocketAddr::from(([127, 0, 0, 1], 0));
            Endpoint::bind(local, &authority.issue(&identity).unwrap()).unwrap()
        };
        let coordinator = bind(Role::Coordinator, "brain");
        let store = Store::open(&root.path().join("coordinator")).unwrap();
        let executor = Arc::new(Pretender { gate: root.path().join("gate"), runs: AtomicUsize::new(0) });
        let options = Options {
            slots: 2,
            most: 4,
            limits: farm_executor::Limits::default(),
            labels: vec!["fast".to_owned()],
            address: Some("127.0.0.1:1".to_owned()),
        };
        let own = Store::open(&root.path().join("worker")).unwrap();
        let worker =
            Worker::new(own, executor.clone(), Arc::new(NetworkPool::new(0)), String::new(), options);
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        let (endpoint, address) = (bind(Role::Worker, "hand"), coordinator.local_address().unwrap());
        tasks.spawn(async move {
            let stop = async { drop(stopped.await) };
            worker.serve_remote(endpoint, address, stop).await;
        });
        Self { root, coordinator, store, executor, stop: Some(stop), worker: tasks }
    }

    /// Waits for the worker to come, and answers what it fetches.
    async fn session(&self, answers: &mut JoinSet<()>) -> Session {
        let connection = self.coordinator.accept().await.unwrap().finish().await.unwrap();
        let (opened, mut session) = mpsc::channel(1);
        let (store, serving) = (self.store.clone(), connection.clone());
        answers.spawn(async move {
            while let Ok(Some(mut stream)) = serving.accept().await {
                match stream.receive::<Opening>().await.unwrap().unwrap() {
                    Opening::Session => opened.send(stream.split()).await.unwrap(),
                    Opening::Fetch(fetch) => farm_exchange::serve(&store, fetch, stream).await.unwrap(),
                    Opening::Agent { .. } => panic!("nobody wants an agent"),
                }
            }
        });
        let (sender, receiver) = session.recv().await.unwrap();
        Session { connection, sender, receiver }
    }

    /// A task over a layer that only the coordinator has.
    fn task(&self) -> Task {
        let mut builder = TreeBuilder::default();
        let blob = self.store.ingest(&mut vec![7; 3 << 20].as_slice(), None).unwrap();
        let file = File { metadata: Metadata::plain(0o644, Mtime(5)), blob, hard_link: None };
        builder.insert(b"base/file", Node::File(file)).unwrap();
        let tree = builder.finish(&self.store).unwrap();
        let base = self.store.put_tree(&tree).unwrap();
        let merged = farm_tree::merge_all(&self.store, [&tree]).unwrap();
        task(base, self.store.put_tree(&merged).unwrap())
    }

    fn open_the_gate(&self) {
        std::fs::write(&self.executor.gate, "").unwrap();
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, self.worker.join_next()).await.unwrap().unwrap().unwrap();
        let left = std::fs::read_dir(self.root.path().join("worker/tmp")).unwrap().count();
        assert_eq!(left, 0, "something of a step was left behind");
    }
}

fn task(base: LayerRef, merged: LayerRef) -> Task {
    Task::Run(Box::new(RunTask {
        layers: vec![base],
        merged,
        argv: vec!["true".to_owned()],
        env: Vec::new(),
        user: String::new(),
        workdir: "/".to_owned(),
        mounts: Vec::new(),
        files: Vec::new(),
        network: op::Network::None,
        hostname: "step".to_owned(),
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        keep: Keep::Layer,
    }))
}

struct Session {
    connection: Connection,
    sender: Sender,
    receiver: Receiver,
}

impl Session {
    async fn hear(&mut self) -> WorkerMessage {
        timeout(PATIENCE, self.receiver.receive()).await.unwrap().unwrap().unwrap()
    }

    async fn hear_until(
        &mut self,
        wanted: impl Fn(&WorkerMessage) -> bool,
    ) -> (WorkerMessage, Vec<WorkerMessage>) {
        let mut before = Vec::new();
        loop {
            let message = self.hear().await;
            if wanted(&message) {
                return (message, before);
            }
            before.push(message);
        }
    }

    async fn running(&mut self) -> Vec<(LeaseId, StepDigest, Scope)> {
        match self.hear().await {
            WorkerMessage::Hello { running, slots: 2, most: 4, .. } => running,
            other => panic!("{other:?} is no greeting"),
        }
    }

    async fn execute(&mut self, task: Task) {
        let execute = CoordinatorMessage::Execute {
            lease: LEASE,
            key: KEY,
            scope: Scope::main(),
            task,
            peers: Vec::new(),
        };
        self.sender.send(&execute).await.unwrap();
    }

    async fn finished(&mut self) -> (Outcome, Vec<WorkerMessage>) {
        let (message, before) =
            self.hear_until(|message| matches!(message, WorkerMessage::Finished { .. })).await;
        match message {
            WorkerMessage::Finished { lease: LEASE, outcome } => (outcome, before),
            other => panic!("{other:?} is not about the lease"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_gets_its_layers_and_its_result_arrives_with_records() {
    let (stage, mut answers) = (Stage::new(), JoinSet::new());
    stage.open_the_gate();
    let mut session = stage.session(&mut answers).await;
    assert!(session.running().await.is_empty());
    session.execute(stage.task()).await;
    let (outcome, before) = session.finished().await;
    let Outcome::Success { layer: Some(made), .. } = outcome else { panic!("{outcome:?}") };
    let tree = Tree::decode(&made.tree).unwrap();
    assert_eq!(tree.layer_digest(), made.layer.digest);
    for message in &before {
        if let WorkerMessage::Records { records, .. } = message {
            for record in records {
                let digest = farm_tree::encoding::record_digest(record);
                assert!(stage.store.put_record_bytes(&digest, record).unwrap());
            }
        }
    }
    farm_tree::verify(&stage.store, &tree).unwrap();
    assert!(before.iter().any(|message| matches!(message, WorkerMessage::Started { .. })));
    assert!(before.iter().any(|message| matches!(message, WorkerMessage::Bandwidth { .. })));
    let fetched =
        |message: &WorkerMessage| matches!(message, WorkerMessage::Fetched { lease: LEASE, bytes: 1.., .. });
    assert!(before.iter().any(fetched));
    let logged = |message: &WorkerMessage| matches!(message, WorkerMessage::Logged { bytes, .. } if bytes == b"working\n");
    assert!(before.iter().any(logged));
    let held: Vec<_> = before
        .iter()
        .filter_map(|message| match message {
            WorkerMessage::Holdings { added, .. } => Some(added),
            _ => None,
        })
        .flatten()
        .collect();
    assert!(held.contains(&&made.layer.digest));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_survives_a_connection_that_is_lost_and_its_result_is_told_afterwards() {
    let (stage, mut answers) = (Stage::new(), JoinSet::new());
    let mut session = stage.session(&mut answers).await;
    session.running().await;
    session.execute(stage.task()).await;
    session.hear_until(|message| matches!(message, WorkerMessage::Started { .. })).await;
    session.connection.close("the network is down");
    let mut session = stage.session(&mut answers).await;
    assert_eq!(session.running().await, [(LEASE, KEY, Scope::main())]);
    stage.open_the_gate();
    let (outcome, _) = session.finished().await;
    assert!(matches!(outcome, Outcome::Success { layer: Some(_), .. }), "{outcome:?}");
    // It may have been lost with the connection, so it is told once more.
    session.connection.close("the network is down again");
    let mut session = stage.session(&mut answers).await;
    assert_eq!(session.running().await, [(LEASE, KEY, Scope::main())]);
    let (again, before) = session.finished().await;
    assert!(matches!(again, Outcome::Success { layer: Some(_), .. }));
    assert!(before.iter().any(|message| matches!(message, WorkerMessage::Records { .. })));
    assert_eq!(stage.executor.runs.load(Ordering::SeqCst), 1);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_are_nowhere_are_named() {
    let (stage, mut answers) = (Stage::new(), JoinSet::new());
    let mut session = stage.session(&mut answers).await;
    session.running().await;
    let nowhere =
        LayerRef { digest: farm_model::LayerDigest([1; 32]), content: farm_model::ContentDigest([2; 32]) };
    session.execute(task(nowhere, nowhere)).await;
    let (outcome, _) = session.finished().await;
    let Outcome::Failure(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.lost, [nowhere.digest]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_step_says_so_and_a_worker_that_stops_takes_its_steps_along() {
    let (stage, mut answers) = (Stage::new(), JoinSet::new());
    let mut session = stage.session(&mut answers).await;
    session.running().await;
    let task = stage.task();
    session.execute(task.clone()).await;
    session.hear_until(|message| matches!(message, WorkerMessage::Started { .. })).await;
    session.sender.send(&CoordinatorMessage::Cancel { lease: LEASE }).await.unwrap();
    assert!(matches!(session.finished().await.0, Outcome::Cancelled));
    session.execute(task).await;
    session.hear_until(|message| matches!(message, WorkerMessage::Started { .. })).await;
    stage.stop().await;
}
