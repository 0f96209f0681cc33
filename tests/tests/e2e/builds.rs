//! `farm builds`, and builds that somebody leaves.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use rustix::process::Signal;
use serde_json::Value;

use crate::traces::{Traces, processes, release, wait_for, wait_for_step};

/// A step that says something, waits until it is released, and says more, in words that its instruction does not contain.
fn waiting(mark: &str) -> Context {
    Context::new(&format!("FROM busybox AS work\nRUN echo said-fi''rst; sleep {mark}; echo said-la''st\n"))
}

fn detached(farm: &Farm, context: &Context) -> String {
    let outcome = farm.command(&["build", "--detach", context.path().to_str().unwrap()]).run().expect(0);
    outcome.stdout.trim().to_owned()
}

fn listed(farm: &Farm, build: &str) -> Value {
    let builds = farm.command(&["builds", "list", "--json"]).run().expect(0).json_lines();
    let found = builds.iter().find(|line| line["build"] == build);
    found.unwrap_or_else(|| panic!("{build} is not in {builds:?}")).clone()
}

/// The build that was asked for last.
fn last(farm: &Farm) -> String {
    let builds = farm.command(&["builds", "list", "--json"]).run().json_lines();
    builds[0]["build"].as_str().unwrap().to_owned()
}

/// Waits until nobody can still change what is known of a build.
fn wait_until_ended(farm: &Farm, build: &str) -> String {
    wait_for(
        || Some(listed(farm, build)["state"].as_str()?.to_owned()).filter(|state| state != "running"),
        "the build to end",
    )
}

#[test]
fn a_build_in_the_background_can_be_listed_shown_followed_and_replayed() {
    let (farm, context) = (Farm::new(), waiting("4712.1"));
    let build = detached(&farm, &context);
    wait_for_step("4712.1");
    assert_eq!(listed(&farm, &build)["state"], "running");
    let so_far = || farm.command(&["builds", "logs", &build]).run().expect(0).log;
    let so_far =
        wait_for(|| Some(so_far()).filter(|log| log.contains("said-first")), "the first words of the step");
    assert!(!so_far.contains("said-last"), "{so_far}");
    let attached = farm.command(&["builds", "attach", &build, "--progress", "plain"]).start();
    let followed = farm.command(&["builds", "logs", "--follow", &build]).start();
    release("4712.1");
    for outcome in [attached.finish(), followed.finish()] {
        let _whole = outcome.expect(0).says(&["library/busybox", "said-first", "said-last", "DONE"]);
    }
    assert_eq!(wait_until_ended(&farm, &build), "succeeded");
    let _page =
        farm.command(&["builds", "show", &build]).run().expect(0).says(&["succeeded", "RUN echo", "done"]);
    // A prefix names it too, and so does no name at all: it is the last build.
    for which in [vec![build.as_str()], vec![&build[..6]], vec![]] {
        for verb in ["logs", "attach"] {
            let words = [vec!["builds", verb], which.clone()].concat();
            let _whole =
                farm.command(&words).run().expect(0).says(&["library/busybox", "said-first", "said-last"]);
        }
    }
}

#[test]
fn the_log_of_a_build_survives_its_farm() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN echo remembered && exit 3\n");
    let _failed = farm.build(context.path()).run().expect(1);
    farm.stop();
    let _replayed = farm.command(&["builds", "attach"]).run().expect(1).says(&["remembered", "exit 3"]);
    let _shown = farm.command(&["builds", "show"]).run().expect(0).says(&["failed", "error:"]);
}

#[test]
fn a_build_that_is_cancelled_ends_for_everybody_who_waits() {
    let (farm, context) = (Farm::new(), waiting("4712.2"));
    let first = farm.build(context.path()).start();
    let traces = Traces::of(&farm, "4712.2");
    let build = &last(&farm);
    let second = farm.command(&["builds", "attach", build]).start();
    let _cancelled = farm.command(&["builds", "cancel", build]).run().expect(0);
    for outcome in [first.finish(), second.finish()] {
        assert_eq!(outcome.status, Some(130), "{}", outcome.log);
    }
    traces.assert_step_gone();
    assert_eq!(wait_until_ended(&farm, build), "cancelled");
}

#[test]
fn whoever_leaves_takes_nothing_from_those_who_stay() {
    let (farm, context) = (Farm::new(), waiting("4712.3"));
    let path = context.path().to_str().unwrap();
    let first = farm.command(&["build", "--progress", "plain", path]).start();
    wait_for_step("4712.3");
    let build = &last(&farm);
    let stays = farm.command(&["builds", "attach", build, "--progress", "rawjson"]).start();
    let leaves = farm.command(&["builds", "attach", build]).start();
    // All three wait for it once they have said something.
    let wants = || farm.command(&["builds", "show", build]).run().log.contains("running").then_some(());
    wait_for(wants, "the build to be shown");
    std::thread::sleep(std::time::Duration::from_millis(500));
    leaves.signal(Signal::INT);
    assert_eq!(leaves.finish().status, Some(130));
    first.signal(Signal::INT);
    assert_eq!(first.finish().status, Some(130));
    assert_eq!(processes("4712.3").len(), 1, "the step ended although somebody waits for it");
    release("4712.3");
    let _whole = stays.finish().expect(0);
    assert_eq!(wait_until_ended(&farm, build), "succeeded");
}

#[test]
fn a_client_that_dies_leaves_nothing_running_for_ever() {
    let (farm, context) = (Farm::new(), waiting("4712.4"));
    let child = farm.build(context.path()).start();
    let traces = Traces::of(&farm, "4712.4");
    let build = last(&farm);
    child.signal(Signal::KILL);
    assert_eq!(child.finish().status, None);
    traces.assert_step_gone();
    let state = wait_until_ended(&farm, &build);
    assert!(["interrupted", "cancelled"].contains(&state.as_str()), "{state}");
}

#[test]
fn a_build_that_does_not_exist_is_wrong_usage() {
    let farm = Farm::new();
    let none = farm.command(&["builds", "list", "--json"]).run().expect(0);
    assert_eq!(none.stdout, "");
    for verb in ["show", "logs", "attach", "cancel"] {
        for which in [vec![], vec!["0123456789abcdef"], vec!["nonsense"]] {
            let words = [vec!["builds", verb], which].concat();
            assert_eq!(farm.command(&words).run().status, Some(2), "{words:?}");
        }
    }
}
