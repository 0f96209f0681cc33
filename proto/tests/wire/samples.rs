//! At least one of every variant of every message.

mod images;

use std::collections::BTreeMap;

use farm_model::event::{Blame, MachineLoad, Stream};
use farm_model::op::{Network, Sharing, Ulimit};
use farm_model::result::LayerRef;
use farm_model::{
    BlobDigest, BuildId, ContentDigest, ContextName, DirectoryDigest, Exit, LayerDigest, LeaseId, OciDigest,
    Platform, Scope, StageId, StepDigest, StepId, Usage, WorkerId,
};
use farm_proto::blob::Fetch;
use farm_proto::budget::{Budget, Growth};
use farm_proto::client::*;
use farm_proto::image::*;
use farm_proto::image_query::*;
use farm_proto::message::Made;
use farm_proto::session::{Answer, Ask, OutputPart, Question};
use farm_proto::transfer::{
    ExportedImage, Moved, Packing, PullRequest, PushRequest, PushedImage, SaveRequest,
};
use farm_proto::worker::{Accounts, Errand, Opening};
use farm_proto::*;

use images::{comparison, image, listing, sharing, waste};

pub(crate) const LEASE: LeaseId = LeaseId { epoch: 3, counter: 4 };
pub(crate) const SECRET: &[u8] = b"correct horse";
const BUILD: BuildId = BuildId([1, 2, 3, 4, 5, 6, 7, 8]);
const LOAD: MachineLoad = MachineLoad {
    cpu: 1,
    processors: 2,
    memory: 3,
    memory_total: 4,
    received: 5,
    sent: 6,
    disk: 7,
    disk_total: 8,
};
const BLOB: BlobDigest = BlobDigest { hash: [9; 32], size: 10 };

fn text(text: &str) -> String {
    text.to_owned()
}

fn layer() -> LayerRef {
    LayerRef { digest: LayerDigest([1; 32]), content: ContentDigest([2; 32]) }
}

fn platform() -> Platform {
    "linux/arm/v7".parse().unwrap()
}

fn build() -> BuildRequest {
    let local = (text("a"), NamedContext::Local);
    let image = (text("b"), NamedContext::Image("busybox".parse().unwrap()));
    let layout = NamedContext::OciLayout { path: text("/x"), reference: Some(text("latest")) };
    BuildRequest {
        build: BUILD,
        goal: Goal::Image,
        dockerfile: b"FROM scratch\n".to_vec(),
        dockerfile_name: text("Dockerfile"),
        context_name: text("."),
        target: Some(text("final")),
        build_args: BTreeMap::from([(text("A"), text("1")), (text("B"), text(""))]),
        labels: vec![(text("l"), text("m"))],
        contexts: BTreeMap::from([local, image, (text("c"), layout)]),
        platform: Some(platform()),
        build_platform: platform(),
        no_cache: NoCache::Stages(vec![text("build")]),
        network: Network::None,
        extra_hosts: vec![(text("h"), text("::1"))],
        shm_size: Some(64),
        ulimits: vec![Ulimit { name: text("nofile"), soft: 1, hard: u64::MAX }],
        pull: true,
        names: vec!["a:1".parse().unwrap()],
        outputs: vec![
            output(Form::OciArchive, Compression::Gzip),
            output(Form::FilesystemTar, Compression::Uncompressed),
            output(Form::DockerArchive, Compression::Zstd),
            output(Form::Registry, Compression::Gzip),
            output(Form::Image, Compression::Gzip),
        ],
        wants_image_id: true,
        budget: Budget { max_bytes: Some(1), max_growth: Some(Growth::Bytes(2)) },
    }
}

fn output(form: Form, compression: Compression) -> Output {
    Output {
        form,
        compression,
        level: Some(9),
        names: vec!["r.example/a:1".parse().unwrap()],
        rewrite_timestamp: true,
        epoch: Some(-1),
        label: text("type=oci"),
    }
}

