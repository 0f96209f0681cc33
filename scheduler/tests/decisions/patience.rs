//! Steps that no worker can do.

use farm_scheduler::Command;

use crate::farm::{Farm, build, granted, slots, stages, step, work};

#[test]
fn a_step_for_which_no_worker_comes_is_given_up() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 1));
    farm.join("w1", slots(1));
    let mut wanting = work(1);
    wanting.labels.push("gpu".to_owned());
    assert_eq!(farm.ready((build(1), step(0, 0)), wanting), []);
    assert_eq!(farm.wait(59_999), []);
    let commands = farm.wait(1);
    let [Command::GiveUp { waiting, reason }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(waiting[..], [(build(1), step(0, 0))]);
    assert!(reason.contains("`gpu`"), "{reason}");
    assert_eq!(farm.scheduler.poll_timeout(), None);
}

#[test]
fn each_step_waits_its_own_time() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 1));
    farm.ready((build(1), step(0, 0)), work(1));
    farm.wait(30_000);
    farm.ready((build(1), step(1, 0)), work(2));
    assert_eq!(farm.wait(30_000).len(), 1);
    assert_eq!(farm.wait(29_999), []);
    assert_eq!(farm.wait(1).len(), 1);
}

#[test]
fn waiting_for_a_busy_worker_has_no_end() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 1));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    farm.ready((build(1), step(1, 0)), work(2));
    for _ in 0..20 {
        farm.beat("w1", &[lease]);
        assert_eq!(farm.wait(10_000), []);
    }
}

#[test]
fn the_time_begins_anew_when_the_last_worker_leaves() {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 1));
    farm.ready((build(1), step(0, 0)), work(1));
    farm.wait(50_000);
    granted(&farm.join("w1", slots(1)));
    assert!(matches!(&farm.lose("w1")[..], [Command::Retry { .. }]));
    assert_eq!(farm.wait(59_999), []);
    assert_eq!(farm.wait(1).len(), 1);
}
