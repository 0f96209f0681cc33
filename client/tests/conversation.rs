//! A client against a coordinator that is made of a script: what is shown after a lost connection, and what is answered.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use farm_client::{Answers, Client, Context, Destination, Error, SecretSource, attach, build};
use farm_dockerfile::ignore::IgnorePatterns;
use farm_model::event::{Ending, encoding};
use farm_model::op::Network;
use farm_model::{BlobDigest, BuildEvent, BuildId, ContextName, Platform, Recorded, Scope};
use farm_proto::Secret;
use farm_proto::budget::Budget;
use farm_proto::client::{BuildRequest, Compression, Form, Goal, Interest, NoCache, Output, Reply, Request};
use farm_proto::session::{Answer, Ask, OutputPart, Question};
use farm_transport::{Authority, Connection, Credentials, Endpoint, Identity, Role, Stream};

const BUILD: BuildId = BuildId([7; 8]);

/// A coordinator's endpoint, where it listens, and what a client needs to reach it.
fn farm() -> (Endpoint, SocketAddr, Credentials) {
    let authority = Authority::new().unwrap();
    let issue = |role, name| authority.issue(&Identity::new(role, name, Scope::main()).unwrap()).unwrap();
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0).into(), &issue(Role::Coordinator, "c")).unwrap();
    let address = endpoint.local_address().unwrap();
    (endpoint, address, issue(Role::Client, "me"))
}

fn request() -> BuildRequest {
    let output = |form| Output {
        form,
        compression: Compression::Gzip,
        level: None,
        names: vec![],
        rewrite_timestamp: false,
        epoch: None,
        label: String::new(),
    };
    BuildRequest {
        build: BUILD,
        goal: Goal::Image,
        dockerfile: b"FROM scratch".to_vec(),
        dockerfile_name: "Dockerfile".to_owned(),
        context_name: ".".to_owned(),
        target: None,
        build_args: BTreeMap::new(),
        labels: Vec::new(),
        contexts: BTreeMap::new(),
        platform: None,
        build_platform: Platform::host(),
        no_cache: NoCache::Never,
        network: Network::Default,
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        pull: false,
        names: Vec::new(),
        outputs: vec![output(Form::OciArchive)],
        wants_image_id: false,
        budget: Budget::default(),
    }
}

/// The next connection of a client, and the request that it sends.
async fn accept(endpoint: &Endpoint) -> (Connection, Stream, Request) {
    let connection = endpoint.accept().await.unwrap().finish().await.unwrap();
    let mut stream = connection.accept().await.unwrap().unwrap();
    let request = stream.receive().await.unwrap().unwrap();
    (connection, stream, request)
}

async fn tell(stream: &mut Stream, sequence: u64, event: BuildEvent) {
    let recorded = encoding::encode(&Recorded { at: sequence, event });
    stream.send(&Reply::Event { sequence, recorded }).await.unwrap();
}

fn warning(text: &str) -> BuildEvent {
    BuildEvent::Warned { message: text.to_owned() }
}

async fn ask(connection: &Connection, ask: Ask) -> Stream {
    let mut stream = connection.open().await.unwrap();
    stream.send(&Question { build: BUILD, ask }).await.unwrap();
    stream
}

