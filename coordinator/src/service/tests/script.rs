//! A farm on loopback, and a client that answers by a script.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farm_model::event::encoding;
use farm_model::{BlobDigest, BuildEvent, BuildId, ContextName, Platform, Recorded, Scope};
use farm_oci::{Limits, RegistryConfig};
use farm_proto::budget::Budget;
use farm_proto::client::{BuildRequest, Compression, Form, Goal, NoCache, Output, Reply, Request};
use farm_proto::session::{Answer, Ask, OutputPart, Question};
use farm_store::Store;
use farm_transport::{Authority, Connection, Endpoint, Expected, Identity, Receiver, Role, Sender, Stream};
use farm_tree::{File, MemoryRecords, Metadata, Mtime, Node, Records as _, Tree, TreeBuilder};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Coordinator, Options, Paths};

const CONTENT: &[u8] = b"hello";

/// A coordinator that listens.
pub(super) struct Farm {
    pub(super) coordinator: Coordinator,
    authority: Arc<Authority>,
    address: std::net::SocketAddr,
    serving: JoinSet<()>,
}

impl Farm {
    pub(super) fn start(root: &Path) -> Self {
        Self::start_with(root, Arc::new(Authority::new().unwrap()))
    }

    fn start_with(root: &Path, authority: Arc<Authority>) -> Self {
        let store = Store::open_waiting(root, Duration::from_secs(10), &mut |_| {}).unwrap();
        let options = Options {
            resolve_ttl: Duration::from_secs(1),
            registries: RegistryConfig::default(),
            limits: Limits::default(),
            paths: Paths::Refused,
            version: "test".to_owned(),
        };
        let coordinator = Coordinator::new(store, options).unwrap();
        let credentials = authority.issue(&identity(Role::Coordinator)).unwrap();
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap(), &credentials).unwrap();
        let address = endpoint.local_address().unwrap();
        let mut serving = JoinSet::new();
        let served = coordinator.clone();
        serving.spawn(async move { served.serve(endpoint).await });
        Self { coordinator, authority, address, serving }
    }

    /// Ends it, and starts another over the same store.
    pub(super) async fn restart(mut self, root: &Path) -> Self {
        self.coordinator.shutdown().await;
        while self.serving.join_next().await.is_some() {}
        let authority = Arc::clone(&self.authority);
        drop(self);
        Self::start_with(root, authority)
    }

    /// What its requests are served from.
    pub(super) fn inside(&self) -> &Arc<crate::build::Farm> {
        &self.coordinator.service.farm
    }

    pub(super) async fn client(&self) -> Client {
        self.client_as(Role::Client).await
    }

    pub(super) async fn client_as(&self, role: Role) -> Client {
        let credentials = self.authority.issue(&identity(role)).unwrap();
        let endpoint = Endpoint::dialing(&credentials).unwrap();
        let connection = endpoint.connect(self.address, &Expected::any(Role::Coordinator)).await.unwrap();
        let scans = watch::Sender::new(Scans { open: true, asked: 0 });
        let mut answering = JoinSet::new();
        answering.spawn(answer_all(connection.clone(), scans.clone()));
        Client { connection, _endpoint: endpoint, scans, _answering: answering }
    }
}

fn identity(role: Role) -> Identity {
    Identity { role, name: "test".to_owned(), scope: Scope::main() }
}

/// Whether scans are answered, and how many were asked for.
#[derive(Clone, Copy, Debug)]
struct Scans {
    open: bool,
    asked: u32,
}

/// A client that has one file in its context.
pub(super) struct Client {
    pub(super) connection: Connection,
    _endpoint: Endpoint,
    scans: watch::Sender<Scans>,
    _answering: JoinSet<()>,
}

impl Client {
    /// From now on scans are not answered, so that a build stands still.
    pub(super) fn hold(&self) {
        self.scans.send_modify(|scans| scans.open = false);
    }

    pub(super) fn release(&self) {
        self.scans.send_modify(|scans| scans.open = true);
    }

    pub(super) async fn scan_was_asked(&self) {
        self.scans.subscribe().wait_for(|scans| scans.asked > 0).await.unwrap();
    }

    pub(super) async fn ask(&self, request: Request) -> Replies {
        let mut stream = self.connection.open().await.unwrap();
        stream.send(&request).await.unwrap();
        let (sender, receiver) = stream.split();
        Replies { half: Some(sender), receiver }
    }

    pub(super) async fn build(&self, build: BuildId) -> Replies {
        self.ask(Request::Build(Box::new(request(build)))).await
    }
}

/// What comes back.
pub(super) struct Replies {
    half: Option<Sender>,
    receiver: Receiver,
}

