//! Heartbeats, expiry, and reports that count for nothing.

use farm_scheduler::Command;

use crate::farm::{Farm, build, granted, grants, lease, slots, stages, step, succeeded, work, worker};

fn running() -> (Farm, farm_model::LeaseId) {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 1));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    (farm, lease)
}

#[test]
fn a_lease_that_is_renewed_lives() {
    let (mut farm, lease) = running();
    for _ in 0..10 {
        assert_eq!(farm.wait(10_000), []);
        assert_eq!(farm.beat("w1", &[lease]), []);
    }
    assert_eq!(farm.finish("w1", lease, succeeded(1)).len(), 1);
}

#[test]
fn an_expired_lease_is_granted_elsewhere_and_its_late_report_ignored() {
    let (mut farm, first) = running();
    farm.join("w2", slots(1));
    let commands = farm.wait(15_000);
    assert_eq!(commands[0], Command::Cancel { lease: first, worker: worker("w1") });
    assert!(matches!(&commands[1], Command::Retry { .. }));
    let (second, by, _) = granted(&commands);
    assert_eq!(by, "w2");
    assert_eq!(farm.finish("w1", first, succeeded(1)), []);
    assert_eq!(farm.finish("w2", second, succeeded(1)).len(), 1);
}

#[test]
fn a_worker_whose_lease_expired_gets_nothing_until_it_is_heard_of() {
    let (mut farm, lease) = running();
    farm.wait(15_000);
    assert_eq!(farm.scheduler.waiting().count(), 1);
    let commands = farm.beat("w1", &[lease]);
    assert_eq!(commands[0], Command::Cancel { lease, worker: worker("w1") });
    assert_eq!(grants(&commands).len(), 1);
}

#[test]
fn a_lease_that_a_heartbeat_leaves_out_is_given_up() {
    let (mut farm, lease) = running();
    farm.join("w2", slots(1));
    farm.beat("w1", &[lease]);
    assert_eq!(granted(&farm.beat("w1", &[])).1, "w2");
}

#[test]
fn a_heartbeat_that_crossed_the_grant_gives_nothing_up() {
    let (mut farm, lease) = running();
    assert_eq!(farm.beat("w1", &[]), []);
    assert_eq!(farm.finish("w1", lease, succeeded(1)).len(), 1);
}

#[test]
fn a_report_counts_once() {
    let (mut farm, lease) = running();
    assert_eq!(farm.finish("w1", lease, succeeded(1)).len(), 1);
    assert_eq!(farm.finish("w1", lease, succeeded(1)), []);
}

#[test]
fn a_report_from_another_worker_counts_for_nothing() {
    let (mut farm, id) = running();
    farm.join("w2", slots(1));
    assert_eq!(farm.finish("w2", id, succeeded(1)), []);
    assert_eq!(farm.finish("w1", lease(7, 99), succeeded(1)), []);
    assert_eq!(farm.finish("w1", lease(6, 1), succeeded(1)), []);
    assert_eq!(farm.finish("w1", id, succeeded(1)).len(), 1);
}

#[test]
fn a_cancellation_that_nobody_confirms_ends_with_its_deadline() {
    let (mut farm, lease) = running();
    assert_eq!(farm.end(1), [Command::Cancel { lease, worker: worker("w1") }]);
    assert_eq!(farm.wait(15_000), []);
    assert_eq!(farm.weight("w1"), 0);
}

#[test]
fn a_cancellation_is_confirmed_by_a_heartbeat_without_it() {
    let (mut farm, lease) = running();
    farm.beat("w1", &[lease]);
    farm.end(1);
    farm.beat("w1", &[]);
    assert_eq!(farm.weight("w1"), 0);
    assert_eq!(farm.scheduler.poll_timeout(), None);
}

#[test]
fn time_that_runs_backwards_changes_nothing() {
    let (mut farm, lease) = running();
    farm.now = 14_000;
    farm.beat("w1", &[lease]);
    farm.now = 0;
    farm.beat("w1", &[lease]);
    assert_eq!(farm.scheduler.poll_timeout(), Some(farm_scheduler::Millis(29_000)));
}
