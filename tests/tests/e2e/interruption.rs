//! Ctrl-C, and worse, at any moment: the right status, nothing left behind, nothing lost.

use std::process::Child;
use std::time::{Duration, Instant};

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::sequence::{State, state_of};
use rustix::process::{Pid, Signal, kill_process};

use crate::traces::{Traces, assert_no_mounts};

/// Long enough that only a kill ends it; the fraction tells the tests apart.
fn sleeping(mark: &str) -> Context {
    Context::new(&format!("FROM busybox\nRUN echo kept > /first\nRUN sleep {mark}\n"))
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("our child can be signalled");
}

#[test]
fn ctrl_c_in_a_step_ends_the_build_with_130_and_leaves_nothing() {
    let (farm, context) = (Farm::new(), sleeping("4711.130"));
    let child = farm.build(context.path()).spawn();
    let traces = Traces::of(&farm, "4711.130");
    traces.assert_contained();
    let sent = Instant::now();
    send(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sent.elapsed() < Duration::from_secs(20), "it took {:?} to stop", sent.elapsed());
    traces.assert_step_gone();
    traces.assert_gone(&farm);
}

#[test]
fn what_was_built_before_ctrl_c_is_cached_afterwards() {
    let (farm, context) = (Farm::new(), sleeping("4711.131"));
    let child = farm.build(context.path()).spawn();
    let _running = Traces::of(&farm, "4711.131");
    send(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    context.write("Dockerfile", "FROM busybox\nRUN echo kept > /first\nRUN true\n");
    let again = farm.build(context.path()).run().expect(0);
    assert_eq!(state_of(&again.log, "RUN echo kept"), Some(State::Cached), "{}", again.log);
}

#[test]
fn a_killed_farm_takes_its_containers_along_and_the_next_build_cleans_up() {
    let (farm, context) = (Farm::new(), sleeping("4711.9"));
    let mut child = farm.build(context.path()).spawn();
    let traces = Traces::of(&farm, "4711.9");
    child.kill().unwrap();
    farm.kill();
    child.wait().unwrap();
    context.write("Dockerfile", "FROM busybox\nRUN echo kept > /first\nRUN true\n");
    let again = farm.build(context.path()).run().expect(0);
    assert_eq!(again.files().text("first"), "kept\n");
    traces.assert_gone(&farm);
}

#[test]
fn ctrl_c_while_the_context_is_read_ends_the_build() {
    let farm = Farm::new();
    // A context on a pipe that never ends: the build cannot get past reading it.
    let mut child =
        farm.command(&["build", "--output", "type=oci,dest=/dev/null", "-"]).stdin("FROM").spawn();
    let pipe = child.stdin.take();
    std::thread::sleep(Duration::from_millis(300));
    send(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    farm.stop();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_no_mounts(&farm);
}

#[test]
fn background_processes_of_a_step_end_with_it() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN (sleep 4711.77 &) ; echo started > /x\n");
    let started = Instant::now();
    let outcome = farm.build(context.path()).run().expect(0);
    assert_eq!(outcome.files().text("x"), "started\n");
    assert!(started.elapsed() < Duration::from_secs(120), "the build waited for a background process");
    farm.stop();
    assert_no_mounts(&farm);
}