impl Replies {
    pub(super) async fn next(&mut self) -> Option<Reply> {
        self.receiver.receive().await.unwrap()
    }

    /// The next event with its position.
    pub(super) async fn event(&mut self) -> Option<(u64, BuildEvent)> {
        match self.next().await? {
            Reply::Event { sequence, recorded } => {
                let Recorded { event, .. } = encoding::decode(&recorded).unwrap();
                Some((sequence, event))
            }
            other @ (Reply::Builds(_)
            | Reply::Images(_)
            | Reply::Image(_)
            | Reply::Waste(_)
            | Reply::Entries(_)
            | Reply::Compared(_)
            | Reply::Sharing(_)
            | Reply::Removed(_)
            | Reply::Usage(_)
            | Reply::Output { .. }
            | Reply::Exited(_)
            | Reply::Status(_)
            | Reply::Moved(_)
            | Reply::Pushed(_)
            | Reply::Loaded(_)
            | Reply::Farm(_)
            | Reply::Actions(_)
            | Reply::Done
            | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }

    /// Every event that is still to come.
    pub(super) async fn events(mut self) -> Vec<(u64, BuildEvent)> {
        let mut all = Vec::new();
        while let Some(event) = self.event().await {
            all.push(event);
        }
        all
    }

    pub(super) fn leave(&mut self) {
        self.half = None;
    }
}

pub(super) fn request(build: BuildId) -> BuildRequest {
    BuildRequest {
        build,
        goal: Goal::Image,
        dockerfile: b"FROM scratch\nCOPY a /b\n".to_vec(),
        dockerfile_name: "Dockerfile".to_owned(),
        context_name: ".".to_owned(),
        target: None,
        build_args: BTreeMap::new(),
        labels: Vec::new(),
        contexts: BTreeMap::new(),
        platform: None,
        build_platform: Platform::host(),
        no_cache: NoCache::Never,
        network: farm_model::op::Network::None,
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        pull: false,
        names: Vec::new(),
        outputs: vec![Output {
            form: Form::OciArchive,
            compression: Compression::Uncompressed,
            level: None,
            names: vec![],
            rewrite_timestamp: false,
            epoch: None,
            label: "archive".to_owned(),
        }],
        wants_image_id: true,
        budget: Budget::default(),
    }
}

fn tree(records: &MemoryRecords) -> Tree {
    let mut builder = TreeBuilder::new(Metadata::plain(0o755, Mtime(0)));
    let metadata = Metadata::plain(0o644, Mtime(1));
    let file = File { metadata, blob: BlobDigest::of(CONTENT), hard_link: None };
    builder.insert(b"a", Node::File(file)).unwrap();
    builder.finish(records).unwrap()
}

async fn answer_all(connection: Connection, scans: watch::Sender<Scans>) {
    let mut answers = JoinSet::new();
    while let Ok(Some(stream)) = connection.accept().await {
        answers.spawn(answer(stream, scans.clone()));
    }
}

async fn answer(mut stream: Stream, scans: watch::Sender<Scans>) {
    let Ok(Some(Question { ask, .. })) = stream.receive::<Question>().await else { return };
    let records = MemoryRecords::new();
    let tree = tree(&records);
    match ask {
        Ask::Scan { context, .. } => {
            assert_eq!(context, ContextName::main());
            scans.send_modify(|scans| scans.asked += 1);
            scans.subscribe().wait_for(|scans| scans.open).await.unwrap();
            let (tree, bytes) = (tree.encode(), CONTENT.len() as u64);
            let _lost = stream.send(&Answer::Scanned { tree, files: 1, bytes }).await;
        }
        Ask::Records { digests, .. } => {
            for digest in digests {
                let entries = records.entries(digest).unwrap();
                stream.halves().0.item(&farm_tree::encoding::encode(&entries)).await.unwrap();
            }
        }
        Ask::Blobs { blobs, .. } => {
            for _ in blobs {
                stream.halves().0.item(CONTENT).await.unwrap();
            }
        }
        Ask::Output { .. } => {
            let mut written = 0;
            while let Some(part) = stream.receive::<OutputPart>().await.unwrap() {
                match part {
                    OutputPart::Bytes(bytes) => written += bytes.len() as u64,
                    OutputPart::Done => break,
                    OutputPart::Failed => panic!("the output failed"),
                }
            }
            stream.send(&Answer::Written { bytes: written }).await.unwrap();
        }
        Ask::Exported(_) => stream.send(&Answer::Noted).await.unwrap(),
        other @ (Ask::Locate { .. }
        | Ask::Secret { .. }
        | Ask::Agent { .. }
        | Ask::AgentConnection { .. }
        | Ask::LayoutFile { .. }) => panic!("{other:?}"),
    }
    let _sent = stream.finish();
}
