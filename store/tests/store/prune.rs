//! What a prune takes, what it leaves, and what survives it beside running work.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farm_model::result::LayerRef;
use farm_model::{BlobDigest, OciDigest, Scope, StepDigest, StepResult, Usage};
use farm_store::{Bytes, Class, InUse, Packed, Pins, Prune, StepRecord, Store};
use farm_tree::Tree;

use crate::support::{
    Dir, Item, Random, TestStore, bytes_of, file, files, metadata, new_store, regular_files, scan, seed, text,
};

fn all() -> Prune {
    Prune { all: true, ..Prune::default() }
}

fn pins(layers: &[LayerRef]) -> Pins {
    Pins { layers: layers.iter().map(|layer| layer.digest).collect() }
}

fn prune(test: &TestStore, prune: &Prune, layers: &[LayerRef]) -> u64 {
    test.store.prune(prune, &pins(layers), &|_| false).unwrap().bytes()
}

fn step(number: u8) -> StepDigest {
    StepDigest([number; 32])
}

fn record(store: &Store, number: u8, layer: LayerRef) {
    let result = StepResult { layer: Some(layer), created: 0, usage: Usage::default() };
    store.put_step(&Scope::main(), &step(number), &result, b"why").unwrap();
}

fn is_hit(test: &TestStore, number: u8) -> bool {
    test.store.step(&Scope::main(), &step(number)).unwrap().is_some()
}

/// The layer of a step that wrote `contents`, in a directory.
fn adopted(store: &Store, contents: &[&[u8]]) -> (LayerRef, Tree) {
    let scratch = store.scratch().unwrap();
    for (number, bytes) in contents.iter().enumerate() {
        fs::write(scratch.upper().join(number.to_string()), bytes).unwrap();
    }
    let tree = scan(store, &scratch.upper());
    (store.adopt(&scratch.upper(), &tree).unwrap(), tree)
}

fn copied(store: &Store, contents: &[&[u8]]) -> (LayerRef, Tree) {
    let tree = contents
        .iter()
        .enumerate()
        .fold(Dir::default(), |dir, (number, bytes)| dir.with(&number.to_string(), text(store, bytes)))
        .tree(store);
    (store.put_tree(&tree).unwrap(), tree)
}

fn assert_whole(test: &TestStore, tree: &Tree) {
    assert!(test.store.is_complete(&tree.layer_digest()).unwrap());
    for (_, blob) in files(&test.store, tree) {
        assert_eq!(BlobDigest::of(&bytes_of(&test.store, &blob).unwrap()), blob);
    }
}

#[test]
fn without_all_only_what_no_record_reaches_goes() {
    let test = new_store();
    let (kept, kept_tree) = adopted(&test.store, &[&[1; 200_000], &[2; 3000]]);
    record(&test.store, 1, kept);
    let (lost, _) = adopted(&test.store, &[&[3; 200_000]]);
    let (copy, _) = copied(&test.store, &[&[4; 30_000]]);
    test.store.ingest(&mut [5; 300_000].as_slice(), None).unwrap();
    let usage = test.store.usage(&Pins::default()).unwrap();
    assert_eq!(usage.of(Class::Cache).bytes, 203_000 + 200_000 + 30_000 + 300_000);

    let dry = Prune { dry_run: true, ..Prune::default() };
    assert_eq!(prune(&test, &dry, &[]), 530_000);
    assert_eq!(prune(&test, &Prune::default(), &[]), 530_000);
    assert_eq!(prune(&test, &Prune::default(), &[]), 0);
    assert!(is_hit(&test, 1));
    assert!(test.store.tree(&lost.digest).unwrap().is_none());
    assert!(test.store.tree(&copy.digest).unwrap().is_none());
    assert!(regular_files(&test.store.root().join("blobs")).is_empty());
    assert!(regular_files(&test.store.root().join("packs")).is_empty(), "an empty pack is given back");
    let test = test.reopen();
    assert_whole(&test, &kept_tree);
}

#[test]
fn with_all_only_pinned_layers_stay_and_keep_what_lay_in_a_directory_that_goes() {
    let test = new_store();
    let (run, _) = adopted(&test.store, &[&[1; 200_000], &[2; 3000], &[3; 500_000]]);
    record(&test.store, 1, run);
    let (copy, copy_tree) = copied(&test.store, &[&[1; 200_000], &[2; 3000]]);
    record(&test.store, 2, copy);
    assert!(
        regular_files(&test.store.root().join("blobs")).is_empty(),
        "the bytes are in the directory only"
    );
    let usage = test.store.usage(&pins(&[copy])).unwrap();
    assert_eq!(usage.of(Class::Cache).reclaimable, 703_000);

    assert_eq!(prune(&test, &all(), &[copy]), 500_000);
    assert!(!is_hit(&test, 1) && is_hit(&test, 2));
    assert!(test.store.step_record(&Scope::main(), &step(1)).unwrap().is_none());
    assert!(test.store.preimage(&Scope::main(), &step(1)).unwrap().is_none());
    assert!(test.store.layer_directory(&run.digest).unwrap().is_none());
    let test = test.reopen();
    assert_whole(&test, &copy_tree);
    assert_eq!(test.store.usage(&pins(&[copy])).unwrap().of(Class::Images).bytes, 203_000);
}

