//! `farm prune` where cache mounts lie in the store that is asked: the workers of a farm keep theirs.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::sequence::{State, state_of};
use farm_tests::topology::Topology;

const DOCKERFILE: &str = "FROM busybox AS work\nARG V\n\
    RUN --mount=type=cache,target=/c echo x >> /c/n && wc -l < /c/n > /x\nFROM scratch\nCOPY --from=work /x /\n";

/// How often the cache mount was written to, seen by a step that has to run.
fn count(farm: &Farm, context: &Context, value: &str) -> String {
    let build = farm.build(context.path()).option("--build-arg", format!("V={value}"));
    build.run().expect(0).files().text("x").trim().to_owned()
}

#[test]
fn cache_mounts_can_be_pruned_alone() {
    let (farm, context) = (Farm::of(Topology::Daemon), Context::new(DOCKERFILE));
    assert_eq!([count(&farm, &context, "1"), count(&farm, &context, "2")], ["1", "2"]);
    let _dry = farm.command(&["prune", "--filter", "type=cache-mounts", "--dry-run"]).run().expect(0);
    assert_eq!(count(&farm, &context, "3"), "3");
    let _pruned = farm.command(&["prune", "--filter", "type=cache-mounts"]).run().expect(0).says(&["freed"]);
    assert_eq!(count(&farm, &context, "4"), "1");
    let again = farm.build(context.path()).option("--build-arg", "V=4").run().expect(0);
    assert_eq!(state_of(&again.log, "RUN --mount"), Some(State::Cached), "{}", again.log);
}