pub(crate) fn requests() -> Vec<Request> {
    let budget = Budget { max_bytes: None, max_growth: Some(Growth::Hundredths(1250)) };
    let plan = BuildRequest { goal: Goal::Plan, no_cache: NoCache::All, platform: None, budget, ..build() };
    let run = RunRequest {
        image: text("busybox"),
        command: vec![text("sh")],
        entrypoint: Some(vec![]),
        env: vec![(text("A"), text("b"))],
        user: Some(text("me")),
        workdir: None,
        network: Network::Default,
        platform: platform(),
    };
    let packing = Packing { compression: Compression::Zstd, level: Some(3) };
    vec![
        Request::Build(Box::new(build())),
        Request::Build(Box::new(plan)),
        Request::Attach { build: BUILD, from: 7, interest: Interest::Want },
        Request::Attach { build: BUILD, from: 0, interest: Interest::Watch },
        Request::Cancel { build: BUILD },
        Request::Builds { limit: 10 },
        Request::Images,
        Request::Inspect { image: text("a:1") },
        Request::Waste { image: text("a:1"), worst: 3 },
        Request::Entries(Box::new(EntriesRequest {
            image: text("a:1"),
            layer: Some(1),
            path: b"/etc".to_vec(),
            skip: 2,
            limit: 3,
        })),
        Request::Compare { before: text("a:1"), after: text("b:2"), limit: 5 },
        Request::Sharing,
        Request::Tag { image: text("a:1"), name: "b:2".parse().unwrap() },
        Request::Remove { images: vec![text("a:1"), text("b:2")] },
        Request::DiskUsage,
        Request::Prune(PruneRequest {
            kinds: vec![UsageKind::Images, UsageKind::Metadata],
            unused_for: Some(1),
            keep_bytes: None,
            all: true,
            dry_run: false,
        }),
        Request::Run(Box::new(run)),
        Request::Status,
        Request::Stop(Stop::Now),
        Request::Stop(Stop::WhenIdle),
        Request::Push(Box::new(PushRequest { image: text("a"), name: "a:1".parse().unwrap(), packing })),
        Request::Pull(Box::new(PullRequest { name: "a:1".parse().unwrap(), platform: platform() })),
        Request::Save(Box::new(SaveRequest { images: vec![text("a")], form: Form::OciArchive, packing })),
        Request::Load,
        Request::Watch,
        Request::Move { build: BUILD, step: StepId { stage: StageId(1), index: 2 } },
        Request::Drain { worker: WorkerId(text("w1")), duty: Duty::Drained },
        Request::Drain { worker: WorkerId(text("w1")), duty: Duty::Open },
        Request::Pin { image: text("a:1"), pinning: Pinning::Pinned },
        Request::Pin { image: text("a:1"), pinning: Pinning::Free },
        Request::Actions { limit: 5 },
    ]
}

fn summary(state: BuildState) -> BuildSummary {
    BuildSummary {
        build: BUILD,
        started: 1,
        micros: 2,
        state,
        dockerfile: text("Dockerfile"),
        context: text("."),
        target: None,
        names: vec![],
        steps: 3,
        cached: 2,
        done: 1,
        image_bytes: Some(9),
        client: text("ci"),
    }
}

pub(crate) fn replies() -> Vec<Reply> {
    let worker = WorkerStatus {
        worker: text("w1"),
        platform: platform(),
        slots: 1,
        running: 2,
        draining: true,
        most: 3,
        labels: vec![text("gpu")],
        load: Some(LOAD),
    };
    let status = Status {
        version: text("0.1.0"),
        pid: 1,
        started: 2,
        running_builds: 3,
        state: text("/var/lib/farm"),
        resident_bytes: 4,
        workers: vec![worker],
    };
    let states = [
        BuildState::Running,
        BuildState::Succeeded,
        BuildState::Failed,
        BuildState::Cancelled,
        BuildState::Interrupted,
    ];
    let kinds = [UsageKind::Cache, UsageKind::CacheMounts, UsageKind::Packed, UsageKind::BaseBlobs];
    let row = |kind| UsageRow { kind, count: 1, bytes: 2, reclaimable: 3 };
    let refusal = Refusal { blame: Blame::Usage, message: text("no"), hint: Some(text("ask")) };
    vec![
        Reply::Event { sequence: 1, recorded: vec![1, 2, 3] },
        Reply::Builds(states.map(summary).to_vec()),
        Reply::Images(vec![image().summary]),
        Reply::Image(Box::new(image())),
        Reply::Waste(Box::new(waste())),
        Reply::Entries(Box::new(listing())),
        Reply::Compared(Box::new(comparison())),
        Reply::Sharing(Box::new(sharing())),
        Reply::Removed(vec![text("a:1")]),
        Reply::Usage(vec![NodeUsage {
            worker: Some(text("w1")),
            rows: kinds.map(row).to_vec(),
            failure: Some(text("away")),
        }]),
        Reply::Output { stream: Stream::Stderr, bytes: vec![0, 255] },
        Reply::Exited(Exit::Signal(9)),
        Reply::Status(Box::new(status)),
        Reply::Done,
        Reply::Refused(refusal),
        Reply::Moved(Moved { bytes: 1, done: 2 }),
        Reply::Pushed(Box::new(PushedImage {
            name: text("a:1"),
            digest: OciDigest([1; 32]),
            uploaded: 2,
            uploaded_bytes: 3,
            mounted: 4,
            present: 5,
        })),
        Reply::Loaded(vec![text("a:1")]),
        Reply::Farm(vec![vec![1, 2], vec![]]),
        Reply::Actions(vec![vec![3]]),
    ]
}

