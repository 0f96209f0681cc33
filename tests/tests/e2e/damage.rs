//! Bytes of the store that are gone or that turn: what goes out is right, or nothing goes out.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::layout::{Blobs, Layer};
use farm_tests::registry::{FakeRegistry, status};
use serde_json::json;

/// More than the store puts into a pack.
const LARGE: usize = 300_000;

fn context(above: &str) -> Context {
    Context::new(&format!("FROM busybox\nCOPY large /large\n{above}"))
        .file("large", "farm ".repeat(LARGE / 5))
}

/// Flips a bit in the middle of every file of this kind that any store of the farm keeps.
fn damage(farm: &Farm, kind: &str) -> usize {
    let wanted = |path: &Path| path.components().any(|part| part.as_os_str() == kind);
    let files: Vec<PathBuf> = farm.kept_files().into_iter().filter(|path| wanted(path)).collect();
    for path in &files {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    files.len()
}

#[test]
fn a_base_layer_that_is_not_kept_is_fetched_again_for_an_export() {
    let farm = Farm::new();
    let context = context("");
    let path = context.path().to_str().unwrap();
    let (before, after, saved) =
        (farm.scratch("before.tar"), farm.scratch("after.tar"), farm.scratch("saved.tar"));
    let build = |archive: &Path| {
        let output = format!("type=docker,name=shop:1,dest={}", archive.display());
        farm.command(&["build", "--progress", "plain", "-t", "shop:1", "-o", &output, path]).run().expect(0)
    };
    let _first = build(&before);
    let prune = || {
        let pruned = farm.command(&["prune", "--filter", "type=base-blobs"]).run().expect(0);
        assert!(pruned.stdout.contains("base-blobs"), "{}", pruned.log);
    };
    prune();
    let _fetched = build(&after).says(&["[pull]", "busybox"]);
    assert!(std::fs::read(&before).unwrap() == std::fs::read(&after).unwrap(), "the archive is another");
    prune();
    let _saved = farm.command(&["save", "shop:1", "-o", saved.to_str().unwrap()]).run().expect(0);
    assert!(std::fs::read(&before).unwrap() == std::fs::read(&saved).unwrap(), "the archive is another");
}

#[test]
fn a_registry_that_does_not_have_a_layer_any_more_is_named() {
    let base = Blobs::of(&[Layer::new().file("a", "1")], &json!({}));
    let layer = base.blobs.last().unwrap().0.clone();
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let has_gone = std::sync::Arc::clone(&gone);
    let registry = FakeRegistry::serving(base, move |path, answer| {
        let missing = has_gone.load(std::sync::atomic::Ordering::Relaxed) && path.ends_with(&layer);
        if missing { status(404) } else { answer }
    });
    let farm = Farm::configured(&registry.configuration());
    farm.reach(registry.address());
    let context = Context::new(&format!("FROM {}/some/base:1\nENV A=b\n", registry.address()));
    let _built = farm.build(context.path()).run().expect(0);
    let _pruned = farm.command(&["prune", "--filter", "type=base-blobs"]).run().expect(0);
    gone.store(true, std::sync::atomic::Ordering::Relaxed);
    let failed = farm.build(context.path()).run().expect(3);
    let _said = failed.says(&["not kept any more", "some/base", "404", registry.address()]);
    gone.store(false, std::sync::atomic::Ordering::Relaxed);
    let _built = farm.build(context.path()).run().expect(0);
}

#[test]
fn a_packed_layer_that_turns_is_made_again() {
    let farm = Farm::new();
    let context = context("RUN echo made > /made\n");
    let build = || {
        let outcome = farm.build(context.path()).run().expect(0);
        (std::fs::read(outcome.archive().unwrap()).unwrap(), outcome)
    };
    let (before, _) = build();
    assert!(damage(&farm, "oci") > 0);
    let (after, outcome) = build();
    let _said = outcome.says(&["damaged", "begins anew"]);
    assert!(before == after, "the archive is another");
}

#[test]
fn a_file_that_turns_reaches_neither_an_image_nor_a_step() {
    let farm = Farm::new();
    let first = farm.build(context("").path()).run().expect(0);
    assert!(damage(&farm, "blobs") > 0);
    // The step reads what was copied; the layer is copied again from the context.
    let outcome = farm.build(context("RUN md5sum < /large > /sum\n").path()).run().expect(0);
    let (large, sum) = (first.files().text("large"), outcome.files().text("sum"));
    assert_eq!(outcome.files().text("large"), large);
    let expected =
        std::process::Command::new("md5sum").arg(context("").path().join("large")).output().unwrap();
    let expected = String::from_utf8(expected.stdout).unwrap();
    assert_eq!(sum.split_whitespace().next(), expected.split_whitespace().next());
    let _turned = damage(&farm, "blobs");
    let place = farm.scratch("files");
    let spec = format!("type=local,dest={}", place.display());
    let context = context("");
    let _written = farm.command(&["build", "-o", &spec, context.path().to_str().unwrap()]).run().expect(0);
    assert_eq!(std::fs::read_to_string(place.join("large")).unwrap(), large);
}
