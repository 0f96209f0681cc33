//! `farm daemon`: it starts when it is needed, once, says how it is, and ends when it is told to or has nothing to do.

use std::time::Duration;

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::topology::{Topology, daemon, leftovers};
use rustix::process::Signal;

fn pid(farm: &Farm) -> Option<u32> {
    daemon::pid(&farm.directories()[0].runtime())
}

fn status(farm: &Farm) -> serde_json::Value {
    let outcome = farm.command(&["daemon", "status", "--json"]).run().expect(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn it_is_started_asked_and_stopped() {
    let farm = Farm::of(Topology::Daemon);
    let _none = farm.command(&["daemon", "status"]).run().expect(0).says(&["no daemon runs"]);
    assert!(status(&farm).is_null() && pid(&farm).is_none(), "asking started one");
    let _nothing_to_stop = farm.command(&["daemon", "stop"]).run().expect(0);
    let _started = farm.command(&["daemon", "start"]).run().expect(0).says(&["version", "process"]);
    let first = pid(&farm).expect("it runs");
    assert_eq!(status(&farm)["pid"], first);
    assert_eq!(status(&farm)["workers"].as_array().map(Vec::len), Some(1));
    let _again = farm.command(&["daemon", "start"]).run().expect(0);
    assert_eq!(pid(&farm), Some(first), "a second one was started");
    let _logs = farm.command(&["daemon", "logs", "-n", "5"]).run().expect(0);
    let _stopped = farm.command(&["daemon", "stop"]).run().expect(0);
    assert!(!leftovers::is_alive(first), "it was stopped and is still there");
    assert!(status(&farm).is_null());
}

#[test]
fn commands_that_come_at_once_start_one_together() {
    let farm = Farm::of(Topology::Daemon);
    let commands: Vec<_> = (0..6).map(|_| farm.command(&["images"]).start()).collect();
    for command in commands {
        let _done = command.finish().expect(0);
    }
    let daemons: Vec<_> = leftovers::processes(farm.root());
    assert_eq!(daemons, [pid(&farm).unwrap()]);
}

#[test]
fn a_build_starts_it_and_takes_none_of_its_streams_along() {
    let farm = Farm::of(Topology::Daemon);
    let context = Context::new("FROM scratch\nLABEL a=b\n");
    // It would wait for the end of the streams as long as the daemon has them.
    let _built = farm.build(context.path()).run().expect(0);
    let daemon = pid(&farm).expect("it stays");
    for descriptor in 0..3 {
        let target = std::fs::read_link(format!("/proc/{daemon}/fd/{descriptor}")).unwrap();
        let target = target.to_string_lossy();
        assert!(
            target == "/dev/null" || target.ends_with("daemon.log"),
            "descriptor {descriptor} is {target}"
        );
    }
}

#[test]
fn it_ends_when_it_has_been_idle_for_long() {
    let farm = Farm::of(Topology::Daemon).with_configuration("idle-exit = 1\n");
    let _images = farm.command(&["images"]).run().expect(0);
    let daemon = pid(&farm).expect("it runs");
    let gone = leftovers::wait_for(Duration::from_secs(20), || (!leftovers::is_alive(daemon)).then_some(()));
    assert!(gone.is_some(), "it is still there");
    let _images = farm.command(&["images"]).run().expect(0);
}

#[test]
fn when_idle_waits_for_builds_that_run() {
    let farm = Farm::of(Topology::Daemon);
    let context = Context::new("FROM busybox\nRUN sleep 2 && echo done > /x\n");
    let build = farm.build(context.path()).start();
    let runs = || (status(&farm)["running_builds"] == 1).then_some(());
    leftovers::wait_for(Duration::from_secs(20), runs).expect("the build to run");
    let _stopped = farm.command(&["daemon", "stop", "--when-idle"]).run().expect(0);
    assert_eq!(build.finish().expect(0).files().text("x"), "done\n");
}

#[test]
fn an_endpoint_that_a_killed_daemon_left_is_no_obstacle() {
    let farm = Farm::of(Topology::Daemon);
    let _images = farm.command(&["images"]).run().expect(0);
    let first = pid(&farm).unwrap();
    leftovers::send(first, Signal::KILL);
    let _images = farm.command(&["images"]).run().expect(0);
    assert_ne!(pid(&farm), Some(first));
}
