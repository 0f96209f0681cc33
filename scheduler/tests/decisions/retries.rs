//! Failures of machines.

use farm_scheduler::{Command, Config, Event, Standing, Verdict};

use crate::farm::{Farm, build, granted, grants, slots, stages, step, succeeded, work, worker};

const FAILED: Verdict = Verdict::InfrastructureFailed;

fn farm(workers: &[&str]) -> Farm {
    let mut farm = Farm::new();
    farm.start(1, stages(40, 1));
    for name in workers {
        farm.join(name, slots(1));
    }
    farm
}

#[test]
fn a_failed_step_is_tried_on_every_other_worker_before_one_that_failed_it() {
    let mut farm = farm(&["w1", "w2", "w3"]);
    let mut commands = farm.ready((build(1), step(0, 0)), work(1));
    let mut tried = Vec::new();
    for _ in 0..3 {
        let (lease, by, _) = granted(&commands);
        commands = farm.finish(&by, lease, FAILED);
        tried.push(by);
    }
    assert_eq!(tried, ["w1", "w2", "w3"]);
    assert_eq!(granted(&commands).1, "w1");
}

#[test]
fn a_failed_step_waits_for_another_worker_that_is_busy() {
    let mut farm = farm(&["w1", "w2"]);
    let (first, by, _) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    let (second, other, _) = granted(&farm.ready((build(1), step(1, 0)), work(2)));
    assert_eq!(grants(&farm.finish(&by, first, FAILED)), []);
    assert_eq!(granted(&farm.finish(&other, second, succeeded(1))).1, other);
}

#[test]
fn a_step_is_given_up_after_too_many_failures() {
    let mut farm = farm(&["w1"]);
    let mut commands = farm.ready((build(1), step(0, 0)), work(1));
    for _ in 0..=3 {
        let (lease, by, _) = granted(&commands);
        commands = farm.finish(&by, lease, FAILED);
    }
    assert!(
        matches!(&commands[..], [Command::GiveUp { waiting, .. }] if *waiting == [(build(1), step(0, 0))])
    );
    assert_eq!(farm.weight("w1"), 0);
}

#[test]
fn a_worker_that_keeps_failing_is_drained() {
    let mut farm = farm(&["w1", "w2"]);
    let mut drained = false;
    for stage in 0..40 {
        let mut commands = farm.ready((build(1), step(stage, 0)), work(stage));
        while let Some((lease, by, _)) = grants(&commands).pop() {
            commands = farm.finish(&by, lease, if by == "w1" { FAILED } else { succeeded(1) });
            drained |= commands.contains(&Command::Drain { worker: worker("w1") });
        }
    }
    assert!(drained);
    assert_eq!(farm.scheduler.workers().next().unwrap().standing, Standing::Drained);
    farm.join("w1", slots(1));
    assert_eq!(farm.scheduler.workers().next().unwrap().standing, Standing::Open);
}

#[test]
fn a_success_between_failures_keeps_a_worker() {
    let mut farm = farm(&["w1", "w2"]);
    farm.tell(Event::WorkerDrained { worker: worker("w2") });
    farm.join("w2", slots(0));
    for stage in 0..40 {
        let mut commands = farm.ready((build(1), step(stage, 0)), work(stage));
        for verdict in [FAILED, FAILED, succeeded(1)] {
            let (lease, by, _) = granted(&commands);
            commands = farm.finish(&by, lease, verdict);
        }
    }
}

#[test]
fn the_only_worker_is_not_drained() {
    let mut farm = farm(&["w1"]);
    for stage in 0..10 {
        let mut commands = farm.ready((build(1), step(stage, 0)), work(stage));
        while let Some((lease, by, _)) = grants(&commands).pop() {
            commands = farm.finish(&by, lease, FAILED);
        }
    }
    assert_eq!(grants(&farm.ready((build(1), step(39, 0)), work(39))).len(), 1);
}

