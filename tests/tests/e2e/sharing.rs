//! Equal steps of builds that run at the same time.

use farm_tests::context::Context;
use farm_tests::farm::{Farm, Started};
use rustix::process::Signal;

use crate::traces::{processes, release, wait_for, wait_for_step};

/// Two contexts that differ, and a step that is the same in both.
fn contexts(mark: &str) -> [Context; 2] {
    let step = format!(
        "RUN echo said-fi''rst; head -c 16 /dev/urandom | sha256sum > /x; sleep {mark}; echo said-la''st"
    );
    ["a", "b"].map(|name| Context::new(&format!("FROM busybox\n{step}\nCOPY who /\n")).file("who", name))
}

/// Starts both, the second one when the first one's step runs; returns when the step has two who wait for it.
fn both(farm: &Farm, contexts: &[Context; 2], mark: &str) -> [Started; 2] {
    let first = farm.build(contexts[0].path()).start();
    wait_for_step(mark);
    let second = farm.build(contexts[1].path()).start();
    let joined = || {
        let page = farm.command(&["builds", "show"]).run().log;
        page.contains("shared with").then_some(())
    };
    wait_for(joined, "the second build to join the first one's step");
    [first, second]
}

#[test]
fn it_runs_once_and_everybody_sees_its_whole_log() {
    let (farm, contexts) = (Farm::new(), contexts("4713.1"));
    let builds = both(&farm, &contexts, "4713.1");
    assert_eq!(processes("4713.1").len(), 1, "the step runs more than once");
    release("4713.1");
    let outcomes = builds.map(|build| build.finish().expect(0).says(&["said-first", "said-last"]));
    let [first, second] = outcomes.map(|outcome| outcome.files());
    assert_eq!(first.text("x"), second.text("x"));
    assert_eq!((first.text("who"), second.text("who")), ("a".to_owned(), "b".to_owned()));
}

#[test]
fn it_goes_on_for_the_one_who_stays() {
    for leaver in [0, 1] {
        let mark = format!("4713.2{leaver}");
        let (farm, contexts) = (Farm::new(), contexts(&mark));
        let mut builds = Vec::from(both(&farm, &contexts, &mark));
        let leaves = builds.remove(leaver);
        leaves.signal(Signal::INT);
        assert_eq!(leaves.finish().status, Some(130));
        assert_eq!(processes(&mark).len(), 1, "the step ended, or runs again");
        release(&mark);
        let stayed = builds.remove(0).finish().expect(0).says(&["said-first", "said-last"]);
        assert_eq!(stayed.files().text("who"), ["b", "a"][leaver]);
    }
}

#[test]
fn ctrl_c_ends_only_what_nobody_else_waits_for() {
    let (farm, shared) = (Farm::new(), contexts("4713.3"));
    let own = "FROM busybox AS own\nRUN sleep 4713.4 && echo own > /own\n";
    let dockerfile = std::fs::read_to_string(shared[0].join("Dockerfile")).unwrap();
    shared[0].write("Dockerfile", format!("{own}{dockerfile}COPY --from=own /own /\n"));
    let [first, second] = both(&farm, &shared, "4713.3");
    wait_for_step("4713.4");
    first.signal(Signal::INT);
    assert_eq!(first.finish().status, Some(130));
    wait_for(
        || processes("4713.4").is_empty().then_some(()),
        "the step that only the first build wanted to end",
    );
    assert_eq!(processes("4713.3").len(), 1, "the step that both wanted ended");
    release("4713.3");
    let _whole = second.finish().expect(0).says(&["said-last"]);
}

#[test]
fn it_fails_for_everybody_with_the_same_words() {
    let farm = Farm::new();
    let step = "RUN echo said-fi''rst; sleep 4713.5; echo said-la''st; exit 7";
    let contexts = ["a", "b"].map(|name| Context::new(&format!("FROM busybox\n{step}\nLABEL who={name}\n")));
    let builds = both(&farm, &contexts, "4713.5");
    release("4713.5");
    for build in builds {
        let _failed = build.finish().expect(1).says(&["said-first", "said-last", "7"]);
    }
}
