//! Many blobs at once, what a tree lacks after some were lost, and packs that a kill has torn.

use std::fs;

use farm_model::{BlobDigest, OciDigest};
use farm_store::{Error, Packed, Pins, Prune};

use crate::support::{Dir, Random, TestStore, bytes_of, damage, file, metadata, new_store, regular_files};

fn take(test: &TestStore, blobs: &[Vec<u8>]) {
    let mut intake = test.store.intake();
    for bytes in blobs {
        intake.take(&mut bytes.as_slice(), &BlobDigest::of(bytes)).unwrap();
    }
    intake.finish().unwrap();
}

fn blobs(sizes: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    let mut random = Random(7);
    sizes.into_iter().map(|size| random.bytes(size)).collect()
}

#[test]
fn blobs_of_every_size_may_come_together() {
    let test = new_store();
    let sizes = [0, 1, 512, 513, 4096, 131_071, 131_072, 131_073, 900_000, 2_000_000];
    let all = blobs(sizes.into_iter().chain((0..700).map(|number| 1 + number * 13)));
    take(&test, &all);
    // Twice is as good as once.
    take(&test, &all);
    let test = test.reopen();
    for bytes in &all {
        assert_eq!(bytes_of(&test.store, &BlobDigest::of(bytes)).unwrap(), *bytes);
    }
}

#[test]
fn one_that_is_not_what_it_should_be_does_not_spoil_the_others() {
    let test = new_store();
    let all = blobs([600, 700, 800]);
    let mut intake = test.store.intake();
    for (bytes, wrong) in all.iter().zip([&b"short"[..], &[1; 701], &[2; 800]]) {
        let expected = BlobDigest::of(bytes);
        assert!(matches!(intake.take(&mut &*wrong, &expected), Err(Error::Mismatch { .. })));
        intake.take(&mut bytes.as_slice(), &expected).unwrap();
    }
    intake.finish().unwrap();
    for bytes in &all {
        assert_eq!(bytes_of(&test.store, &BlobDigest::of(bytes)).unwrap(), *bytes);
    }
}

#[test]
fn an_intake_that_is_given_up_leaves_no_row_without_bytes() {
    let test = new_store();
    let all = blobs((0..300).map(|number| 600 + number));
    let mut intake = test.store.intake();
    for bytes in &all {
        intake.take(&mut bytes.as_slice(), &BlobDigest::of(bytes)).unwrap();
    }
    drop(intake);
    let kept: Vec<_> =
        all.iter().filter(|bytes| test.store.contains(&BlobDigest::of(bytes)).unwrap()).collect();
    assert!(kept.len() < all.len());
    for bytes in kept {
        assert_eq!(bytes_of(&test.store, &BlobDigest::of(bytes)).unwrap(), *bytes);
    }
}

#[test]
fn a_torn_pack_loses_its_tail_alone_and_is_appended_to_again() {
    let test = new_store();
    let all = blobs((0..20).map(|_| 10_000));
    take(&test, &all);
    let pack = regular_files(&test.store.root().join("packs")).remove(0);
    let file = fs::File::options().write(true).open(&pack).unwrap();
    file.set_len(95_000).unwrap();
    let test = test.reopen();
    for (number, bytes) in all.iter().enumerate() {
        let read = bytes_of(&test.store, &BlobDigest::of(bytes));
        match number {
            0..9 => assert_eq!(read.unwrap(), *bytes),
            _ => assert!(read.is_err(), "blob {number} is torn off"),
        }
    }
    take(&test, &all);
    let test = test.reopen();
    for bytes in &all {
        assert_eq!(bytes_of(&test.store, &BlobDigest::of(bytes)).unwrap(), *bytes);
    }
}

#[test]
fn what_a_tree_lacks_is_found_again_after_a_blob_was_lost() {
    let test = new_store();
    let all = blobs([9000, 300_000, 20_000]);
    let leaf = |bytes: &[u8]| file(BlobDigest::of(bytes), metadata(0o644));
    let inner = Dir::default().with("b", leaf(&all[1])).with("c", leaf(&all[2]));
    let tree =
        Dir::default().with("a", leaf(&all[0])).with("d", crate::support::Item::Dir(inner)).tree(&test.store);
    let layer = test.store.put_tree(&tree).unwrap().digest;
    let expected = |bytes: &[&Vec<u8>]| {
        let mut digests: Vec<_> = bytes.iter().map(|bytes| BlobDigest::of(bytes)).collect();
        digests.sort();
        digests
    };
    let missing = || {
        let mut missing = test.store.missing_blobs(&tree).unwrap();
        missing.sort();
        missing
    };
    assert_eq!(missing(), expected(&[&all[0], &all[1], &all[2]]));
    take(&test, &all[..2]);
    assert_eq!(missing(), expected(&[&all[2]]));
    take(&test, &all[2..]);
    assert_eq!(missing(), []);
    assert!(test.store.is_complete(&layer).unwrap());

    damage(&regular_files(&test.store.root().join("blobs"))[0]);
    assert!(test.store.read_blob(&BlobDigest::of(&all[1]), 1 << 20).is_err(), "it is moved aside");
    assert_eq!(missing(), expected(&[&all[1]]));
    assert!(!test.store.is_complete(&layer).unwrap());
    take(&test, &all[1..2]);
    assert_eq!(missing(), []);

    // The records alone come back after a prune: the bytes did not.
    let prune = Prune { all: true, ..Prune::default() };
    test.store.prune(&prune, &Pins::default(), &|_| false).unwrap();
    let inner = Dir::default().with("b", leaf(&all[1])).with("c", leaf(&all[2]));
    let again =
        Dir::default().with("a", leaf(&all[0])).with("d", crate::support::Item::Dir(inner)).tree(&test.store);
    test.store.put_tree(&again).unwrap();
    assert_eq!(missing(), expected(&[&all[0], &all[1], &all[2]]));
}

#[test]
fn a_form_without_bytes_is_forgotten_with_its_layer() {
    let test = new_store();
    let all = blobs([9000]);
    take(&test, &all);
    let tree = Dir::default().with("a", file(BlobDigest::of(&all[0]), metadata(0o644))).tree(&test.store);
    let layer = test.store.put_tree(&tree).unwrap().digest;
    let form = Packed { digest: OciDigest([1; 32]), size: 10, diff_id: OciDigest([1; 32]) };
    test.store.put_packed(&layer, "plain", &form).unwrap();
    let prune = Prune { all: true, ..Prune::default() };
    let pins = Pins { layers: [layer].into() };
    test.store.prune(&prune, &pins, &|_| false).unwrap();
    assert_eq!(test.store.packed(&layer, "plain").unwrap(), Some(form));
    test.store.prune(&prune, &Pins::default(), &|_| false).unwrap();
    assert_eq!(test.store.packed(&layer, "plain").unwrap(), None);
}