#[test]
fn the_least_recently_used_goes_first_down_to_a_size() {
    let test = new_store();
    let layers: Vec<_> = (1..=4u8).map(|number| copied(&test.store, &[&vec![number; 100_000]]).0).collect();
    for (number, layer) in (1..).zip(&layers) {
        record(&test.store, number, *layer);
    }
    assert!(is_hit(&test, 1), "the first was used, the others never were");
    let keep = Prune { keep_bytes: Some(250_000), ..all() };
    assert_eq!(prune(&test, &keep, &[]), 200_000);
    assert!(is_hit(&test, 1));
    assert_eq!((2..=4).filter(|number| is_hit(&test, *number)).count(), 1);
    let unused = Prune { unused_for: Some(Duration::from_secs(3600)), ..all() };
    assert_eq!(prune(&test, &unused, &[]), 0, "all that is left was just used");
}

#[test]
fn what_is_in_use_and_what_running_work_looked_at_stays() {
    let test = new_store();
    let (used, used_tree) = adopted(&test.store, &[&[1; 200_000]]);
    test.store
        .prune(&all(), &Pins::default(), &|what| matches!(what, InUse::Layer(layer) if *layer == used.digest))
        .unwrap();
    assert_whole(&test, &used_tree);

    let (old, _) = copied(&test.store, &[&[7; 20_000]]);
    let work = test.store.begin();
    let blob = test.store.ingest(&mut [2; 20_000].as_slice(), None).unwrap();
    let dir = Dir::default().with("f", file(blob, metadata(0o644)));
    assert!(test.store.contains(&BlobDigest::of(&[1; 200_000])).unwrap());
    prune(&test, &all(), &[]);
    assert!(test.store.tree(&old.digest).unwrap().is_none());
    let tree = dir.with("g", file(BlobDigest::of(&[1; 200_000]), metadata(0o644))).tree(&test.store);
    let layer = test.store.put_tree(&tree).unwrap();
    prune(&test, &all(), &[]);
    record(&test.store, 1, layer);
    prune(&test, &all(), &[]);
    assert!(is_hit(&test, 1));
    drop(work);
    prune(&test, &all(), &[]);
    assert!(!is_hit(&test, 1));
    assert_eq!(test.store.usage(&Pins::default()).unwrap().of(Class::Cache).bytes, 0);
}

#[test]
fn packed_layers_and_cache_mounts_are_classes_of_their_own() {
    let test = new_store();
    let (layer, _) = copied(&test.store, &[b"x"]);
    let oci = |bytes: &[u8]| {
        let mut writer = test.store.oci_writer().unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let (digest, size) = oci(&[1; 5000]);
    let (base, _) = oci(&[2; 700]);
    let packed = Packed { digest, size, diff_id: OciDigest([0; 32]) };
    test.store.put_packed(&layer.digest, "gzip", &packed).unwrap();
    let mount = test.store.cache_mounts_root().join("aa/0");
    fs::create_dir_all(&mount).unwrap();
    fs::write(mount.join("f"), [1; 10_000]).unwrap();

    let usage = test.store.usage(&Pins::default()).unwrap();
    assert_eq!(usage.of(Class::Packed).bytes, 5000);
    assert_eq!(usage.of(Class::BaseBlobs).bytes, 700);
    assert!(usage.of(Class::CacheMounts).bytes >= 10_000);
    assert!(usage.of(Class::Metadata).bytes > 0);

    let only = |class| Prune { classes: BTreeSet::from([class]), ..Prune::default() };
    prune(&test, &only(Class::Packed), &[layer]);
    assert!(test.store.has_oci_blob(&digest).unwrap().is_none());
    assert!(test.store.packed(&layer.digest, "gzip").unwrap().is_none());
    assert!(test.store.has_oci_blob(&base).unwrap().is_some());

    let mounts = only(Class::CacheMounts);
    test.store.prune(&mounts, &Pins::default(), &|what| matches!(what, InUse::CacheMount(_))).unwrap();
    assert!(mount.exists());
    test.store.prune(&mounts, &Pins::default(), &|what| matches!(what, InUse::Removal(_))).unwrap();
    assert!(mount.exists(), "a step took it between the choice and the removal");
    prune(&test, &mounts, &[]);
    assert!(!mount.exists());
    prune(&test, &only(Class::BaseBlobs), &[layer]);
    assert!(test.store.has_oci_blob(&base).unwrap().is_none());
}

#[test]
fn what_explains_the_last_step_of_a_family_outlives_its_bytes() {
    let test = new_store();
    let scope = Scope::main();
    let (evidence, evidence_tree) = copied(&test.store, &[&[8; 40_000]]);
    let (layer, _) = copied(&test.store, &[&[9; 40_000]]);
    let result = StepResult { layer: Some(layer), created: 0, usage: Usage::default() };
    let record = StepRecord {
        scope: &scope,
        step: &step(1),
        result: &result,
        bytes: Bytes::Here,
        preimage: b"preimage",
        witness: b"witness",
        evidence: &[evidence.digest],
        family: Some(&[4; 32]),
    };
    test.store.record_step(&record).unwrap();
    prune(&test, &all(), &[]);
    assert!(test.store.step_record(&scope, &step(1)).unwrap().is_none());
    assert_eq!(test.store.last_step(&scope, &[4; 32]).unwrap(), Some(step(1)));
    assert!(test.store.preimage(&scope, &step(1)).unwrap().is_some());
    assert!(test.store.witness(&scope, &step(1)).unwrap().is_some());
    assert_eq!(files(&test.store, &evidence_tree).len(), 1, "its records stay");
    assert!(!test.store.is_complete(&evidence.digest).unwrap(), "its bytes do not");
}

#[test]
fn a_pack_that_is_mostly_dead_is_rewritten_and_readers_do_not_notice() {
    let test = new_store();
    let blobs: Vec<Vec<u8>> = (0..60u8).map(|byte| vec![byte; 10_000]).collect();
    let (kept, kept_tree) = copied(&test.store, &[&blobs[3], &blobs[40]]);
    let all_blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    copied(&test.store, &all_blobs);
    let mut open = test.store.open_blob(&BlobDigest::of(&blobs[7])).unwrap();
    assert_eq!(prune(&test, &all(), &[kept]), 580_000);
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut open, &mut read).unwrap();
    assert_eq!(read, blobs[7], "an open blob stays readable");
    let packs = regular_files(&test.store.root().join("packs"));
    assert_eq!(packs.iter().map(|pack| fs::metadata(pack).unwrap().len()).sum::<u64>(), 20_000);
    let test = test.reboot("another boot");
    assert_whole(&test, &kept_tree);
}

