//! Builds and fake workers over channels: what each driver is told, and what each worker.

mod bench;
mod orders;

use bench::{Bench, FakeWorker, build, logged, started};
use farm_model::BuildEvent;
use farm_proto::{CoordinatorMessage, Outcome};

use super::*;

#[tokio::test]
async fn equal_steps_of_two_builds_run_once_and_both_see_the_whole_log() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut first = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    worker.start(lease).await;
    worker.log(lease, b"early").await;
    assert_eq!(first.event().await, started("a"));
    assert_eq!(first.event().await, logged(b"early"));

    let mut second = bench.execute(build(2), 7);
    assert!(matches!(second.event().await, BuildEvent::Shared { build: of, .. } if of == build(1)));
    assert_eq!(second.event().await, started("a"));
    assert_eq!(second.event().await, logged(b"early"));
    worker.log(lease, b"late").await;
    worker.succeed(lease).await;
    for driver in [&mut first, &mut second] {
        assert_eq!(driver.event().await, logged(b"late"));
        assert!(matches!(&*driver.ended().await.unwrap().outcome, Outcome::Success { .. }));
    }
    worker.hears_nothing().await;
}

#[tokio::test]
async fn cancelling_one_build_leaves_the_other_alone() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut first = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    let mut second = bench.execute(build(2), 7);
    assert!(matches!(second.event().await, BuildEvent::Shared { .. }));
    second.cancel().await;
    worker.hears_nothing().await;
    worker.succeed(lease).await;
    assert!(first.ended().await.is_ok());
}

#[tokio::test]
async fn a_lease_goes_on_when_its_leader_leaves() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let first = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    worker.log(lease, b"before").await;
    let mut second = bench.execute(build(2), 7);
    assert!(matches!(second.event().await, BuildEvent::Shared { .. }));
    first.cancel().await;
    bench.dispatch.build_ended(build(1));
    worker.log(lease, b"after").await;
    worker.succeed(lease).await;
    assert_eq!(second.event().await, logged(b"before"));
    assert_eq!(second.event().await, logged(b"after"));
    assert!(second.ended().await.is_ok());
    worker.hears_nothing().await;
}

#[tokio::test]
async fn work_that_nobody_wants_any_more_is_cancelled() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let only = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    only.cancel().await;
    let cancelled = worker.command().await;
    assert!(matches!(cancelled, CoordinatorMessage::Cancel { lease: of } if of == lease));
}

#[tokio::test]
async fn a_step_of_a_worker_that_is_lost_is_done_by_another() {
    let mut bench = Bench::new();
    let mut lost = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    let lease = lost.granted().await;
    lost.start(lease).await;
    assert_eq!(driver.event().await, started("a"));
    let mut other = bench.worker("b").await;
    lost.leave();
    assert!(matches!(driver.event().await, BuildEvent::Retried { reason, .. } if reason.contains("`a`")));
    let lease = other.granted().await;
    other.start(lease).await;
    assert_eq!(driver.event().await, started("b"));
    other.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
}

#[tokio::test]
async fn a_report_under_a_lease_of_another_worker_is_ignored() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut liar = bench.worker("b").await;
    let mut driver = bench.execute(build(1), 7);
    let (lease, holder, other) = FakeWorker::who_is_granted(&mut worker, &mut liar).await;
    other.log(lease, b"forged").await;
    other.succeed(lease).await;
    holder.log(lease, b"real").await;
    holder.succeed(lease).await;
    // Once more, late.
    holder.succeed(lease).await;
    assert_eq!(driver.event().await, logged(b"real"));
    assert!(driver.ended().await.is_ok());
}

#[tokio::test]
async fn a_failed_command_is_not_tried_again() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    let exit = farm_model::Exit::Code(2);
    worker.finish(lease, Outcome::UserFailure { exit, usage: farm_model::Usage::default() }).await;
    let delivered = driver.ended().await.unwrap();
    assert!(matches!(&*delivered.outcome, Outcome::UserFailure { .. }));
    worker.hears_nothing().await;
}

#[tokio::test]
async fn a_failure_of_the_machine_is_tried_again_and_in_the_end_says_what_failed() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    loop {
        tokio::select! {
            lease = worker.granted() => worker.fail(lease, "the disk is full").await,
            ended = driver.ended() => {
                let error = ended.unwrap_err();
                assert!(matches!(&error, Error::Worker(failure) if failure.message.contains("the disk is full")));
                break;
            }
        }
    }
}

