//! Two stores and a connection between them.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use farm_exchange::Source;
use farm_model::result::LayerRef;
use farm_model::{BlobDigest, Scope};
use farm_proto::blob::Fetch;
use farm_proto::worker::Errand;
use farm_store::Store;
use farm_transport::{Authority, Connection, Endpoint, Expected, Identity, Role};
use farm_tree::{File, Metadata, Mtime, Node, Records as _, Tree, TreeBuilder};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// What a source does with a question.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Manner {
    Honest,
    /// Answers the first questions, then the whole machine is gone.
    VanishesAtBlobs,
    /// Sends zeros in place of every content.
    Corrupt,
}

struct Machine {
    _root: TempDir,
    store: Store,
}

fn node() -> Machine {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    Machine { _root: root, store }
}

/// A layer with small and large files in several directories.
fn layer(store: &Store, files: u32, seed: u8) -> (LayerRef, Tree) {
    let mut builder = TreeBuilder::default();
    for number in 0..files {
        let size = if number % 50 == 0 { 3 << 20 } else { 100 + number as usize * 7 };
        let mut bytes = vec![seed; size];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let blob = store.ingest(&mut bytes.as_slice(), None).unwrap();
        let file = File { metadata: Metadata::plain(0o644, Mtime(5)), blob, hard_link: None };
        let path = format!("d{}/e{}/f{number}", number % 7, number % 3);
        builder.insert(path.as_bytes(), Node::File(file)).unwrap();
    }
    let tree = builder.finish(store).unwrap();
    (store.put_tree(&tree).unwrap(), tree)
}

struct Net {
    authority: Authority,
    dialler: Endpoint,
    tasks: JoinSet<()>,
}

impl Net {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let identity = Identity::new(Role::Coordinator, "brain", Scope::main()).unwrap();
        let dialler = Endpoint::dialing(&authority.issue(&identity).unwrap()).unwrap();
        Self { authority, dialler, tasks: JoinSet::new() }
    }

    /// A worker that serves `store`, seen from the coordinator.
    async fn source(&mut self, name: &str, store: &Store, manner: Manner) -> Source {
        let identity = Identity::new(Role::Worker, name, Scope::main()).unwrap();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Endpoint::bind(local, &self.authority.issue(&identity).unwrap()).unwrap();
        let address = endpoint.local_address().unwrap();
        let store = store.clone();
        self.tasks.spawn(async move {
            let connection = endpoint.accept().await.unwrap().finish().await.unwrap();
            let mut answers = JoinSet::new();
            while let Ok(Some(stream)) = connection.accept().await {
                answers.spawn(answer(stream, store.clone(), connection.clone(), manner));
            }
        });
        Source::Worker(self.dialler.connect(address, &Expected::named(Role::Worker, name)).await.unwrap())
    }
}

async fn answer(mut stream: farm_transport::Stream, store: Store, connection: Connection, manner: Manner) {
    let errand = stream.receive().await.unwrap().unwrap();
    let Errand::Fetch(fetch) = errand else { panic!("{errand:?}") };
    match (manner, &fetch) {
        (Manner::VanishesAtBlobs, Fetch::Blobs { blobs }) => {
            let (mut sender, _receiver) = stream.split();
            let first = store.read_blob(&blobs[0], u64::MAX).unwrap();
            sender.item(&first).await.unwrap();
            connection.close("the plug was pulled");
        }
        (Manner::Corrupt, Fetch::Blobs { blobs }) => {
            let (mut sender, _receiver) = stream.split();
            for blob in blobs {
                let zeros = vec![0; usize::try_from(blob.size).unwrap()];
                if sender.item(&zeros).await.is_err() {
                    return;
                }
            }
            let _gone = sender.finish();
        }
        _ => {
            let _gone = farm_exchange::serve(&store, fetch, stream).await;
        }
    }
}

fn files(tree: &Tree, store: &Store) -> Vec<BlobDigest> {
    let files = farm_tree::walk(store, tree).map(|step| step.unwrap().1);
    files
        .filter_map(|entry| match entry {
            farm_tree::Entry::Node(Node::File(file)) => Some(file.blob),
            _ => None,
        })
        .collect()
}

