//! Who is served first.

use farm_model::StepId;
use farm_scheduler::{Event, Millis, StepShape};

use crate::farm::{Farm, build, family, granted, grants, slots, stages, step, succeeded, work};

#[test]
fn the_longest_remaining_path_goes_first() {
    let mut farm = Farm::new();
    farm.scheduler.remember(family(step(1, 1)), Millis(60_000));
    let mut shapes = stages(2, 2);
    shapes.push(StepShape { step: step(2, 0), family: [9; 32], needs: vec![step(0, 1), step(1, 1)] });
    farm.start(1, shapes);
    farm.ready((build(1), step(0, 0)), work(1));
    farm.ready((build(1), step(1, 0)), work(2));
    assert_eq!(granted(&farm.join("w1", slots(1))).2.1, step(1, 0));
}

#[test]
fn a_joined_step_lends_its_longer_path() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 1));
    farm.start(2, stages(1, 9));
    farm.ready((build(1), step(0, 0)), work(1));
    farm.ready((build(1), step(1, 0)), work(2));
    farm.ready((build(2), step(0, 0)), work(2));
    assert_eq!(granted(&farm.join("w1", slots(1))).2, (build(1), step(1, 0)));
}

#[test]
fn a_small_build_gets_the_next_slot_beside_a_huge_one() {
    let mut farm = Farm::new();
    farm.start(1, stages(100, 1));
    farm.join("w1", slots(4));
    let mut leases = Vec::new();
    for stage in 0..100 {
        leases.extend(grants(&farm.ready((build(1), step(stage, 0)), work(stage))));
    }
    assert_eq!(leases.len(), 4);
    farm.start(2, stages(2, 1));
    for stage in 0..2 {
        assert_eq!(farm.ready((build(2), step(stage, 0)), work(1_000 + stage)), []);
    }
    for (number, expected) in [(0, 2), (1, 2), (2, 1)] {
        let commands = farm.finish("w1", leases[number].0, succeeded(10));
        assert_eq!(granted(&commands).2.0, build(expected));
    }
}

#[test]
fn scopes_share_alike_however_many_builds_each_has() {
    let mut farm = Farm::new();
    for number in 1..=9 {
        farm.start_in("busy", number, stages(4, 1));
        for stage in 0..4 {
            farm.ready((build(number), step(stage, 0)), work(u32::from(number) * 100 + stage));
        }
    }
    farm.start_in("small", 10, stages(4, 1));
    for stage in 0..4 {
        farm.ready((build(10), step(stage, 0)), work(9_000 + stage));
    }
    let grants = grants(&farm.join("w1", slots(8)));
    assert_eq!(grants.iter().filter(|(_, _, leader)| leader.0 == build(10)).count(), 4);
    let busy = grants.iter().filter(|(_, _, leader)| leader.0 != build(10)).map(|(_, _, leader)| leader.0);
    assert_eq!(busy.collect::<std::collections::BTreeSet<_>>().len(), 4);
}

#[test]
fn builds_with_one_slot_take_turns() {
    let mut farm = Farm::new();
    farm.start(1, stages(3, 1));
    farm.start(2, stages(3, 1));
    for (number, stage) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
        farm.ready((build(number), step(stage, 0)), work(u32::from(number) * 10 + stage));
    }
    let mut order = Vec::new();
    let mut commands = farm.join("w1", slots(1));
    while let Some((lease, _, leader)) = grants(&commands).pop() {
        order.push(leader.0);
        commands = farm.finish("w1", lease, succeeded(10));
    }
    assert_eq!(order, [1, 2, 1, 2, 1, 2].map(build));
}

#[test]
fn a_step_that_waits_for_a_rare_worker_holds_nobody_up() {
    let mut farm = Farm::new();
    farm.start(1, stages(2, 1));
    farm.join("w1", slots(1));
    let mut rare = work(1);
    rare.labels.push("gpu".to_owned());
    assert_eq!(farm.ready((build(1), step(0, 0)), rare), []);
    assert_eq!(granted(&farm.ready((build(1), step(1, 0)), work(2))).1, "w1");
}

#[test]
fn durations_are_remembered_by_family_and_handed_out() {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 2));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    farm.finish("w1", lease, succeeded(4_000));
    let settled = StepId { index: 1, ..step(0, 0) };
    farm.tell(Event::StepSettled { build: build(1), step: settled, took: Millis(3) });
    assert_eq!(farm.scheduler.expected(&family(step(0, 0))), Millis(4_000));
    assert_eq!(farm.scheduler.expected(&family(settled)), Millis(3));
    assert_eq!(farm.scheduler.durations().collect::<Vec<_>>(), [(family(step(0, 0)), Millis(4_000))]);
}
