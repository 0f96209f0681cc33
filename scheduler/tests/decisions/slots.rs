//! How many steps a worker takes.

use farm_model::LeaseId;
use farm_scheduler::Capacity;

use crate::farm::{Farm, build, granted, grants, slots, stages, step, succeeded, work};

fn busy(stage_count: u32, capacity: Capacity) -> (Farm, Vec<LeaseId>) {
    let mut farm = Farm::new();
    farm.start(1, stages(stage_count, 1));
    for stage in 0..stage_count {
        farm.ready((build(1), step(stage, 0)), work(stage));
    }
    let leases = grants(&farm.join("w1", capacity)).iter().map(|grant| grant.0).collect();
    (farm, leases)
}

#[test]
fn steps_that_nobody_measured_take_a_slot_each() {
    let (_, leases) = busy(5, slots(2));
    assert_eq!(leases.len(), 2);
}

#[test]
fn thirty_two_sleeping_steps_soon_all_run_on_two_slots() {
    let (mut farm, mut leases) = busy(32, slots(2));
    let mut rounds = 0;
    while leases.len() < 32 {
        rounds += 1;
        let asleep: Vec<_> = leases.iter().map(|lease| (*lease, 0)).collect();
        leases.extend(grants(&farm.measure("w1", &asleep)).iter().map(|grant| grant.0));
        assert!(rounds <= 6, "{} of 32 run after {rounds} measurements", leases.len());
    }
}

#[test]
fn steps_that_wake_up_leave_no_room_for_more() {
    let (mut farm, mut leases) = busy(32, slots(2));
    let asleep: Vec<_> = leases.iter().map(|lease| (*lease, 0)).collect();
    leases.extend(grants(&farm.measure("w1", &asleep)).iter().map(|grant| grant.0));
    let awake: Vec<_> = leases.iter().map(|lease| (*lease, 4_000)).collect();
    assert_eq!(farm.measure("w1", &awake), []);
    assert_eq!(farm.weight("w1"), leases.len() as u64 * 1_000);
    assert_eq!(grants(&farm.finish("w1", leases[0], succeeded(10))), []);
}

#[test]
fn there_are_never_more_than_the_worker_says() {
    let (mut farm, mut leases) = busy(32, Capacity { most: 5, ..slots(2) });
    for _ in 0..20 {
        let asleep: Vec<_> = leases.iter().map(|lease| (*lease, 0)).collect();
        leases.extend(grants(&farm.measure("w1", &asleep)).iter().map(|grant| grant.0));
    }
    assert_eq!(leases.len(), 5);
}

#[test]
fn a_worker_without_slots_gets_nothing() {
    let (mut farm, leases) = busy(1, slots(0));
    assert_eq!(leases, []);
    assert_eq!(granted(&farm.join("w2", slots(1))).1, "w2");
}

#[test]
fn measurements_of_others_leases_count_for_nothing() {
    let (mut farm, leases) = busy(8, slots(1));
    farm.join("w2", Capacity { labels: vec!["other".to_owned()], ..slots(0) });
    assert_eq!(farm.measure("w2", &[(leases[0], 0)]), []);
    assert_eq!(farm.weight("w1"), 1_000);
}
