//! Workers that come back, and leases from before a restart.

use farm_model::Scope;
use farm_scheduler::{Command, RunningLease};

use crate::farm::{Farm, build, granted, grants, key, lease, slots, stages, step, succeeded, work, worker};

fn old(counter: u64, number: u32) -> RunningLease {
    RunningLease { lease: lease(6, counter), key: key(number), scope: Scope::main() }
}

fn farm() -> Farm {
    let mut farm = Farm::new();
    farm.start(1, stages(3, 1));
    farm
}

#[test]
fn a_lease_from_before_a_restart_is_adopted_by_who_waits_for_it() {
    let mut farm = farm();
    let leader = (build(1), step(0, 0));
    assert_eq!(farm.ready(leader, work(1)), []);
    let adopted = Command::Adopt { lease: lease(6, 3), worker: worker("w1"), leader };
    assert_eq!(farm.rejoin("w1", slots(1), vec![old(3, 1)]), [adopted]);
    assert_eq!(farm.finish("w1", lease(6, 3), succeeded(1)).len(), 1);
}

#[test]
fn a_lease_from_before_a_restart_is_adopted_by_who_comes_to_want_it() {
    let mut farm = farm();
    assert_eq!(farm.rejoin("w1", slots(1), vec![old(3, 1)]), []);
    let leader = (build(1), step(0, 0));
    assert_eq!(
        farm.ready(leader, work(1)),
        [Command::Adopt { lease: lease(6, 3), worker: worker("w1"), leader }]
    );
}

#[test]
fn a_lease_from_before_a_restart_that_nobody_comes_to_want_is_cancelled() {
    let mut farm = farm();
    farm.rejoin("w1", slots(1), vec![old(3, 1)]);
    assert_eq!(farm.weight("w1"), 1_000);
    assert_eq!(farm.wait(14_999), []);
    assert_eq!(farm.wait(1), [Command::Cancel { lease: lease(6, 3), worker: worker("w1") }]);
    farm.beat("w1", &[]);
    assert_eq!(farm.weight("w1"), 0);
}

#[test]
fn a_lease_of_another_scope_is_not_adopted() {
    let mut farm = farm();
    farm.rejoin("w1", slots(2), vec![RunningLease { scope: "pr-1".parse().unwrap(), ..old(3, 1) }]);
    assert_eq!(grants(&farm.ready((build(1), step(0, 0)), work(1))).len(), 1);
}

#[test]
fn of_two_old_leases_for_one_key_one_is_cancelled() {
    let mut farm = farm();
    assert_eq!(farm.rejoin("w1", slots(1), vec![old(3, 1)]), []);
    let cancelled = Command::Cancel { lease: lease(6, 4), worker: worker("w2") };
    assert_eq!(farm.rejoin("w2", slots(1), vec![old(4, 1)]), [cancelled]);
}

#[test]
fn a_worker_that_comes_back_keeps_what_it_lists_and_loses_the_rest() {
    let mut farm = farm();
    farm.join("w1", slots(2));
    let (kept, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    let (gone, ..) = granted(&farm.ready((build(1), step(1, 0)), work(2)));
    let running = RunningLease { lease: kept, key: key(1), scope: Scope::main() };
    let commands = farm.rejoin("w1", slots(2), vec![running]);
    assert!(matches!(&commands[0], Command::Retry { waiting, .. } if *waiting == [(build(1), step(1, 0))]));
    assert_eq!(grants(&commands).len(), 1);
    assert_eq!(farm.finish("w1", gone, succeeded(1)), []);
    assert_eq!(farm.finish("w1", kept, succeeded(1)).len(), 1);
}

#[test]
fn a_lost_worker_that_comes_back_in_time_goes_on_with_what_waits() {
    let mut farm = farm();
    farm.join("w1", slots(1));
    let leader = (build(1), step(0, 0));
    let (lease, ..) = granted(&farm.ready(leader, work(1)));
    assert!(matches!(&farm.lose("w1")[..], [Command::Retry { .. }]));
    let running = RunningLease { lease, key: key(1), scope: Scope::main() };
    let adopted = Command::Adopt { lease, worker: worker("w1"), leader };
    assert_eq!(farm.rejoin("w1", slots(1), vec![running]), [adopted]);
    assert_eq!(farm.finish("w1", lease, succeeded(1)).len(), 1);
}

#[test]
fn a_lost_worker_that_comes_back_too_late_is_told_to_stop() {
    let mut farm = farm();
    farm.join("w1", slots(1));
    farm.join("w2", slots(1));
    let (first, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    let (second, by, _) = granted(&farm.lose("w1"));
    assert_eq!(by, "w2");
    let running = RunningLease { lease: first, key: key(1), scope: Scope::main() };
    let cancelled = Command::Cancel { lease: first, worker: worker("w1") };
    assert_eq!(farm.rejoin("w1", slots(1), vec![running]), [cancelled]);
    assert_eq!(farm.finish("w1", first, succeeded(1)), []);
    assert_eq!(farm.finish("w2", second, succeeded(1)).len(), 1);
}

#[test]
fn a_lease_that_was_never_issued_or_is_somebody_elses_is_refused() {
    let mut farm = farm();
    farm.join("w1", slots(1));
    let (held, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    let claims = [held, lease(7, 99), lease(8, 1)];
    let running = claims.map(|lease| RunningLease { lease, key: key(1), scope: Scope::main() });
    let refused = claims.map(|lease| Command::Cancel { lease, worker: worker("w2") });
    assert_eq!(farm.rejoin("w2", slots(1), running.to_vec()), refused);
    assert_eq!(farm.finish("w2", held, succeeded(1)), []);
    assert_eq!(farm.finish("w1", held, succeeded(1)).len(), 1);
}

#[test]
fn what_a_lost_worker_held_counts_no_more() {
    let mut farm = farm();
    farm.join("w1", slots(1));
    farm.holds("w1", &[1, 2]);
    assert_eq!(farm.scheduler.workers().next().unwrap().layers, 2);
    farm.lose("w1");
    farm.join("w1", slots(1));
    assert_eq!(farm.scheduler.workers().next().unwrap().layers, 0);
}
