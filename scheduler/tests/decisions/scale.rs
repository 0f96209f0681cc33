//! A large farm. What is counted is decisions, not time; but what is not near linear would not end.

use farm_model::{BuildId, LayerDigest, Scope};
use farm_scheduler::{Config, Event, Millis, Scheduler, Work};

use crate::farm::{grants, key, reading, slots, stages, step, succeeded, worker};

fn build(number: u32) -> BuildId {
    let mut id = [0; 8];
    id[..4].copy_from_slice(&number.to_be_bytes());
    BuildId(id)
}

fn work(number: u32) -> Work {
    let layer = u8::try_from(number % 200).unwrap();
    Work { key: key(number), ..reading(number, &[(layer, 50 << 20), (255, 80 << 20)]) }
}

#[test]
fn a_thousand_workers_and_ten_thousand_live_steps_are_served() {
    let mut scheduler = Scheduler::new(Config::default(), 1);
    let mut granted = Vec::new();
    let mut tell = |scheduler: &mut Scheduler, now: u64, event: Event| {
        scheduler.handle(Millis(now), event);
        let commands: Vec<_> = std::iter::from_fn(|| scheduler.poll_command()).collect();
        granted.extend(grants(&commands));
    };
    for number in 0..400 {
        let scope: Scope = format!("team-{}", number % 10).parse().unwrap();
        tell(&mut scheduler, 0, Event::BuildStarted { build: build(number), scope, steps: stages(25, 2) });
        for stage in 0..25 {
            let event = Event::StepReady {
                build: build(number),
                step: step(stage, 0),
                work: work(number * 100 + stage),
            };
            tell(&mut scheduler, 0, event);
        }
    }
    for number in 0..1_000u32 {
        let worker = worker(&format!("w{number}"));
        let event = Event::WorkerJoined { worker: worker.clone(), capacity: slots(8), running: Vec::new() };
        tell(&mut scheduler, 1, event);
        let added = vec![LayerDigest([u8::try_from(number % 200).unwrap(); 32]), LayerDigest([255; 32])];
        tell(&mut scheduler, 1, Event::HoldingsChanged { worker, added, removed: Vec::new() });
    }
    assert_eq!(scheduler.running().count(), 8_000);
    let mut finished = 0;
    while finished < 10_000 {
        let running: Vec<_> =
            scheduler.running().map(|running| (running.lease, running.worker.clone())).collect();
        for (lease, worker) in running {
            let event = Event::Finished { worker, lease, verdict: succeeded(100) };
            tell(&mut scheduler, 100, event);
            finished += 1;
        }
        tell(&mut scheduler, 200, Event::Tick);
    }
    assert_eq!(granted.len(), 10_000);
    assert_eq!(scheduler.contradiction(), None);
}

#[test]
fn a_thousand_workers_that_vanish_and_come_back_are_survived() {
    let mut scheduler = Scheduler::new(Config::default(), 1);
    let join = |number: u32| Event::WorkerJoined {
        worker: worker(&format!("w{number}")),
        capacity: slots(4),
        running: Vec::new(),
    };
    scheduler.handle(
        Millis(0),
        Event::BuildStarted { build: build(1), scope: Scope::main(), steps: stages(4_000, 1) },
    );
    for number in 0..1_000 {
        scheduler.handle(Millis(0), join(number));
    }
    for stage in 0..4_000 {
        scheduler
            .handle(Millis(0), Event::StepReady { build: build(1), step: step(stage, 0), work: work(stage) });
    }
    for number in 0..1_000 {
        scheduler.handle(Millis(1), Event::WorkerLost { worker: worker(&format!("w{number}")) });
    }
    for number in 0..1_000 {
        scheduler.handle(Millis(2), join(number));
    }
    assert_eq!(scheduler.contradiction(), None);
    assert!(scheduler.running().count() > 0);
}
