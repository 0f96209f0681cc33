//! Same seed, same bytes; and the shapes that the names promise.

use std::path::Path;

use super::*;
use crate::folder::Contents;

/// A scale that a unit test can afford.
const SMALL: Scale = Scale { seed: 7, images: 3, divisor: 500 };

fn contents(workload: Workload, scale: &Scale, root: &Path) -> Contents {
    let path = root.join(workload.name());
    workload.generate(&path, scale).unwrap();
    Contents::of(&path).unwrap()
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_times() {
    for workload in Workload::ALL {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = contents(workload, &SMALL, one.path());
        assert_eq!(first, contents(workload, &SMALL, two.path()), "{}", workload.name());
    }
}

#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let scratch = tempfile::tempdir().unwrap();
    let digests = [Workload::M1Small, Workload::M4, Workload::M7]
        .map(|workload| contents(workload, &SMALL, scratch.path()).digest.to_hex()[..16].to_owned());
    assert_eq!(digests, ["c73866806b26611b", "9c942a10ad02b890", "a393eb866c0f69c3"]);
}

#[test]
fn another_seed_writes_other_bytes_of_the_same_shape() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Scale { seed: 8, ..SMALL };
    for workload in [Workload::M1Small, Workload::M4, Workload::M7] {
        let (first, second) =
            (contents(workload, &SMALL, one.path()), contents(workload, &other, two.path()));
        assert_eq!(first.files, second.files);
        assert_ne!(first.digest, second.digest);
    }
}

#[test]
fn the_wide_tree_has_its_size_at_full_scale() {
    let scale = Scale::default();
    let (mut count, mut bytes, mut directories) = (0_u64, 0_u64, std::collections::BTreeSet::new());
    for (path, size) in files::plan(scale.seed, scale.wide_files()) {
        count += 1;
        bytes += size;
        directories.insert(path.rsplit_once('/').unwrap().0.to_owned());
    }
    assert_eq!((count, directories.len()), (20_000, 1000));
    assert!((205_000_000..=215_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_wide_tree_on_disk_is_what_was_planned() {
    let scratch = tempfile::tempdir().unwrap();
    let workload = contents(Workload::M7, &SMALL, scratch.path());
    let planned: u64 = files::plan(SMALL.seed, SMALL.wide_files()).map(|(_, size)| size).sum();
    let beside = dockerfiles::wide_copy().len() + "Dockerfile\n".len();
    assert_eq!(workload.files, SMALL.wide_files() + 2);
    assert_eq!(workload.bytes, planned + u64::try_from(beside).unwrap());
}

#[test]
fn dockerfiles_have_as_many_steps_as_their_shape_says() {
    let count = |text: &str, word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(count(&dockerfiles::chain(CHAIN), "RUN"), 50);
    let fan = dockerfiles::fan(FAN);
    assert_eq!((count(&fan, "FROM"), count(&fan, "RUN"), count(&fan, "COPY")), (33, 32, 32));
    let three = dockerfiles::three_stages(false);
    let steps = ["RUN", "COPY", "WORKDIR"].map(|word| count(&three, word));
    assert_eq!((count(&three, "FROM"), steps.iter().sum::<usize>()), (3, 13));
    assert_eq!(count(&dockerfiles::three_stages(true), "COPY"), steps[1] + 1);
    assert_eq!(count(&dockerfiles::interrupted(INTERRUPTED), "RUN"), 16);
}

#[test]
fn every_dockerfile_takes_a_salt() {
    let texts = [
        dockerfiles::three_stages(true),
        dockerfiles::chain(1),
        dockerfiles::fan(1),
        dockerfiles::member(0),
        dockerfiles::generated("one /x 1"),
        dockerfiles::two_machines(),
        dockerfiles::wide_copy(),
        dockerfiles::interrupted(1),
    ];
    assert!(texts.iter().all(|text| text.contains("\nARG SALT=0\n")));
}

#[test]
fn a_fleet_has_as_many_images_as_asked_for() {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(contents(Workload::M4, &SMALL, scratch.path()).files, 9);
    assert_eq!(Scale::default().images, 200);
}

#[test]
fn nothing_is_written_over_what_is_there() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("m2");
    Workload::M2.generate(&path, &SMALL).unwrap();
    assert!(matches!(Workload::M2.generate(&path, &SMALL), Err(Error::Exists(_))));
}

#[test]
fn names_lead_back_to_their_workloads() {
    for workload in Workload::ALL {
        assert_eq!(workload.name().parse::<Workload>().unwrap(), workload);
    }
    assert!("m8".parse::<Workload>().is_err());
}