#[test]
fn a_drained_worker_finishes_what_it_runs_and_gets_nothing_more() {
    let mut farm = farm(&["w1"]);
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    assert_eq!(farm.tell(Event::WorkerDrained { worker: worker("w1") }), []);
    assert_eq!(farm.finish("w1", lease, succeeded(1)).len(), 1);
    assert_eq!(farm.ready((build(1), step(1, 0)), work(2)), []);
}

#[test]
fn a_worker_that_somebody_drained_stays_so_until_somebody_restores_it() {
    let mut farm = farm(&["w1"]);
    farm.tell(Event::WorkerDrained { worker: worker("w1") });
    farm.tell(Event::WorkerLost { worker: worker("w1") });
    farm.join("w1", slots(1));
    assert_eq!(grants(&farm.ready((build(1), step(0, 0)), work(1))), []);
    assert!(farm.scheduler.is_drained(&worker("w1")));
    let commands = farm.tell(Event::WorkerRestored { worker: worker("w1") });
    assert_eq!(granted(&commands).1, "w1");
    farm.tell(Event::WorkerDrained { worker: worker("w2") });
    farm.join("w2", slots(8));
    assert_eq!(grants(&farm.ready((build(1), step(1, 0)), work(2))), [], "it was drained before it came");
}

#[test]
fn a_step_that_is_moved_runs_elsewhere_and_nobody_has_failed() {
    let mut farm = farm(&[]);
    farm.join("w1", slots(2));
    farm.join("w2", slots(2));
    let at = (build(1), step(0, 0));
    let moved = || Event::StepMoved { build: at.0, step: at.1, reason: "moved by me".to_owned() };
    assert_eq!(farm.tell(moved()), [], "it does not run");
    let (mut lease, mut by, _) = granted(&farm.ready(at, work(1)));
    for _ in 0..10 {
        let commands = farm.tell(moved());
        let cancel = Command::Cancel { lease, worker: worker(&by) };
        let retry = Command::Retry { waiting: vec![at], reason: "moved by me".to_owned() };
        assert_eq!(commands[..2], [cancel, retry]);
        assert_eq!(farm.finish(&by, lease, Verdict::Cancelled), []);
        let (next, elsewhere, _) = granted(&commands);
        assert_ne!(elsewhere, by);
        (lease, by) = (next, elsewhere);
    }
    assert!(matches!(&farm.finish(&by, lease, succeeded(1))[..], [Command::Deliver { .. }, ..]));
    assert!(farm.scheduler.workers().all(|view| view.standing == Standing::Open));
}

#[test]
fn a_step_that_is_moved_from_the_only_worker_runs_there_again() {
    let mut farm = farm(&["w1"]);
    let at = (build(1), step(0, 0));
    let (first, ..) = granted(&farm.ready(at, work(1)));
    let commands = farm.tell(Event::StepMoved { build: at.0, step: at.1, reason: String::new() });
    assert_eq!(grants(&commands), [], "its one slot is not free yet");
    let (second, by, _) = granted(&farm.finish("w1", first, Verdict::Cancelled));
    assert_eq!(by, "w1");
    assert!(matches!(&farm.finish("w1", second, succeeded(1))[..], [Command::Deliver { .. }, ..]));
}

#[test]
fn without_retries_the_first_failure_counts() {
    let mut farm = Farm::with(Config { retries: 0, ..Config::default() });
    farm.start(1, stages(1, 1));
    farm.join("w1", slots(1));
    let (lease, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    assert!(matches!(&farm.finish("w1", lease, FAILED)[..], [Command::GiveUp { .. }]));
}

#[test]
fn a_worker_that_was_silent_when_it_failed_a_step_may_have_it_again() {
    let mut farm = farm(&["w1", "w2"]);
    let (first, ..) = granted(&farm.ready((build(1), step(0, 0)), work(1)));
    let (second, ..) = granted(&farm.ready((build(1), step(1, 0)), work(2)));
    farm.wait(10_000);
    farm.beat("w2", &[second]);
    assert_eq!(grants(&farm.wait(5_000)), []);
    assert_eq!(granted(&farm.finish("w1", first, Verdict::Cancelled)).1, "w1");
}
