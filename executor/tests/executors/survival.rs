//! What is left when a worker dies in the middle of its steps.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use farm_executor::{CancelFlag, Error, Network, NetworkPool, Stream, sweep};

use crate::Test;
use crate::support::{
    Holdings, Kind, World, bridge_of, container, directory, eventually, executor, exists, image,
    processes_running, watch,
};

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_worker_takes_its_steps_along_and_a_sweep_does_the_rest", killed_worker),
    ("a_killed_zygote_harms_no_step", killed_zygote),
    ("a_container_that_was_killed_while_it_waited_is_replaced", killed_while_it_waits),
    ("a_killed_init_is_told_as_a_signal", killed_init),
    ("a_run_directory_has_one_owner", a_run_directory_has_one_owner),
    ("many_containers_run_at_once", many_containers_run_at_once),
];

const WORKER: &str = "FARM_TEST_WORKER";
const KIND: &str = "FARM_TEST_EXECUTOR";
/// A command that no other program of the machine runs.
const SLEEPER: &str = "sleep 86397";

fn sleepers() -> usize {
    processes_running(SLEEPER).len()
}

/// The worker of these tests: runs one endless step in the directory given, and says when it has started.
pub(crate) fn worker_entry() -> Option<ExitCode> {
    let base = PathBuf::from(std::env::var_os(WORKER)?);
    let kind = std::env::var_os(KIND)?;
    Kind::ALL.into_iter().find(|known| kind == known.name())?.choose();
    let executor = executor(&base.join("run")).expect("the run directory is free");
    let pool = NetworkPool::new(1);
    let mut step =
        container(&base, "endless", &format!("(setsid {SLEEPER} &); {SLEEPER} & echo started; wait"));
    let namespace = pool.take().expect("there is a network");
    println!("{}", bridge_of(namespace.address()).expect("it is connected"));
    step.network = Network::Sandbox(namespace);
    step.limits.memory = Some(64 << 20);
    let cancel = CancelFlag::new().expect("there are descriptors");
    let mut output = |stream, _: &[u8]| {
        if stream == Stream::Stdout {
            println!("started");
        }
    };
    let outcome = executor.run(&step, &mut output, &cancel);
    println!("{outcome:?}");
    Some(ExitCode::SUCCESS)
}

fn start_worker(base: &Path) -> (Child, String) {
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .env(WORKER, base)
        .env(KIND, Kind::chosen().name())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let bridge = lines.next().unwrap().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "started");
    eventually("both sleepers sleep", || sleepers() == 2);
    (worker, bridge)
}

fn killed_worker() {
    let dir = directory();
    image(&dir.path().join("image"));
    let before = Holdings::of_these_tests();
    let (mut worker, bridge) = start_worker(dir.path());
    watch(&dir.path().join("run"));
    assert!(matches!(sweep(&dir.path().join("run")), Err(Error::Busy { .. })), "the worker lives");
    worker.kill().unwrap();
    worker.wait().unwrap();
    eventually("its processes are gone", || sleepers() == 0);
    assert!(Holdings::of_these_tests() != before && exists(&bridge), "there is something to sweep");
    sweep(&dir.path().join("run")).unwrap();
    assert_eq!(Holdings::of_these_tests(), before);
    eventually(&format!("{bridge} is gone"), || !exists(&bridge));
    assert_eq!(std::fs::read_dir(dir.path().join("run/containers")).unwrap().count(), 0);
    // Its successor can use the directory and the container's name.
    let executor = executor(&dir.path().join("run")).unwrap();
    for name in ["endless-upper", "endless-work"] {
        std::fs::remove_dir_all(dir.path().join(name)).unwrap();
    }
    let next = container(dir.path(), "endless", "echo next");
    assert_eq!(crate::support::run(&*executor, &next, &CancelFlag::new().unwrap()).unwrap().ok(), "next\n");
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// Runs an endless step and does something to it once it has started.
fn disturb(harm: impl Fn()) -> Result<farm_executor::Outcome, Error> {
    let before = Holdings::of_these_tests();
    let world = World::new();
    let step = world.shell(&format!("{SLEEPER} & echo started; wait"));
    let mut output = |stream, _: &[u8]| {
        if stream == Stream::Stdout {
            eventually("the sleeper sleeps", || sleepers() == 1);
            harm();
        }
    };
    let outcome = world.executor.run(&step, &mut output, &CancelFlag::new().unwrap());
    eventually("its processes are gone", || sleepers() == 0);
    drop(world);
    assert_eq!(Holdings::of_these_tests(), before);
    outcome
}

/// The zygote and the parent of the sleeper, in this order.
fn zygote_and_init() -> (u32, u32) {
    let all = processes_running("farm-container");
    let level = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        ids.split_whitespace().count()
    };
    let host = level(&std::process::id());
    let zygote = all.iter().copied().find(|pid| level(pid) == host).unwrap();
    let shell = parent_of(processes_running(SLEEPER)[0]).unwrap();
    (zygote, parent_of(shell).unwrap())
}

fn killed_zygote() {
    let world = World::new();
    let step = world.shell(&format!("{SLEEPER} & echo started; sleep 3; echo alive; kill $!"));
    let mut seen = Vec::new();
    let mut output = |_, bytes: &[u8]| {
        if seen.is_empty() {
            eventually("the sleeper sleeps", || sleepers() == 1);
            kill(zygote_and_init().0);
        }
        seen.extend_from_slice(bytes);
    };
    let outcome = world.executor.run(&step, &mut output, &CancelFlag::new().unwrap()).unwrap();
    assert!(outcome.exit.is_success() && seen == b"started\nalive\n", "{outcome:?}");
    // As many as were made ahead, and one that needs a zygote.
    for _ in 0..4 {
        assert_eq!(world.output("echo next"), "next\n");
    }
}

fn killed_init() {
    let outcome = disturb(|| kill(zygote_and_init().1)).unwrap();
    assert_eq!(outcome.exit, farm_executor::Exit::Signal(9));
}

fn killed_while_it_waits() {
    let world = World::new();
    assert_eq!(world.output("echo first"), "first\n");
    // All that wait to become containers, and the zygote.
    processes_running("farm-container").into_iter().for_each(kill);
    assert_eq!(world.output("echo next"), "next\n");
}

fn a_run_directory_has_one_owner() {
    let world = World::new();
    let Err(error) = executor(&world.dir.path().join("run")) else { panic!("it has two owners") };
    assert!(matches!(error, Error::Busy { .. }) && error.hint().is_some(), "{error}");
}

fn many_containers_run_at_once() {
    let world = World::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..16)
            .map(|number| {
                let container = world.shell(&format!("echo {number}"));
                let world = &world;
                scope.spawn(move || world.run(&container).unwrap().ok())
            })
            .collect();
        for (number, run) in runs.into_iter().enumerate() {
            assert_eq!(run.join().unwrap(), format!("{number}\n"));
        }
    });
}
