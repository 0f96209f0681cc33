//! `farm du` and `farm prune`.

use std::collections::BTreeMap;
use std::time::Duration;

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::sequence::{State, state_of};
use farm_tests::topology::leftovers::wait_for;

const DOCKERFILE: &str = "FROM busybox AS work\n\
    RUN echo 1 > /x && head -c 100000 /dev/urandom > /big\n\
    FROM scratch\nCOPY --from=work /x /\n";

const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes by kind, of the coordinator.
fn usage(farm: &Farm) -> BTreeMap<String, u64> {
    let rows = farm.command(&["du", "--json"]).run().expect(0).json_lines();
    let row =
        |row: &serde_json::Value| (row["kind"].as_str().unwrap().to_owned(), row["bytes"].as_u64().unwrap());
    rows.iter().filter(|row| row["node"].is_null()).map(row).collect()
}

/// What is used once the stage `work` is in the store that is asked: a farm brings it there in the background.
fn with_the_stage(farm: &Farm) -> BTreeMap<String, u64> {
    const BASE_AND_STAGE: u64 = 2_400_000;
    let there = || Some(usage(farm)).filter(|usage| usage["cache"] > BASE_AND_STAGE);
    wait_for(PATIENCE, there)
        .unwrap_or_else(|| panic!("the stage `work` is not in the cache: {:?}", usage(farm)))
}

#[test]
fn what_named_images_need_stays_and_the_rest_can_go() {
    let (farm, context) = (Farm::new(), Context::new(DOCKERFILE));
    let _first = farm.build(context.path()).option("-t", "kept:1").run().expect(0);
    let before = with_the_stage(&farm);
    // What a later build would find is not taken without being asked for.
    let _little = farm.command(&["prune"]).run().expect(0);
    let kept = |usage: &BTreeMap<String, u64>| usage["cache"] + usage["images"];
    assert_eq!(kept(&usage(&farm)), kept(&before));
    let _recent = farm.command(&["prune", "--all", "--filter", "until=1h"]).run().expect(0);
    assert_eq!(kept(&usage(&farm)), kept(&before));
    let _all = farm.command(&["prune", "--all"]).run().expect(0);
    let after = usage(&farm);
    assert!(after["cache"] < 100_000, "{after:?}");
    // A file that lay in a layer of the cache alone is the image's from now on.
    assert!(after["images"] >= before["images"], "a named image lost something: {before:?}, {after:?}");
    let upon = Context::new("FROM kept:1\n");
    assert_eq!(farm.build(upon.path()).run().expect(0).files().text("x"), "1\n");
    let again = farm.build(context.path()).run().expect(0);
    assert_eq!(state_of(&again.log, "RUN echo"), Some(State::Ran), "{}", again.log);
}

#[test]
fn filters_that_mean_nothing_are_wrong_usage() {
    let farm = Farm::new();
    for wrong in ["type=nothing", "until=soon", "size=1", "type"] {
        assert_eq!(farm.command(&["prune", "--filter", wrong]).run().status, Some(2), "{wrong}");
    }
    assert_eq!(farm.command(&["prune", "--keep-storage", "much"]).run().status, Some(2));
    let _table =
        farm.command(&["du"]).run().expect(0).says(&["KIND", "SIZE", "RECLAIMABLE", "cache-mounts", "total"]);
}

#[test]
fn cache_mounts_of_every_worker_go() {
    let farm = Farm::new();
    let context = |text: &str| {
        Context::new(&format!(
            "FROM busybox\nRUN --mount=type=cache,target=/c echo {text} > /made && head -c 50000 /dev/urandom > /c/f\n"
        ))
    };
    let _built = farm.build(context("1").path()).run().expect(0);
    let mounts = || {
        let rows = farm.command(&["du", "--json"]).run().expect(0).json_lines();
        let of_mounts = rows.iter().filter(|row| row["kind"] == "cache-mounts");
        of_mounts.map(|row| row["bytes"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(mounts() >= 50_000);
    let _pruned =
        farm.command(&["prune", "--filter", "type=cache-mounts"]).run().expect(0).says(&["cache-mounts"]);
    assert_eq!(mounts(), 0);
    // What was in the cache of steps is still found.
    let again = farm.build(context("1").path()).run().expect(0);
    assert!(again.log.contains("CACHED"), "{}", again.log);
    let _all = farm.command(&["prune", "--all"]).run().expect(0);
    let outcome = farm.build(context("1").path()).run().expect(0);
    assert_eq!(state_of(&outcome.log, "head -c"), Some(State::Ran), "{}", outcome.log);
}
