//! What people order: workers that rest, and steps that go elsewhere. And what is told of a step beside its output.

use farm_model::BuildEvent;
use farm_proto::client::Duty;
use farm_proto::{CoordinatorMessage, Outcome, WorkerMessage};

use super::bench::{Bench, FakeWorker, build, started};
use super::*;

fn named(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

fn step() -> StepId {
    StepId { stage: farm_model::StageId(0), index: 0 }
}

#[tokio::test]
async fn a_step_that_is_moved_is_done_by_another_worker_for_everybody_who_waits() {
    let mut bench = Bench::new();
    assert!(!bench.dispatch.relocate((build(1), step()), String::new()).await, "it does not run");
    let (mut one, mut two) = (bench.worker("a").await, bench.worker("b").await);
    let mut first = bench.execute(build(1), 7);
    let (lease, holder, other) = FakeWorker::who_is_granted(&mut one, &mut two).await;
    let mut second = bench.execute(build(2), 7);
    assert!(matches!(second.event().await, BuildEvent::Shared { .. }));
    assert!(bench.dispatch.relocate((build(2), step()), "moved by ci".to_owned()).await);
    for driver in [&mut first, &mut second] {
        assert!(
            matches!(driver.event().await, BuildEvent::Retried { reason, .. } if reason == "moved by ci")
        );
    }
    assert!(matches!(holder.command().await, CoordinatorMessage::Cancel { lease: of } if of == lease));
    let next = other.granted().await;
    // What the first made of it in the end does not count.
    holder.succeed(lease).await;
    holder.hears_nothing().await;
    other.succeed(next).await;
    for driver in [&mut first, &mut second] {
        assert!(matches!(&*driver.ended().await.unwrap().outcome, Outcome::Success { .. }));
    }
}

#[tokio::test]
async fn a_step_that_is_moved_often_is_not_given_up() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut driver = bench.execute(build(1), 7);
    for _ in 0..10 {
        let lease = worker.granted().await;
        assert!(bench.dispatch.relocate((build(1), step()), "moved by ci".to_owned()).await);
        assert!(matches!(driver.event().await, BuildEvent::Retried { .. }));
        assert!(matches!(worker.command().await, CoordinatorMessage::Cancel { lease: of } if of == lease));
        worker.finish(lease, Outcome::Cancelled).await;
    }
    let lease = worker.granted().await;
    worker.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
}

#[tokio::test]
async fn a_drained_worker_rests_until_it_is_restored_however_often_it_comes_back() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    assert!(!bench.dispatch.set_duty(named("b"), Duty::Drained).await, "nobody knows it");
    assert!(bench.dispatch.set_duty(named("a"), Duty::Drained).await);
    assert!(matches!(worker.command().await, CoordinatorMessage::Drain));
    let mut driver = bench.execute(build(1), 7);
    assert!(matches!(driver.event().await, BuildEvent::Queued { .. }));
    worker.leave();
    let mut worker = bench.worker("a").await;
    assert!(matches!(worker.command().await, CoordinatorMessage::Drain));
    worker.hears_nothing().await;
    assert!(bench.dispatch.statuses()[0].draining);
    assert!(bench.dispatch.set_duty(named("a"), Duty::Open).await);
    assert!(matches!(worker.command().await, CoordinatorMessage::Restore));
    let lease = worker.granted().await;
    worker.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
    assert!(!bench.dispatch.statuses()[0].draining);
}

#[tokio::test]
async fn what_a_step_usually_takes_is_told_once_and_only_when_it_is_known() {
    let mut bench = Bench::new();
    let mut worker = bench.worker("a").await;
    let mut first = bench.execute(build(1), 7);
    let lease = worker.granted().await;
    worker.start(lease).await;
    assert_eq!(first.event().await, started("a"));
    worker.succeed(lease).await;
    assert!(first.ended().await.is_ok());
    // Nobody records it: the next ones have to do it again.
    first.cancel().await;
    let mut drivers = [bench.execute(build(2), 7), bench.execute(build(3), 7)];
    let lease = worker.granted().await;
    worker.start(lease).await;
    worker.succeed(lease).await;
    for driver in &mut drivers {
        assert!(matches!(driver.event().await, BuildEvent::Expected { .. }));
        let mut event = driver.event().await;
        if let BuildEvent::Shared { .. } = event {
            event = driver.event().await;
        }
        assert_eq!(event, started("a"));
        assert!(driver.ended().await.is_ok());
    }
}

#[tokio::test]
async fn what_a_worker_fetched_is_told_under_its_own_lease_only() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (bench.worker("a").await, bench.worker("b").await);
    let mut driver = bench.execute(build(1), 7);
    let (lease, holder, other) = FakeWorker::who_is_granted(&mut one, &mut two).await;
    other.say(WorkerMessage::Fetched { lease, bytes: 666, micros: 1 }).await;
    holder.say(WorkerMessage::Fetched { lease, bytes: 10, micros: 20 }).await;
    assert_eq!(driver.event().await, BuildEvent::Fetched { step: step(), bytes: 10, micros: 20 });
    holder.succeed(lease).await;
    assert!(driver.ended().await.is_ok());
}
