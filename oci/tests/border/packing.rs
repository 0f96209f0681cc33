//! Trees become tars and trees again.

use std::collections::BTreeMap;

use farm_oci::pack::write_tar;
use farm_tree::{Device, DeviceKind, Directory, File, Metadata, Mtime, Node, Symlink, Tree, TreeBuilder};
use proptest::prelude::*;

use crate::support::{Scene, run, text};

/// What happens to a path of a tree in the making.
#[derive(Clone, Debug)]
enum Action {
    Directory(bool),
    File(String),
    Link(Vec<u8>),
    Symlink(String),
    Device(DeviceKind),
    Whiteout,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-c]", 1 => "[a-c]-", 1 => "[é☃\\\\ ]{1,3}", 1 => "x{90,110}"]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..5).prop_map(|names| names.join("/").into_bytes())
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let xattrs =
        prop::collection::btree_map("user\\.[a-c]{1,3}", prop::collection::vec(any::<u8>(), 0..20), 0..2);
    let id = prop_oneof![4 => 0..3_u32, 1 => any::<u32>()];
    let time = prop_oneof![3 => (0..9_i64).prop_map(|seconds| seconds * 1_000_000_000), 1 => 0..i64::MAX];
    (0..=0o7777_u16, id.clone(), id, time, xattrs).prop_map(|(mode, uid, gid, mtime, xattrs)| Metadata {
        mode,
        uid,
        gid,
        mtime: Mtime(mtime),
        xattrs: xattrs
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), value))
            .collect::<BTreeMap<_, _>>(),
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        any::<bool>().prop_map(Action::Directory),
        "[a-z]{0,9}".prop_map(Action::File),
        path().prop_map(Action::Link),
        "[a-z/.]{1,120}".prop_map(Action::Symlink),
        (1..9_u32, 0..9_u32)
            .prop_map(|(major, minor)| Action::Device(DeviceKind::Character { major, minor })),
        Just(Action::Device(DeviceKind::Fifo)),
        Just(Action::Whiteout),
    ]
}

fn build(scene: &Scene, actions: &[(Vec<u8>, Metadata, Action)]) -> Tree {
    let mut builder = TreeBuilder::default();
    for (path, metadata, action) in actions {
        let metadata = metadata.clone();
        let bare = Metadata { xattrs: BTreeMap::new(), ..metadata.clone() };
        // What does not fit is skipped: the builder refuses it.
        let _ = match action.clone() {
            Action::Directory(opaque) => {
                let directory = Directory { opaque, ..Directory::empty(metadata) };
                builder.insert(path, Node::Directory(directory))
            }
            Action::File(text) => {
                let blob = scene.store.ingest(&mut text.as_bytes(), None).unwrap();
                builder.insert(path, Node::File(File { metadata, blob, hard_link: None }))
            }
            Action::Link(target) => builder.hard_link(path, &target),
            Action::Symlink(target) => {
                let metadata = Metadata { mode: 0o777, ..bare };
                builder.insert(path, Node::Symlink(Symlink { metadata, target: target.into_bytes() }))
            }
            Action::Device(kind) => builder.insert(path, Node::Device(Device { metadata: bare, kind })),
            Action::Whiteout => builder.whiteout(path),
        };
    }
    builder.finish(&scene.store).unwrap()
}

fn tar(scene: &Scene, tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_tar(tree, &scene.store, &mut bytes, None).unwrap();
    bytes
}

#[test]
fn a_tree_survives_its_tar() {
    let scene = Scene::new();
    let actions = prop::collection::vec((path(), metadata(), action()), 0..30);
    proptest!(ProptestConfig::with_cases(200), |(actions in actions)| {
        let tree = build(&scene, &actions);
        let bytes = tar(&scene, &tree);
        prop_assert_eq!(&bytes, &tar(&scene, &tree));
        let back = scene.layer(&bytes, &Tree::empty()).unwrap();
        prop_assert_eq!(back, tree);
    });
}

#[test]
fn gnu_tar_reads_what_is_written() {
    let scene = Scene::new();
    let long = format!("{}/{}", "d".repeat(80), "f".repeat(80));
    let plain = |mtime| Metadata { mtime: Mtime(mtime), mode: 0o640, ..Metadata::default() };
    let actions = [
        (b"a".to_vec(), plain(1_500_000_000), Action::File("text".into())),
        (b"a-b".to_vec(), plain(0), Action::Link(b"a".to_vec())),
        (long.clone().into_bytes(), plain(2_000_000_000), Action::File(String::new())),
        (b"s".to_vec(), plain(0), Action::Symlink("t".repeat(120))),
        (b"gone".to_vec(), plain(0), Action::Whiteout),
    ];
    let tree = build(&scene, &actions);
    let file = scene.path("layer.tar");
    std::fs::write(&file, tar(&scene, &tree)).unwrap();
    let listing = String::from_utf8(run("tar", "tar", &["--full-time", "-tvf", text(&file)])).unwrap();
    assert!(listing.contains("1970-01-01 00:00:01.5 a\n"), "{listing}");
    assert!(listing.contains("a-b link to a"), "{listing}");
    assert!(listing.contains(&long), "{listing}");
    assert!(listing.contains(&format!("s -> {}", "t".repeat(120))), "{listing}");
    assert!(listing.contains(".wh.gone"), "{listing}");
}

#[test]
fn clamped_times_are_never_later() {
    let scene = Scene::new();
    let at = |mtime| Metadata { mtime: Mtime(mtime), ..Metadata::default() };
    let tree = build(
        &scene,
        &[
            (b"old".to_vec(), at(1), Action::File(String::new())),
            (b"new".to_vec(), at(i64::MAX), Action::File(String::new())),
        ],
    );
    let mut bytes = Vec::new();
    write_tar(&tree, &scene.store, &mut bytes, Some(Mtime(5_000_000_000))).unwrap();
    let back = scene.layer(&bytes, &Tree::empty()).unwrap();
    let mtime = |path| scene.node(&back, path).unwrap().metadata().mtime;
    assert_eq!((mtime("old"), mtime("new")), (Mtime(1), Mtime(5_000_000_000)));
}
