//! Tars that mean harm. Each gets a clear error, and nothing of them is left.

use farm_oci::error::{ArchiveFault, Blame};
use farm_oci::resolved::sha256;
use farm_oci::{Error, Limits};
use farm_tree::Tree;
use proptest::prelude::*;

use crate::support::{Scene, Tar, gzip};

fn fault(scene: &Scene, tar: &mut Tar) -> ArchiveFault {
    let bytes = tar.done();
    match scene.layer(&bytes, &Tree::empty()) {
        Err(error @ Error::Archive { fault, .. }) => {
            assert_eq!(error.blame(), Blame::User);
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_cannot_leave_the_root() {
    let scene = Scene::new();
    assert_eq!(fault(&scene, Tar::default().file("../x", "")), ArchiveFault::Escapes);
    assert_eq!(fault(&scene, Tar::default().file("a/../../x", "")), ArchiveFault::Escapes);
    assert_eq!(fault(&scene, Tar::default().link("x", "../../etc/passwd")), ArchiveFault::Escapes);
    assert_eq!(fault(&scene, Tar::default().file("../.wh.x", "")), ArchiveFault::Escapes);
}

#[test]
fn an_archive_cannot_reach_outside_itself_through_links() {
    let scene = Scene::new();
    for tar in [
        Tar::default().symlink("e", "/etc").file("e/passwd", "x").done(),
        Tar::default().file("../x", "x").done(),
        Tar::default().link("x", "../x").done(),
    ] {
        let error = scene.archive(&tar).unwrap_err();
        assert!(matches!(error, Error::Archive { fault: ArchiveFault::Escapes, .. }), "{error}");
    }
    let error = scene.archive(&Tar::default().link("x", "/etc/passwd").done()).unwrap_err();
    assert!(matches!(error, Error::Archive { fault: ArchiveFault::MissingLinkTarget, .. }), "{error}");
    // Above the root of an archive lies its root.
    for target in ["../etc", "a/../../etc"] {
        let tar = Tar::default().symlink("e", target).file("e/passwd", "x").done();
        assert_eq!(scene.text(&scene.archive(&tar).unwrap().unwrap().tree, "etc/passwd"), "x");
    }
    // A link that leads inside is followed, and one that leads out is only kept.
    let fine = Tar::default().dir("a").symlink("b", "a").file("b/x", "x").symlink("out", "/etc").done();
    assert_eq!(scene.text(&scene.archive(&fine).unwrap().unwrap().tree, "a/x"), "x");
}

#[test]
fn contradictions_are_named() {
    let scene = Scene::new();
    assert_eq!(
        fault(&scene, Tar::default().symlink("a", "b").symlink("b", "a").file("a/x", "")),
        ArchiveFault::SymlinkLoop
    );
    assert_eq!(fault(&scene, Tar::default().file("a", "").file("a/x", "")), ArchiveFault::ParentNotDirectory);
    assert_eq!(fault(&scene, Tar::default().link("a", "b")), ArchiveFault::MissingLinkTarget);
    assert_eq!(fault(&scene, Tar::default().link("a", "a")), ArchiveFault::MissingLinkTarget);
    assert_eq!(fault(&scene, Tar::default().dir("d").link("a", "d")), ArchiveFault::BadLinkTarget);
    assert_eq!(fault(&scene, Tar::default().header(b'Z', b"a", b"", 0)), ArchiveFault::UnsupportedType);
    assert_eq!(fault(&scene, Tar::default().file(".wh.", "")), ArchiveFault::BadWhiteout);
    assert_eq!(fault(&scene, Tar::default().file(".wh...", "")), ArchiveFault::BadWhiteout);
    assert_eq!(fault(&scene, Tar::default().file(".", "x")), ArchiveFault::RootNotDirectory);
    assert_eq!(fault(&scene, Tar::default().symlink(".", "x")), ArchiveFault::RootNotDirectory);
    assert_eq!(
        fault(&scene, Tar::default().pax(&[("uid", b"99999999999")]).file("a", "")),
        ArchiveFault::NumberOutOfRange
    );
    let long = vec![b'x'; 300];
    assert_eq!(
        fault(&scene, Tar::default().pax(&[("path", &long)]).file("a", "")),
        ArchiveFault::InvalidPath
    );
    let deep = b"d/".repeat(2000);
    assert_eq!(
        fault(&scene, Tar::default().pax(&[("path", &deep)]).file("a", "")),
        ArchiveFault::InvalidPath
    );
    let capabilities = [("SCHILY.xattr.security.capability", &b"x"[..])];
    assert_eq!(fault(&scene, Tar::default().pax(&capabilities).file("a", "")), ArchiveFault::BadCapabilities);
    let endless = [("GNU.sparse.major", &b"0"[..]), ("GNU.sparse.map", b"0,9"), ("GNU.sparse.size", b"5")];
    assert_eq!(fault(&scene, Tar::default().pax(&endless).file("a", "")), ArchiveFault::BadSparseMap);
}

#[test]
fn absurd_sizes_are_refused_before_a_byte_is_written() {
    let scene = Scene::new();
    let huge = [("size", &b"9000000000000000000"[..])];
    let error = scene.layer(&Tar::default().pax(&huge).file("a", "x").done(), &Tree::empty()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let hole = [
        ("GNU.sparse.major", &b"0"[..]),
        ("GNU.sparse.map", b"0,1"),
        ("GNU.sparse.size", b"9000000000000000000"),
    ];
    let error = scene.layer(&Tar::default().pax(&hole).file("a", "x").done(), &Tree::empty()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let error =
        scene.layer(&Tar::default().header(b'x', b"pax", b"", 1 << 32).done(), &Tree::empty()).unwrap_err();
    assert!(matches!(error, Error::Stream { .. }), "{error}");
    let error =
        scene.layer(&Tar::default().header(b'L', b"name", b"", 1 << 32).done(), &Tree::empty()).unwrap_err();
    assert!(matches!(error, Error::Stream { .. }), "{error}");
}

#[test]
fn bombs_stop_at_the_limits() {
    let scene = Scene::new();
    let mut tar = Tar::default();
    let zeros = vec![0; 8 << 20];
    tar.header(b'0', b"zeros", b"", zeros.len() as u64).data(&zeros);
    let bytes = tar.done();
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = scene.layer_with(&gzip(&bytes), sha256(&bytes), &Tree::empty(), &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "bytes", .. }), "{error}");
    let mut tar = Tar::default();
    for number in 0..100 {
        tar.dir(&format!("d{number}"));
    }
    let bytes = tar.done();
    let limits = Limits { entries: 50, ..Limits::default() };
    let error = scene.layer_with(&bytes, sha256(&bytes), &Tree::empty(), &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { unit: "entries", .. }), "{error}");
}

#[test]
fn truncated_layers_say_so() {
    let scene = Scene::new();
    let tar = Tar::default().file("a", &"text ".repeat(1000)).done();
    for end in [300, 700, 3000] {
        let error =
            scene.layer_with(&tar[..end], sha256(&tar), &Tree::empty(), &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Stream { .. }), "{error}");
    }
    let packed = gzip(&tar);
    let error = scene
        .layer_with(&packed[..packed.len() / 2], sha256(&tar), &Tree::empty(), &Limits::default())
        .unwrap_err();
    assert!(matches!(error, Error::Stream { .. }), "{error}");
}

#[test]
fn arbitrary_headers_never_panic() {
    let scene = Scene::new();
    let valid =
        Tar::default().pax(&[("path", b"x"), ("size", b"3")]).file("a", "abc").link("b", "x").dir("d").done();
    let mutations = prop::collection::vec((0..valid.len(), any::<u8>()), 1..6);
    proptest!(ProptestConfig::with_cases(300), |(mutations in mutations, fix in any::<bool>())| {
        let mut bytes = valid.clone();
        for (at, value) in mutations {
            bytes[at] = value;
        }
        if fix {
            for start in (0..bytes.len() - 512).step_by(512) {
                let mut header = tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(&bytes[start..start + 512]);
                header.set_cksum();
                bytes[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        let _ = scene.archive(&bytes);
        let _ = scene.layer(&bytes, &Tree::empty());
    });
}
