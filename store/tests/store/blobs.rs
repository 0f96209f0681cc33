//! Bytes in, bytes out, and what happens to damaged ones.

use std::fs;
use std::io::{self, Read};

use farm_model::BlobDigest;
use farm_store::Error;

use crate::support::{Dir, Random, bytes_of, damage, new_store, regular_files, text};

#[test]
fn blobs_of_every_size_come_out_as_they_went_in() {
    let test = new_store();
    let mut random = Random(1);
    for size in [0, 1, 4095, 4096, 4097, 131_072, 131_073, 1_000_000] {
        let bytes = random.bytes(size);
        let blob = test.store.ingest(&mut &*bytes, None).unwrap();
        assert_eq!(blob, BlobDigest::of(&bytes));
        assert!(test.store.contains(&blob).unwrap());
        assert_eq!(test.store.read_blob(&blob, size).unwrap(), bytes);
        assert_eq!(test.store.open_blob(&blob).unwrap().file().is_some(), size > 131_072);
    }
    let test = test.reopen();
    assert_eq!(test.store.read_blob(&BlobDigest::of(&Random(1).bytes(1)), 9).unwrap().len(), 1);
}

#[test]
fn bytes_that_are_not_the_expected_ones_are_never_stored() {
    let test = new_store();
    let old = vec![1; 100_000];
    let new = vec![2; 100_000];
    let longer = vec![1; 100_001];
    for other in [&new, &longer, &old[..9].to_vec()] {
        let result = test.store.ingest_expected(&mut other.as_slice(), &BlobDigest::of(&old));
        assert!(matches!(result, Err(Error::Mismatch { .. })));
    }
    for bytes in [&old, &new, &longer] {
        assert!(!test.store.contains(&BlobDigest::of(bytes)).unwrap());
    }
    assert!(regular_files(&test.store.root().join("blobs")).is_empty());
    assert!(regular_files(&test.store.root().join("tmp")).is_empty());
    test.store.ingest_expected(&mut old.as_slice(), &BlobDigest::of(&old)).unwrap();
    assert!(test.store.contains(&BlobDigest::of(&old)).unwrap());
}

#[test]
fn a_limit_stops_a_reader_that_never_ends() {
    let test = new_store();
    let result = test.store.ingest(&mut io::repeat(7), Some(1 << 20));
    assert!(matches!(result, Err(Error::TooLarge { limit: 1_048_576 })));
    assert!(matches!(test.store.ingest(&mut &[1, 2, 3][..], Some(2)), Err(Error::TooLarge { .. })));
}

#[test]
fn a_reader_that_fails_leaves_nothing_behind() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    let test = new_store();
    let result = test.store.ingest(&mut vec![1; 10_000].as_slice().chain(Broken), None);
    assert!(matches!(result, Err(Error::Source(_))));
    assert!(regular_files(&test.store.root().join("tmp")).is_empty());
}

#[test]
fn a_damaged_blob_file_is_moved_aside_and_counts_as_missing() {
    let test = new_store();
    let blob = test.store.ingest(&mut vec![5; 500_000].as_slice(), None).unwrap();
    damage(test.store.open_blob(&blob).unwrap().path().unwrap());

    let mut verified = test.store.open_verified(&blob).unwrap();
    let error = verified.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);

    assert!(!test.store.contains(&blob).unwrap());
    assert!(matches!(test.store.open_blob(&blob), Err(Error::MissingBlob(_))));
    assert_eq!(regular_files(&test.store.root().join("quarantine")).len(), 1);

    test.store.ingest(&mut vec![5; 500_000].as_slice(), None).unwrap();
    assert_eq!(test.store.read_blob(&blob, 500_000).unwrap(), vec![5; 500_000]);
}

#[test]
fn a_truncated_blob_file_is_noticed_without_hashing() {
    let test = new_store();
    let blob = test.store.ingest(&mut vec![5; 500_000].as_slice(), None).unwrap();
    let path = test.store.open_blob(&blob).unwrap().path().unwrap().to_owned();
    fs::write(&path, [5; 10]).unwrap();
    assert!(matches!(test.store.open_blob(&blob), Err(Error::MissingBlob(_))));
    assert!(!test.store.contains(&blob).unwrap());
}

#[test]
fn a_damaged_copy_does_not_hide_a_good_one() {
    let test = new_store();
    let bytes = vec![9; 600_000];
    let blob = test.store.ingest(&mut bytes.as_slice(), None).unwrap();
    let path = test.store.open_blob(&blob).unwrap().path().unwrap().to_owned();
    let tree = Dir::default().with("f", text(&test.store, &bytes)).tree(&test.store);
    test.store.materialise(&tree).unwrap();
    damage(&path);
    assert_eq!(test.store.read_blob(&blob, 600_000).unwrap(), bytes);
    assert!(test.store.quarantine(&blob).unwrap(), "the copy in the layer is good");
    assert_eq!(bytes_of(&test.store, &blob).unwrap(), bytes);
}

#[test]
fn a_blob_with_another_size_is_another_blob() {
    let test = new_store();
    let blob = test.store.ingest(&mut [1; 10].as_slice(), None).unwrap();
    let lie = BlobDigest { size: 11, ..blob };
    assert!(!test.store.contains(&lie).unwrap());
}

#[test]
fn small_blobs_share_a_file_and_damage_to_one_is_noticed() {
    let test = new_store();
    let blobs: Vec<_> = (0..50u8).map(|byte| vec![byte; 9000 + usize::from(byte)]).collect();
    let digests: Vec<_> =
        blobs.iter().map(|bytes| test.store.ingest(&mut bytes.as_slice(), None).unwrap()).collect();
    let packs = regular_files(&test.store.root().join("packs"));
    assert_eq!(packs.len(), 1);
    let test = test.reopen();
    for (bytes, digest) in blobs.iter().zip(&digests) {
        assert_eq!(bytes_of(&test.store, digest).unwrap(), *bytes);
    }
    damage(&packs[0]);
    assert!(matches!(test.store.read_blob(&digests[0], 10_000), Err(Error::MissingBlob(_))));
    assert!(!test.store.contains(&digests[0]).unwrap());
    assert_eq!(test.store.read_blob(&digests[1], 10_000).unwrap(), blobs[1]);
    test.store.ingest(&mut blobs[0].as_slice(), None).unwrap();
    assert_eq!(test.store.read_blob(&digests[0], 10_000).unwrap(), blobs[0]);

    fs::write(&packs[0], b"short").unwrap();
    assert!(matches!(test.store.open_blob(&digests[1]), Err(Error::MissingBlob(_))));
}

#[test]
fn small_blobs_may_come_from_many_threads_at_once() {
    let test = new_store();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let store = &test.store;
            scope.spawn(move || {
                for number in 0..100u8 {
                    let mut bytes = vec![thread; 3000];
                    bytes[..2].fill(number % 20);
                    let blob = store.ingest(&mut bytes.as_slice(), None).unwrap();
                    assert_eq!(bytes_of(store, &blob).unwrap(), bytes);
                    if number % 10 == 0 {
                        store.sync().unwrap();
                    }
                }
            });
        }
    });
}