fn damage_blob_files(root: &Path) {
    for directory in std::fs::read_dir(root.join("blobs")).unwrap() {
        for file in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let size = std::fs::metadata(&path).unwrap().len();
            std::fs::write(&path, vec![0xee; usize::try_from(size).unwrap()]).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_layer_arrives_with_everything_in_it() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (layer, tree) = layer(&from.store, 300, 1);
    let source = net.source("a", &from.store, Manner::Honest).await;
    assert!(!to.store.is_complete(&layer.digest).unwrap());
    let brought = farm_exchange::bring(&to.store, &[layer.digest], &[source.clone()]).await.unwrap();
    assert_eq!((brought.missing.as_slice(), brought.completed.as_slice()), (&[][..], &[layer.digest][..]));
    assert!(brought.bytes > 6 * (3 << 20));
    assert!(to.store.is_complete(&layer.digest).unwrap());
    assert_eq!(to.store.tree(&layer.digest).unwrap(), Some(tree));
    let again = farm_exchange::bring(&to.store, &[layer.digest], &[source]).await.unwrap();
    assert_eq!(again.bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_missing_is_sent() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (layer_a, _) = layer(&from.store, 100, 1);
    layer(&to.store, 100, 1);
    let mut builder = TreeBuilder::default();
    let blob = from.store.ingest(&mut b"only this".as_slice(), None).unwrap();
    let file = File { metadata: Metadata::plain(0o644, Mtime(5)), blob, hard_link: None };
    builder.insert(b"new/file", Node::File(file)).unwrap();
    let above = builder.finish(&from.store).unwrap();
    let tree_a = from.store.tree(&layer_a.digest).unwrap().unwrap();
    let merged = farm_tree::merge(&from.store, &tree_a, &above).unwrap();
    let merged = from.store.put_tree(&merged).unwrap();
    let source = net.source("a", &from.store, Manner::Honest).await;
    let brought = farm_exchange::bring(&to.store, &[merged.digest], &[source]).await.unwrap();
    assert!(brought.missing.is_empty());
    // The root's record, that of `new`, the tree and nine bytes.
    assert!(brought.bytes < 4096, "{} bytes came", brought.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_source_has_is_named_and_the_rest_arrives() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (here, _) = layer(&from.store, 10, 1);
    let nowhere = farm_model::LayerDigest([7; 32]);
    let source = net.source("a", &from.store, Manner::Honest).await;
    let wanted = [nowhere, here.digest];
    let missing = farm_exchange::layers(&to.store, &wanted, &[source.clone()]).await.unwrap();
    assert_eq!(missing, [nowhere]);
    assert!(to.store.is_complete(&here.digest).unwrap());
    let absent = BlobDigest::of(b"nobody has this");
    assert_eq!(farm_exchange::blobs(&to.store, vec![absent, absent], &[source]).await.unwrap(), [absent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_sends_other_bytes_is_passed_over_and_nothing_wrong_is_kept() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (layer, tree) = layer(&from.store, 120, 3);
    let liar = net.source("liar", &from.store, Manner::Corrupt).await;
    let missing = farm_exchange::layers(&to.store, &[layer.digest], &[liar.clone()]).await.unwrap();
    assert_eq!(missing, [layer.digest]);
    assert!(files(&tree, &from.store).iter().all(|blob| !to.store.contains(blob).unwrap()));
    let honest = net.source("honest", &from.store, Manner::Honest).await;
    let missing = farm_exchange::layers(&to.store, &[layer.digest], &[liar, honest]).await.unwrap();
    assert!(missing.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_disk_is_noticed_on_the_way_and_another_source_takes_over() {
    let (from, second, to, mut net) = (node(), node(), node(), Net::new());
    let (wanted, _) = layer(&from.store, 120, 3);
    layer(&second.store, 120, 3);
    damage_blob_files(from.store.root());
    let damaged = net.source("damaged", &from.store, Manner::Honest).await;
    let good = net.source("good", &second.store, Manner::Honest).await;
    let missing = farm_exchange::layers(&to.store, &[wanted.digest], &[damaged, good]).await.unwrap();
    assert!(missing.is_empty());
    assert!(!from.store.is_complete(&wanted.digest).unwrap(), "what is damaged counts as missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_source_takes_over_from_one_that_vanishes_in_the_middle() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (layer, _) = layer(&from.store, 200, 9);
    let first = net.source("first", &from.store, Manner::VanishesAtBlobs).await;
    let second = net.source("second", &from.store, Manner::Honest).await;
    let missing = farm_exchange::layers(&to.store, &[layer.digest], &[first, second]).await.unwrap();
    assert!(missing.is_empty());
    assert!(to.store.is_complete(&layer.digest).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_lies_about_its_records_is_not_kept() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (_, mut tree) = layer(&from.store, 5, 1);
    tree.root.record.bytes += 1;
    // The own store believes what it is told, as a hostile one would.
    let lie = from.store.put_tree(&tree).unwrap();
    let source = net.source("a", &from.store, Manner::Honest).await;
    assert_eq!(farm_exchange::trees(&to.store, &[lie.digest], &[source]).await.unwrap(), [lie.digest]);
    assert!(to.store.tree(&lie.digest).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_answer_another_question_are_taken() {
    let (from, to, mut net) = (node(), node(), Net::new());
    let (_, tree) = layer(&from.store, 20, 1);
    let store = Arc::new(from.store.clone());
    let Source::Worker(connection) = net.source("a", &store, Manner::Honest).await else { unreachable!() };
    let absent = farm_model::DirectoryDigest([1; 32]);
    let digests = vec![tree.root.record.digest, absent];
    let mut stream = connection.open().await.unwrap();
    stream.send(&Errand::Fetch(Fetch::Records { digests: digests.clone() })).await.unwrap();
    let (_sender, receiver) = stream.split();
    let missing = farm_exchange::take_records(&to.store, receiver, &digests).await.unwrap();
    assert_eq!(missing, [absent]);
    assert!(to.store.entries(tree.root.record.digest).is_ok());
}
