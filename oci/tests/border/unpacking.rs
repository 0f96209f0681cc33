//! Layers over their chain, and archives for `ADD`.

use std::io::Write;

use farm_oci::resolved::sha256;
use farm_oci::{Error, Limits};
use farm_tree::merge::merge;
use farm_tree::{DeviceKind, Entry, Mtime, Node, Records, Tree};

use crate::support::{Scene, Tar, gzip};

#[test]
fn an_entry_lands_behind_a_symlink_of_the_base() {
    let scene = Scene::new();
    let base = scene.layer(
        &Tar::default().dir("usr").dir("usr/bin").symlink("bin", "usr/bin").file("usr/bin/sh", "sh").done(),
        &Tree::empty(),
    );
    let base = merge(&scene.store, &Tree::empty(), &base.unwrap()).unwrap();
    let layer = scene.layer(&Tar::default().file("bin/x", "x").done(), &base).unwrap();
    assert!(scene.node(&layer, "bin").is_none(), "the symlink must not be hidden");
    let merged = merge(&scene.store, &base, &layer).unwrap();
    assert_eq!(scene.text(&merged, "/usr/bin/x"), "x");
    assert_eq!(scene.text(&merged, "/bin/sh"), "sh");
}

#[test]
fn absolute_and_dangling_symlinks_stay_inside_the_root() {
    let scene = Scene::new();
    let mut tar = Tar::default();
    tar.symlink("a", "/../../b/c").file("a/x", "1").symlink("d", "../../e").file("d/y", "2");
    let tree = scene.layer(&tar.done(), &Tree::empty()).unwrap();
    assert_eq!(scene.text(&tree, "b/c/x"), "1");
    assert_eq!(scene.text(&tree, "e/y"), "2");
}

#[test]
fn an_implied_parent_keeps_the_metadata_it_has_below() {
    let scene = Scene::new();
    let base = scene.layer(&Tar::default().dir("home").file("home/old", "").done(), &Tree::empty()).unwrap();
    let layer = scene.layer(&Tar::default().file("home/new", "").done(), &base).unwrap();
    let home = scene.node(&layer, "home").unwrap();
    assert_eq!((home.metadata().uid, home.metadata().mtime), (1, Mtime(7_000_000_000)));
}

#[test]
fn whiteouts_concern_the_layers_below_only() {
    let scene = Scene::new();
    let base = scene
        .layer(&Tar::default().dir("d").file("d/a", "").file("d/b", "").file("e", "").done(), &Tree::empty())
        .unwrap();
    let mut tar = Tar::default();
    tar.file("d/.wh.a", "").file("e", "new").file(".wh.e", "").dir("d/n").file("d/.wh..wh.plnk", "");
    let layer = scene.layer(&tar.done(), &base).unwrap();
    let merged = merge(&scene.store, &base, &layer).unwrap();
    assert!(scene.node(&merged, "d/a").is_none());
    assert!(scene.node(&merged, "d/b").is_some());
    assert_eq!(scene.text(&merged, "e"), "new");
    assert!(scene.node(&merged, "d/.wh..wh.plnk").is_none());
}

#[test]
fn opaque_directories_hide_what_is_below_them_in_any_order() {
    let scene = Scene::new();
    let base = scene
        .layer(&Tar::default().dir("d").file("d/old", "").dir("w").file("w/old", "").done(), &Tree::empty())
        .unwrap();
    let mut tar = Tar::default();
    // The directory `w` is deleted and made again by the same layer.
    tar.file("d/new", "").file("d/.wh..wh..opq", "").dir("d").file(".wh.w", "").dir("w");
    let layer = scene.layer(&tar.done(), &base).unwrap();
    let merged = merge(&scene.store, &base, &layer).unwrap();
    assert!(scene.node(&merged, "d/new").is_some());
    assert!(scene.node(&merged, "d/old").is_none());
    assert!(scene.node(&merged, "w/old").is_none());
}

#[test]
fn later_entries_win() {
    let scene = Scene::new();
    let mut tar = Tar::default();
    tar.file("a", "1")
        .file("a", "2")
        .dir("b")
        .file("b/x", "")
        .file("b", "now a file")
        .file("c", "")
        .dir("c")
        .file("c/y", "");
    let tree = scene.layer(&tar.done(), &Tree::empty()).unwrap();
    assert_eq!(scene.text(&tree, "a"), "2");
    assert_eq!(scene.text(&tree, "b"), "now a file");
    assert!(scene.node(&tree, "c/y").is_some());
}

#[test]
fn hard_links_share_an_inode_also_with_a_file_of_the_base() {
    let scene = Scene::new();
    let base = scene.layer(&Tar::default().file("z", "text").done(), &Tree::empty()).unwrap();
    let layer =
        scene.layer(&Tar::default().file("f", "").link("g", "/f").link("a/y", "z").done(), &base).unwrap();
    let group = |path| scene.node(&layer, path).unwrap().as_file().unwrap().hard_link.clone();
    assert_eq!(group("f").as_deref(), Some(&b"f"[..]));
    assert_eq!(group("f"), group("g"));
    assert_eq!(group("a/y").as_deref(), Some(&b"a/y"[..]));
    assert_eq!(group("z"), group("a/y"));
    assert_eq!(scene.text(&layer, "z"), "text");
}