#[tokio::test]
async fn lost_bytes_are_not_looked_for_on_another_machine() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    let failure = farm_proto::Failure {
        blame: farm_model::event::Blame::Environment,
        message: "gone".to_owned(),
        hint: None,
        lost: vec![LayerDigest([3; 32])],
    };
    worker.finish(lease, Outcome::Failure(failure)).await;
    assert!(matches!(&*driver.ended().await.unwrap().outcome, Outcome::Failure(_)));
}

#[tokio::test]
async fn whoever_comes_between_delivery_and_record_shares_the_result() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut first = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    worker.succeed(lease).await;
    first.ended().await.unwrap();
    // The first still records: it has not let go of its turn.
    let mut second = bench.execute(build(2), 7);
    assert!(matches!(second.event().await, BuildEvent::Shared { .. }));
    second.ended().await.unwrap();
    worker.hears_nothing().await;
    first.cancel().await;
    second.cancel().await;
    let _third = bench.execute(build(3), 7);
    worker.granted().await;
}

#[tokio::test]
async fn a_step_that_no_worker_has_room_for_is_queued() {
    let mut bench = Bench::new();
    let mut driver = bench.execute(build(1), 7);
    assert!(matches!(driver.event().await, BuildEvent::Queued { .. }));
    let mut worker = bench.worker("a").await;
    let lease = worker.granted().await;
    worker.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
}

#[tokio::test]
async fn a_worker_that_comes_back_goes_on_with_what_it_runs() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    worker.start(lease).await;
    assert_eq!(driver.event().await, started("a"));
    let mut back = bench.worker_running("a", vec![(lease, StepDigest([7; 32]), Scope::main())]).await;
    back.log(lease, b"still here").await;
    assert_eq!(driver.event().await, logged(b"still here"));
    back.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
    back.hears_nothing().await;
}

const BEFORE: LeaseId = LeaseId { epoch: 0, counter: 5 };

#[tokio::test]
async fn what_a_worker_still_does_from_before_a_restart_is_not_done_again() {
    let mut bench = Bench::new();
    let mut driver = bench.execute(build(1), 7);
    assert!(matches!(driver.event().await, BuildEvent::Queued { .. }));
    let mut worker = bench.worker_running("a", vec![(BEFORE, StepDigest([7; 32]), Scope::main())]).await;
    // At once, as one does whose step ended while nobody listened.
    worker.log(BEFORE, b"the end").await;
    worker.succeed(BEFORE).await;
    assert_eq!(driver.event().await, started("a"));
    assert_eq!(driver.event().await, logged(b"the end"));
    assert!(driver.ended().await.is_ok());
    worker.hears_nothing().await;
}

#[tokio::test]
async fn a_result_from_before_a_restart_waits_for_those_who_want_it() {
    let mut bench = Bench::new();
    let mut worker = bench.worker_running("a", vec![(BEFORE, StepDigest([7; 32]), Scope::main())]).await;
    worker.log(BEFORE, b"the end").await;
    worker.succeed(BEFORE).await;
    worker.hears_nothing().await;
    let mut driver = bench.execute(build(1), 7);
    assert_eq!(driver.event().await, logged(b"the end"));
    assert!(driver.ended().await.is_ok());
    worker.hears_nothing().await;
    // It was for that key only.
    let _other = bench.execute(build(2), 8);
    let lease = worker.granted().await;
    assert_ne!(lease, BEFORE);
}

#[tokio::test]
async fn a_result_that_only_a_lost_worker_had_is_not_given_out() {
    let mut bench = Bench::new();
    let mut worker = bench.worker_running("a", vec![(BEFORE, StepDigest([7; 32]), Scope::main())]).await;
    worker.succeed(BEFORE).await;
    worker.hears_nothing().await;
    worker.leave();
    let mut other = bench.worker("b").await;
    let mut driver = bench.execute(build(1), 7);
    let lease = other.granted().await;
    other.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
}

#[tokio::test]
async fn what_steps_took_is_known_after_a_restart() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    worker.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
    let store = bench.store().clone();
    let kept = async {
        while store.durations().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), kept).await.unwrap();
    assert_eq!(store.durations().unwrap()[0].0, [7; 32]);
}