#[test]
fn builds_beside_prunes_find_all_that_they_rely_on() {
    let test = new_store();
    let seed = seed();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let builders: Vec<_> = (0..3u64)
            .map(|builder| {
                let store = &test.store;
                scope.spawn(move || build_for_a_while(store, seed ^ builder))
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                test.store.prune(&all(), &Pins::default(), &|_| false).unwrap();
            }
        });
        let results: Vec<_> = builders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        for result in results {
            result.unwrap();
        }
    });
}

/// Builds layers out of few contents, so that builds share blobs with each other and with what is being pruned.
fn build_for_a_while(store: &Store, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..120 {
        let work = store.begin();
        let mut trees = Vec::new();
        for _ in 0..3 {
            let contents: Vec<Vec<u8>> = (0..4)
                .map(|_| {
                    vec![
                        u8::try_from(random.below(12)).unwrap();
                        [100, 5000, 150_000][usize::try_from(random.below(3)).unwrap()]
                    ]
                })
                .collect();
            let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            let (_, tree) = if random.below(2) == 0 {
                adopted(store, &contents)
            } else {
                let missing_first = copied_where_missing(store, &contents);
                (store.put_tree(&missing_first).unwrap(), missing_first)
            };
            trees.push(tree);
        }
        for tree in &trees {
            let digest = tree.layer_digest();
            assert!(store.is_complete(&digest).unwrap());
            for (path, blob) in files(store, tree) {
                let bytes = bytes_of(store, &blob).unwrap_or_else(|error| panic!("{path}: {error}"));
                assert_eq!(BlobDigest::of(&bytes), blob);
            }
            if random.below(3) == 0 {
                store.materialise(tree).unwrap();
            }
        }
        drop(work);
    }
}

/// As a client does it: only what the tree lacks is sent.
fn copied_where_missing(store: &Store, contents: &[&[u8]]) -> Tree {
    let entry = |dir: Dir, (number, bytes): (usize, &&[u8])| {
        dir.with(&number.to_string(), file(BlobDigest::of(bytes), metadata(0o644)))
    };
    let inner = contents.iter().enumerate().skip(1).fold(Dir::default(), entry);
    let tree = contents.iter().enumerate().take(1).fold(Dir::default(), entry);
    let tree = tree.with("inner", Item::Dir(inner)).tree(store);
    store.put_tree(&tree).unwrap();
    let mut intake = store.intake();
    for blob in store.missing_blobs(&tree).unwrap() {
        let bytes = contents.iter().find(|bytes| BlobDigest::of(bytes) == blob).unwrap();
        intake.take(&mut &**bytes, &blob).unwrap();
    }
    intake.finish().unwrap();
    tree
}

#[test]
fn a_store_says_what_room_there_is() {
    let test = new_store();
    let space = test.store.space().unwrap();
    assert!(space.free > 0 && space.free <= space.total);
    test.store.check_space(1).unwrap();
    let error = test.store.check_space(u64::MAX).unwrap_err();
    assert!(error.is_environment() && error.hint().is_some(), "{error}");
}