#[test]
fn long_names_large_numbers_fractions_and_attributes_are_read() {
    let scene = Scene::new();
    let long = "l".repeat(150);
    let gnu_name = format!("g/{}", "n".repeat(120));
    let mut tar = Tar::default();
    tar.pax(&[
        ("path", long.as_bytes()),
        ("uid", b"3000000"),
        ("mtime", b"5.25"),
        ("SCHILY.xattr.user.note", b"a\nb=c"),
        ("SCHILY.xattr.security.selinux", b"host"),
        ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ]);
    tar.file("short", "x");
    tar.header(b'L', b"././@LongLink", b"", gnu_name.len() as u64 + 1)
        .data(format!("{gnu_name}\0").as_bytes());
    tar.file("cut", "y");
    let tree = scene.layer(&tar.done(), &Tree::empty()).unwrap();
    let node = scene.node(&tree, &long).unwrap();
    let metadata = node.metadata();
    assert_eq!((metadata.uid, metadata.gid, metadata.mtime), (3_000_000, 2, Mtime(5_250_000_000)));
    assert_eq!(metadata.xattrs.len(), 2);
    assert_eq!(metadata.xattrs[&b"user.note"[..]], b"a\nb=c");
    assert_eq!(scene.text(&tree, &gnu_name), "y");
}

#[test]
fn every_kind_of_entry_is_kept() {
    let scene = Scene::new();
    let mut tar = Tar::default();
    tar.header(b'6', b"fifo", b"", 0).header(b'3', b"whiteout", b"", 0).header(b'g', b"pax", b"", 0);
    tar.header(0, b"old-dir/", b"", 0).symlink("s", "nowhere").dir("./").file("/absolute", "");
    let mut device = tar::Header::new_ustar();
    device.set_path("null").unwrap();
    device.set_entry_type(tar::EntryType::Char);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    device.set_mode(0o666);
    device.set_size(0);
    device.set_uid(0);
    device.set_gid(0);
    device.set_mtime(0);
    device.set_cksum();
    tar.0.extend_from_slice(device.as_bytes());
    let tree = scene.layer(&tar.done(), &Tree::empty()).unwrap();
    let device = |path| match scene.node(&tree, path) {
        Some(Node::Device(device)) => device.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(device("fifo"), DeviceKind::Fifo);
    assert_eq!(device("null"), DeviceKind::Character { major: 1, minor: 3 });
    assert!(matches!(scene.node(&tree, "old-dir"), Some(Node::Directory(_))));
    assert!(scene.node(&tree, "absolute").is_some());
    assert_eq!(tree.root.metadata.uid, 1);
    let entries = scene.store.entries(tree.root.record.digest).unwrap();
    assert_eq!(entries.get(&b"whiteout"[..]), Some(&Entry::Whiteout));
}

#[test]
fn sparse_files_of_gnu_tar_come_out_whole() {
    let scene = Scene::new();
    let file = scene.path("sparse");
    let mut handle = std::fs::File::create(&file).unwrap();
    for piece in 0..40_u64 {
        use std::io::{Seek, SeekFrom};
        handle.seek(SeekFrom::Start(piece * 100_000 + 8192)).unwrap();
        handle.write_all(format!("piece {piece}").as_bytes()).unwrap();
    }
    handle.set_len(5_000_000).unwrap();
    let expected = farm_model::BlobDigest::of(&std::fs::read(&file).unwrap());
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let directory = scene.directory.path().to_str().unwrap();
        let arguments = [&["-C", directory, "-S", "-cf", "-"], format, &["sparse"]].concat();
        let tar = crate::support::run("tar", "tar", &arguments);
        assert!(tar.len() < 2_000_000, "the tar is not sparse");
        let tree = scene.layer(&tar, &Tree::empty()).unwrap();
        let node = scene.node(&tree, "sparse").unwrap();
        assert_eq!(node.as_file().unwrap().blob, expected, "{format:?}");
    }
}

#[test]
fn a_layer_may_be_compressed_in_any_way_but_must_have_its_diff_id() {
    let scene = Scene::new();
    let tar = Tar::default().file("a", "x").done();
    let limits = Limits::default();
    let diff_id = sha256(&tar);
    let plain = scene.layer_with(&tar, diff_id, &Tree::empty(), &limits).unwrap();
    assert_eq!(scene.layer_with(&gzip(&tar), diff_id, &Tree::empty(), &limits).unwrap(), plain);
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    assert_eq!(scene.layer_with(&zstd, diff_id, &Tree::empty(), &limits).unwrap(), plain);
    // The digest covers what follows the end mark too.
    let mut longer = tar.clone();
    longer.extend([0; 512]);
    let error = scene.layer_with(&longer, diff_id, &Tree::empty(), &limits).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    assert!(scene.layer_with(&longer, sha256(&longer), &Tree::empty(), &limits).is_ok());
}

#[test]
fn add_unpacks_what_is_a_tar_and_nothing_else() {
    let scene = Scene::new();
    let tar = Tar::default().file("d/a", "x").file(".wh.b", "kept").done();
    let bzip2 = {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        writer.write_all(&tar).unwrap();
        writer.finish().unwrap()
    };
    let xz = {
        let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
        writer.write_all(&tar).unwrap();
        writer.finish().unwrap()
    };
    for bytes in [tar.clone(), gzip(&tar), zstd::encode_all(&tar[..], 1).unwrap(), bzip2, xz] {
        let unpacked = scene.archive(&bytes).unwrap().expect("it is an archive");
        assert_eq!(scene.text(&unpacked.tree, "d/a"), "x");
        assert_eq!(scene.text(&unpacked.tree, ".wh.b"), "kept");
        assert_eq!(unpacked.implied.into_iter().collect::<Vec<_>>(), [b"".to_vec(), b"d".to_vec()]);
    }
    for bytes in [
        &b""[..],
        b"text",
        &[0; 2048],
        &[b'x'; 2048],
        &gzip(b"text"),
        b"\x1f\x8b\x08 broken",
        b"BZh9broken",
        b"\x28\xb5\x2f\xfdbroken",
    ] {
        assert_eq!(scene.archive(bytes).unwrap(), None, "{:?}", &bytes[..bytes.len().min(10)]);
    }
}