async fn answer(connection: &Connection, question: Ask) -> Answer {
    ask(connection, question).await.receive().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_no_event_is_shown_twice() {
    let (endpoint, address, credentials) = farm();
    let coordinator = async {
        let (connection, mut stream, first) = accept(&endpoint).await;
        tell(&mut stream, 0, warning("zero")).await;
        tell(&mut stream, 1, warning("one")).await;
        // The client has heard of the build once it answers.
        answer(&connection, Ask::Secret { id: "none".to_owned() }).await;
        connection.close("gone");
        let (connection, mut stream, second) = accept(&endpoint).await;
        assert_eq!(first, second, "the same request takes the build up again");
        for (sequence, text) in [(0, "zero"), (1, "one"), (2, "two")] {
            tell(&mut stream, sequence, warning(text)).await;
        }
        tell(&mut stream, 3, BuildEvent::Ended(Ending::Succeeded { image: None })).await;
        connection.closed().await;
    };
    let mut shown = Vec::new();
    let following = build::<Error>(
        async || Client::connect(address, &credentials).await,
        request(),
        Answers::default(),
        std::future::pending(),
        |sequence, _| shown.push(sequence),
    );
    let ((), ending) = tokio::join!(coordinator, following);
    assert_eq!(ending.unwrap(), Ending::Succeeded { image: None });
    assert_eq!(shown, [0, 1, 2, 3]);
}

#[tokio::test]
async fn who_leaves_ends_its_half_and_still_hears_the_end() {
    let (endpoint, address, credentials) = farm();
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let coordinator = async {
        let (connection, mut stream, _) = accept(&endpoint).await;
        tell(&mut stream, 0, warning("zero")).await;
        leave.send(()).unwrap();
        assert!(stream.receive::<Request>().await.unwrap().is_none(), "its half has ended");
        tell(&mut stream, 1, BuildEvent::Ended(Ending::Cancelled)).await;
        connection.closed().await;
    };
    let following = build::<Error>(
        async || Client::connect(address, &credentials).await,
        request(),
        Answers::default(),
        async { left.await.unwrap() },
        |_, _| {},
    );
    let ((), ending) = tokio::join!(coordinator, following);
    assert_eq!(ending.unwrap(), Ending::Cancelled);
}

#[tokio::test]
async fn a_log_without_an_end_is_that_of_an_interrupted_build() {
    let (endpoint, address, credentials) = farm();
    let coordinator = async {
        let (connection, mut stream, request) = accept(&endpoint).await;
        assert_eq!(request, Request::Attach { build: BUILD, from: 5, interest: Interest::Watch });
        tell(&mut stream, 5, warning("five")).await;
        stream.finish().unwrap();
        connection.closed().await;
    };
    let mut shown = Vec::new();
    let following = attach::<Error>(
        async || Client::connect(address, &credentials).await,
        BUILD,
        5,
        Interest::Watch,
        std::future::pending(),
        |sequence, _| shown.push(sequence),
    );
    let ((), ending) = tokio::join!(coordinator, following);
    assert_eq!(ending.unwrap(), Ending::Interrupted);
    assert_eq!(shown, [5]);
}

fn digest(bytes: &[u8]) -> BlobDigest {
    BlobDigest { hash: *blake3::hash(bytes).as_bytes(), size: bytes.len() as u64 }
}

fn answers(context: &Path, output: &Path) -> Answers {
    let mut answers = Answers::default();
    answers.contexts.insert(ContextName::main(), Context::new(context, IgnorePatterns::default()).unwrap());
    let secret = SecretSource::Variable { name: "V".to_owned(), value: Some(Secret::new(b"s".to_vec())) };
    answers.secrets.insert("known".to_owned(), secret);
    answers.outputs.push(Destination::File(output.to_owned()));
    answers
}

/// Asks for the contents that a scan found, one of which has changed since.
async fn contents(connection: &Connection, context: &Path) {
    let scan = Ask::Scan { context: ContextName::main(), paths: vec![String::new()] };
    let Answer::Scanned { tree, files, bytes } = answer(connection, scan).await else { panic!("scanned") };
    assert_eq!((files, bytes), (2, 2 << 20));
    let tree = farm_tree::Tree::decode(&tree).unwrap();
    let ask_for = Ask::Records { context: ContextName::main(), digests: vec![tree.root.record.digest] };
    let (_sender, mut items) = ask(connection, ask_for).await.split();
    let record = items.item(1 << 20).await.unwrap().unwrap();
    assert_eq!(farm_tree::encoding::decode(&record).unwrap().len(), 2);
    std::fs::write(context.join("b"), vec![3; 1 << 20]).unwrap();
    let blobs = vec![digest(&vec![2; 1 << 20]), digest(&vec![1; 1 << 20]), digest(b"never seen")];
    let (_sender, mut items) =
        ask(connection, Ask::Blobs { context: ContextName::main(), blobs }).await.split();
    assert_eq!(items.item(2 << 20).await.unwrap(), None, "it has changed");
    assert_eq!(items.item(2 << 20).await.unwrap(), Some(vec![1; 1 << 20]));
    assert_eq!(items.item(2 << 20).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_build_asks_is_answered() {
    let (endpoint, address, credentials) = farm();
    let root = tempfile::tempdir().unwrap();
    let (context, output) = (root.path().join("context"), root.path().join("out.tar"));
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("a"), vec![1; 1 << 20]).unwrap();
    std::fs::write(context.join("b"), vec![2; 1 << 20]).unwrap();
    let coordinator = async {
        let (connection, mut stream, _) = accept(&endpoint).await;
        contents(&connection, &context).await;
        let secret = |id: &str| Ask::Secret { id: id.to_owned() };
        let known = Answer::Secret(Some(Secret::new(b"s".to_vec())));
        assert_eq!(answer(&connection, secret("known")).await, known);
        assert_eq!(answer(&connection, secret("unknown")).await, Answer::Secret(None));
        let layout = Ask::LayoutFile { layout: "/etc".to_owned(), file: "index.json".to_owned() };
        let (_sender, mut items) = ask(&connection, layout).await.split();
        assert_eq!(items.item(1).await.unwrap(), None, "the build names no such layout");
        for (last, there) in [(OutputPart::Failed, false), (OutputPart::Done, true)] {
            let mut writing = ask(&connection, Ask::Output { index: 0, image: None }).await;
            writing.send(&OutputPart::Bytes(b"tar".to_vec())).await.unwrap();
            writing.send(&last).await.unwrap();
            let said: Answer = writing.receive().await.unwrap().unwrap();
            assert_eq!(matches!(said, Answer::Written { bytes: 3 }), there, "{said:?}");
            assert_eq!(output.exists(), there);
        }
        tell(&mut stream, 0, BuildEvent::Ended(Ending::Succeeded { image: None })).await;
        connection.closed().await;
    };
    let following = build::<Error>(
        async || Client::connect(address, &credentials).await,
        request(),
        answers(&context, &output),
        std::future::pending(),
        |_, _| {},
    );
    let ((), ending) = tokio::join!(coordinator, following);
    assert_eq!(ending.unwrap(), Ending::Succeeded { image: None });
    assert_eq!(std::fs::read(&output).unwrap(), b"tar");
}
