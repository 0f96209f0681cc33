//! Slots that are kept for the next step of a stage.

use crate::farm::{Farm, build, granted, grants, slots, stages, step, succeeded, work};

#[test]
fn the_next_step_of_a_stage_continues_on_its_worker() {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 2));
    farm.join("w2", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    farm.join("w1", slots(1));
    farm.start(2, stages(2, 1));
    granted(&farm.ready((build(2), step(0, 0)), work(20)));
    farm.finish("w2", lease, succeeded(10));
    // Somebody else has nothing running beside this one either, and waits until the slot is given up.
    assert_eq!(granted(&farm.ready((build(1), step(0, 1)), work(2))).1, "w2");
}

#[test]
fn a_slot_is_kept_for_a_short_while_only() {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 2));
    farm.start(2, stages(1, 1));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    farm.finish("w1", lease, succeeded(10));
    assert_eq!(farm.weight("w1"), 1_000);
    assert_eq!(farm.ready((build(2), step(0, 0)), work(9)), []);
    assert_eq!(grants(&farm.wait(49)), []);
    assert_eq!(granted(&farm.wait(1)).2.0, build(2));
}

#[test]
fn no_slot_is_kept_after_the_last_step_of_a_stage() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 1));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    farm.finish("w1", lease, succeeded(10));
    assert_eq!(farm.weight("w1"), 0);
}

#[test]
fn no_slot_is_kept_from_a_build_that_has_less() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 2));
    farm.start(2, stages(1, 1));
    farm.join("w1", slots(2));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    granted(&farm.ready((build(1), step(1, 0)), work(2)));
    farm.ready((build(2), step(0, 0)), work(3));
    assert_eq!(granted(&farm.finish("w1", lease, succeeded(10))).2.0, build(2));
}

#[test]
fn a_kept_slot_goes_when_its_build_ends() {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 2));
    farm.start(2, stages(1, 1));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    farm.finish("w1", lease, succeeded(10));
    farm.ready((build(2), step(0, 0)), work(9));
    assert_eq!(granted(&farm.end(1)).2.0, build(2));
}
