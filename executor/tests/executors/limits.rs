//! Limits of a container as a whole.

use std::time::{Duration, Instant};

use farm_executor::{CancelFlag, Exit};

use crate::Test;
use crate::support::{World, eventually, run};

pub(crate) const TESTS: &[Test] = &[
    ("too_much_memory_is_reported_as_such", too_much_memory_is_reported_as_such),
    ("enough_memory_is_enough", enough_memory_is_enough),
    ("a_fork_bomb_is_contained", a_fork_bomb_is_contained),
    ("a_slow_processor_is_slow", a_slow_processor_is_slow),
    ("a_meter_shows_the_processor_time_of_a_running_container", meter),
];

fn too_much_memory_is_reported_as_such() {
    let world = World::new();
    let mut container = world.shell("head -c 200m /dev/zero | tail | wc -c; exit 1");
    container.limits.memory = Some(32 << 20);
    let ran = world.run(&container).unwrap();
    assert_eq!(ran.outcome.exit, Exit::OutOfMemory, "{ran:?}");
    assert!(ran.outcome.usage.peak_memory <= 33 << 20);
}

fn enough_memory_is_enough() {
    let world = World::new();
    let mut container = world.shell("head -c 10m /dev/zero | wc -c");
    container.limits.memory = Some(64 << 20);
    assert_eq!(world.run(&container).unwrap().ok(), "10485760\n");
}

fn a_fork_bomb_is_contained() {
    let world = World::new();
    let mut container = world.shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; echo all");
    container.limits.pids = Some(5);
    let ran = world.run(&container).unwrap();
    assert!(!ran.outcome.exit.is_success() && !ran.stdout.contains("all"), "{ran:?}");
}

fn a_slow_processor_is_slow() {
    let world = World::new();
    let mut container = world.shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
    container.limits.cpus = Some(0.1);
    let started = Instant::now();
    let usage = world.run(&container).unwrap().outcome.usage;
    let busy = usage.user + usage.system;
    assert!(busy < Duration::from_millis(60) || started.elapsed() > 3 * busy, "{usage:?}");
}

fn meter() {
    let world = World::new();
    let container = world.shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1000");
    let meter = container.meter.clone();
    assert_eq!(meter.cpu_micros(), None);
    let cancel = CancelFlag::new().unwrap();
    let wall = std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("some processor time is used", || {
                meter.cpu_micros().is_some_and(|used| used > 30_000)
            });
            cancel.cancel();
        });
        run(&*world.executor, &container, &cancel).unwrap().outcome.usage.wall
    });
    let read = Duration::from_micros(meter.cpu_micros().expect("the last reading stays"));
    assert!(read > Duration::from_millis(30) && read < 2 * wall, "{read:?} {wall:?}");
}