pub(crate) fn questions() -> Vec<Question> {
    let context = ContextName::main;
    [
        Ask::Scan { context: context(), paths: vec![text("")] },
        Ask::Records { context: context(), digests: vec![DirectoryDigest([1; 32])] },
        Ask::Locate { context: context(), blobs: vec![BLOB] },
        Ask::Blobs { context: context(), blobs: vec![BLOB, BLOB] },
        Ask::Secret { id: text("token") },
        Ask::Agent { id: text("default") },
        Ask::AgentConnection { id: text("default") },
        Ask::LayoutFile { layout: text("/x"), file: text("index.json") },
        Ask::Output { index: 1, image: Some(OciDigest([3; 32])) },
        Ask::Exported(ExportedImage { config: OciDigest([4; 32]), descriptor: b"{}".to_vec() }),
    ]
    .map(|ask| Question { build: BUILD, ask })
    .to_vec()
}

pub(crate) fn answers() -> Vec<Answer> {
    vec![
        Answer::Scanned { tree: vec![1], files: 2, bytes: 3 },
        Answer::Located(vec![None, Some(b"/a".to_vec())]),
        Answer::Secret(Some(Secret::new(SECRET.to_vec()))),
        Answer::Secret(None),
        Answer::Agent(Some(text("/run/agent"))),
        Answer::Written { bytes: 4 },
        Answer::Failed { reason: text("no"), hint: None },
        Answer::Noted,
    ]
}

pub(crate) fn parts() -> Vec<OutputPart> {
    vec![OutputPart::Bytes(vec![1; 1000]), OutputPart::Done, OutputPart::Failed]
}

pub(crate) fn errands() -> Vec<Errand> {
    let (request, pinned) = (prune(), vec![LayerDigest([1; 32])]);
    let mut errands = vec![Errand::Usage { pinned: pinned.clone() }, Errand::Prune { request, pinned }];
    errands.extend(fetches().into_iter().map(Errand::Fetch));
    errands
}

fn prune() -> PruneRequest {
    let kinds = vec![UsageKind::Images, UsageKind::Metadata];
    PruneRequest { kinds, unused_for: Some(1), keep_bytes: Some(2), all: true, dry_run: true }
}

pub(crate) fn accounts() -> Vec<Accounts> {
    let row = UsageRow { kind: UsageKind::Images, count: 1, bytes: 2, reclaimable: 3 };
    vec![Accounts::Rows(vec![row]), Accounts::Failed(text("no"))]
}

fn fetches() -> Vec<Fetch> {
    vec![
        Fetch::Trees { layers: vec![LayerDigest([1; 32])] },
        Fetch::Records { digests: vec![DirectoryDigest([2; 32]); 3] },
        Fetch::Blobs { blobs: vec![BLOB] },
    ]
}

pub(crate) fn openings() -> Vec<Opening> {
    let mut openings = vec![Opening::Session, Opening::Agent { lease: LEASE, id: text("default") }];
    openings.extend(fetches().into_iter().map(Opening::Fetch));
    openings
}

