//! Single flight.

use farm_scheduler::Command;

use crate::farm::{Farm, build, granted, grants, lease, slots, stages, step, succeeded, work, worker};

const FIRST: (farm_model::BuildId, farm_model::StepId) = (farm_model::BuildId([1; 8]), step_of(0));
const SECOND: (farm_model::BuildId, farm_model::StepId) = (farm_model::BuildId([2; 8]), step_of(0));

const fn step_of(index: u32) -> farm_model::StepId {
    farm_model::StepId { stage: farm_model::StageId(0), index }
}

fn farm_with_two_builds() -> Farm {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 2));
    farm.start(2, stages(1, 2));
    farm.join("w1", slots(2));
    farm
}

#[test]
fn equal_keys_run_once_and_both_get_the_result() {
    let mut farm = farm_with_two_builds();
    let (lease, by, leader) = granted(&farm.ready(FIRST, work(1)));
    assert_eq!((by.as_str(), leader), ("w1", FIRST));
    assert_eq!(farm.ready(SECOND, work(1)), [Command::Join { follower: SECOND, leader: FIRST }]);
    let verdict = succeeded(5);
    assert_eq!(
        farm.finish("w1", lease, verdict),
        [Command::Deliver { lease, verdict, waiting: vec![FIRST, SECOND] }]
    );
}

#[test]
fn equal_keys_of_two_scopes_run_twice() {
    let mut farm = Farm::new();
    farm.start(1, stages(1, 1));
    farm.start_in("pr-1", 2, stages(1, 1));
    farm.join("w1", slots(2));
    assert_eq!(granted(&farm.ready(FIRST, work(1))).2, FIRST);
    assert_eq!(granted(&farm.ready(SECOND, work(1))).2, SECOND);
}

#[test]
fn a_follower_takes_over_when_the_leader_leaves() {
    let mut farm = farm_with_two_builds();
    let (lease, ..) = granted(&farm.ready(FIRST, work(1)));
    farm.ready(SECOND, work(1));
    assert_eq!(farm.abandon(FIRST), [Command::Succeed { from: FIRST, to: SECOND }]);
    let verdict = succeeded(5);
    assert_eq!(
        farm.finish("w1", lease, verdict),
        [Command::Deliver { lease, verdict, waiting: vec![SECOND] }]
    );
}

#[test]
fn work_that_nobody_wants_any_more_is_cancelled_and_occupies_its_slot_until_that_is_confirmed() {
    let mut farm = farm_with_two_builds();
    let (lease, ..) = granted(&farm.ready(FIRST, work(1)));
    farm.ready(SECOND, work(1));
    assert_eq!(farm.abandon(SECOND), []);
    assert_eq!(farm.end(1), [Command::Cancel { lease, worker: worker("w1") }]);
    assert_eq!(farm.weight("w1"), 1_000);
    assert_eq!(farm.finish("w1", lease, farm_scheduler::Verdict::Cancelled), []);
    assert_eq!(farm.weight("w1"), 0);
}

#[test]
fn what_is_wanted_again_after_a_cancellation_is_granted_anew() {
    let mut farm = farm_with_two_builds();
    let (first, ..) = granted(&farm.ready(FIRST, work(1)));
    farm.abandon(FIRST);
    let (second, ..) = granted(&farm.ready(SECOND, work(1)));
    assert_eq!(farm.finish("w1", first, succeeded(5)), []);
    assert_eq!(farm.finish("w1", second, succeeded(5)).len(), 1);
}

#[test]
fn waiting_work_that_nobody_wants_any_more_vanishes() {
    let mut farm = farm_with_two_builds();
    farm.lose("w1");
    farm.ready(FIRST, work(1));
    farm.ready(SECOND, work(1));
    assert_eq!(farm.end(1), [Command::Succeed { from: FIRST, to: SECOND }]);
    assert_eq!(farm.end(2), []);
    assert_eq!(farm.join("w1", slots(2)), []);
    assert_eq!(farm.scheduler.poll_timeout(), None);
}

#[test]
fn two_steps_of_one_build_with_one_key_run_once_and_end_together() {
    let mut farm = farm_with_two_builds();
    let (lease, ..) = granted(&farm.ready(FIRST, work(1)));
    let twin = (build(1), step(0, 1));
    assert_eq!(farm.ready(twin, work(1)), [Command::Join { follower: twin, leader: FIRST }]);
    assert_eq!(farm.end(1), [Command::Cancel { lease, worker: worker("w1") }]);
}

#[test]
fn a_step_that_is_ready_twice_waits_once() {
    let mut farm = farm_with_two_builds();
    let (first, ..) = granted(&farm.ready(FIRST, work(1)));
    assert_eq!(farm.ready(FIRST, work(1)), []);
    let commands = farm.ready(FIRST, work(2));
    assert_eq!(commands[0], Command::Cancel { lease: first, worker: worker("w1") });
    assert_eq!(grants(&commands).len(), 1);
}

#[test]
fn a_step_of_no_running_build_is_given_up() {
    let mut farm = Farm::new();
    assert!(
        matches!(&farm.ready(FIRST, work(1))[..], [Command::GiveUp { waiting, .. }] if *waiting == [FIRST])
    );
}

#[test]
fn a_failure_of_the_command_itself_is_delivered_and_never_tried_again() {
    let mut farm = farm_with_two_builds();
    let (lease, ..) = granted(&farm.ready(FIRST, work(1)));
    let verdict = farm_scheduler::Verdict::UserFailed;
    assert_eq!(
        farm.finish("w1", lease, verdict),
        [Command::Deliver { lease, verdict, waiting: vec![FIRST] }]
    );
}

#[test]
fn lease_ids_carry_the_epoch_and_count_up() {
    let mut farm = farm_with_two_builds();
    assert_eq!(granted(&farm.ready(FIRST, work(1))).0, lease(7, 1));
    assert_eq!(granted(&farm.ready(SECOND, work(2))).0, lease(7, 2));
}
