//! Which worker does what.

use farm_scheduler::{Capacity, Event};

use crate::farm::{
    Farm, build, family, granted, grants, reading, slots, stages, step, succeeded, work, worker,
};

const MIB: u64 = 1 << 20;

fn farm(stage_count: u32) -> Farm {
    let mut farm = Farm::new();
    farm.start(1, stages(stage_count, 1));
    farm
}

#[test]
fn platform_and_labels_have_to_fit() {
    let mut farm = farm(1);
    farm.join("a-plain", slots(1));
    let arm = Capacity { platform: "linux/riscv64".parse().unwrap(), ..slots(1) };
    farm.join("b-foreign", arm);
    farm.join("c-gpu", Capacity { labels: vec!["gpu".to_owned(), "big".to_owned()], ..slots(1) });
    let mut wanting = work(1);
    wanting.labels = vec!["gpu".to_owned()];
    assert_eq!(granted(&farm.ready((build(1), step(0, 0)), wanting)).1, "c-gpu");
}

#[test]
fn a_step_goes_where_its_bytes_are() {
    let mut farm = farm(1);
    for name in ["w1", "w2", "w3"] {
        farm.join(name, slots(2));
    }
    farm.holds("w2", &[1, 2]);
    farm.holds("w3", &[2]);
    let inputs = [(1, 500 * MIB), (2, 700 * MIB)];
    assert_eq!(granted(&farm.ready((build(1), step(0, 0)), reading(1, &inputs))).1, "w2");
}

#[test]
fn a_holder_is_found_beyond_the_least_loaded() {
    let mut farm = farm(1);
    for number in 0..100 {
        farm.join(&format!("w{number:03}"), slots(2));
    }
    farm.holds("w077", &[1]);
    assert_eq!(granted(&farm.ready((build(1), step(0, 0)), reading(1, &[(1, 500 * MIB)]))).1, "w077");
}

#[test]
fn a_fast_link_beats_a_slow_one() {
    let mut farm = farm(1);
    farm.join("w1", slots(2));
    farm.join("w2", slots(2));
    for (name, bytes_per_second) in [("w1", MIB), ("w2", 100 * MIB)] {
        farm.tell(Event::BandwidthMeasured { worker: worker(name), bytes_per_second });
    }
    assert_eq!(granted(&farm.ready((build(1), step(0, 0)), reading(1, &[(1, 500 * MIB)]))).1, "w2");
}

#[test]
fn equals_share_by_load_and_then_by_name() {
    let mut farm = farm(4);
    farm.join("w2", slots(2));
    farm.join("w1", slots(2));
    let placed: Vec<String> =
        (0..4).map(|stage| granted(&farm.ready((build(1), step(stage, 0)), work(stage))).1).collect();
    assert_eq!(placed, ["w1", "w2", "w1", "w2"]);
}

#[test]
fn a_step_waits_for_a_busy_holder_when_that_is_faster_than_bringing_its_bytes_elsewhere() {
    let mut farm = Farm::new();
    farm.scheduler.remember(family(step(0, 0)), farm_scheduler::Millis(2_000));
    farm.start(1, stages(2, 1));
    farm.join("w1", slots(1));
    farm.join("w2", slots(1));
    farm.holds("w1", &[1]);
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), reading(1, &[(1, 10_000 * MIB)])));
    // Elsewhere it would take some hundred seconds to bring the layer; here it takes two until there is room.
    assert_eq!(farm.ready((build(1), step(1, 0)), reading(2, &[(1, 10_000 * MIB)])), []);
    assert_eq!(farm.scheduler.waiting().next().unwrap().worker, Some(&worker("w1")));
    farm.wait(2_500);
    assert_eq!(granted(&farm.finish("w1", lease, succeeded(2_500))).1, "w1");
}

#[test]
fn nobody_waits_for_a_holder_longer_than_bringing_the_bytes_takes() {
    let mut farm = farm(2);
    farm.join("w1", slots(1));
    farm.join("w2", slots(1));
    farm.holds("w1", &[1]);
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), reading(1, &[(1, 500 * MIB)])));
    assert_eq!(farm.ready((build(1), step(1, 0)), reading(2, &[(1, 500 * MIB)])), []);
    farm.beat("w1", &[lease]);
    let waited = farm.wait(10_000);
    assert_eq!(granted(&waited).1, "w2");
}

#[test]
fn a_step_does_not_wait_for_a_holder_that_goes_away() {
    let mut farm = farm(2);
    farm.join("w1", slots(1));
    farm.join("w2", slots(2));
    farm.holds("w1", &[1]);
    granted(&farm.ready((build(1), step(0, 0)), reading(1, &[(1, 500 * MIB)])));
    assert_eq!(farm.ready((build(1), step(1, 0)), reading(2, &[(1, 500 * MIB)])), []);
    assert_eq!(grants(&farm.lose("w1")).len(), 2);
}