pub(crate) fn mounts() -> Vec<TaskMount> {
    let cache = CacheMount {
        id: text("main/apt"),
        sharing: Sharing::Locked,
        read_only: true,
        fresh: Some(1),
        seed: Some((vec![layer()], layer(), text("/"))),
        mode: 0o755,
        uid: 1,
        gid: 2,
    };
    let ssh = |agent| TaskMountKind::Ssh { agent, mode: 0o600, uid: 0, gid: 0 };
    [
        TaskMountKind::Bind { layers: vec![layer()], merged: layer(), source: text("/"), writable: true },
        TaskMountKind::Cache(cache),
        TaskMountKind::Tmpfs { size: Some(1) },
        TaskMountKind::Secret { value: Secret::new(SECRET.to_vec()), mode: 0o400, uid: 1, gid: 2 },
        TaskMountKind::SecretEnv { name: text("TOKEN"), value: Secret::new(SECRET.to_vec()) },
        ssh(Agent::Path(text("/run/agent"))),
        ssh(Agent::Client { id: text("default") }),
    ]
    .map(|kind| TaskMount { target: text("/t"), kind })
    .to_vec()
}

pub(crate) fn orders() -> Vec<CoordinatorMessage> {
    let run = RunTask {
        layers: vec![layer()],
        merged: layer(),
        argv: vec![text("/bin/sh"), text("-c"), text("make")],
        env: vec![(text("A"), text("b"))],
        user: text(""),
        workdir: text("/"),
        mounts: mounts(),
        files: vec![(text("/dev/x"), b"#!/bin/sh\n".to_vec())],
        network: Network::Host,
        hostname: text("h"),
        extra_hosts: vec![(text("a"), text("::1"))],
        shm_size: None,
        ulimits: vec![],
        keep: Keep::Layer,
    };
    let thrown = RunTask { keep: Keep::Nothing, mounts: vec![], ..run.clone() };
    let execute = |run| CoordinatorMessage::Execute {
        lease: LEASE,
        key: StepDigest([5; 32]),
        scope: Scope::main(),
        task: Task::Run(Box::new(run)),
        peers: vec![Peer { worker: WorkerId(text("w2")), address: text("[::1]:1") }],
    };
    vec![
        execute(run),
        execute(thrown),
        CoordinatorMessage::Cancel { lease: LEASE },
        CoordinatorMessage::Drain,
        CoordinatorMessage::Restore,
    ]
}

pub(crate) fn reports() -> Vec<WorkerMessage> {
    let usage = Usage { wall_micros: 1, cpu_micros: 2, peak_memory: 3 };
    let made = Made { layer: layer(), tree: vec![1, 2] };
    let failure =
        Failure { blame: Blame::Environment, message: text("no"), hint: None, lost: vec![layer().digest] };
    let mut reports = vec![
        WorkerMessage::Hello {
            slots: 2,
            most: 16,
            platform: platform(),
            labels: vec![text("gpu")],
            address: Some(text("10.0.0.1:1")),
            running: vec![(LEASE, StepDigest([6; 32]), Scope::main())],
        },
        WorkerMessage::Holdings { added: vec![layer().digest], removed: vec![] },
        WorkerMessage::Heartbeat { leases: vec![LEASE] },
        WorkerMessage::Load { leases: vec![(LEASE, 1500)] },
        WorkerMessage::Bandwidth { bytes_per_second: 1 << 30 },
        WorkerMessage::Machine(LOAD),
        WorkerMessage::Fetched { lease: LEASE, bytes: 1, micros: 2 },
        WorkerMessage::Started { lease: LEASE },
        WorkerMessage::Logged { lease: LEASE, stream: Stream::Stdout, bytes: b"hi\n".to_vec() },
        WorkerMessage::Warned { lease: LEASE, message: text("careful") },
        WorkerMessage::Records { lease: LEASE, records: vec![vec![1; 30], vec![], vec![2; 50]] },
    ];
    let outcomes = [
        Outcome::Success { layer: Some(made), usage, ended: -1 },
        Outcome::UserFailure { exit: Exit::Code(1), usage },
        Outcome::Failure(failure),
        Outcome::Cancelled,
    ];
    reports.extend(outcomes.map(|outcome| WorkerMessage::Finished { lease: LEASE, outcome }));
    reports
}
