//! A farm of the largest size that is promised: what an event and a frame cost. The bounds are wide, so that a busy machine
//! does not break them; what is measured is printed.

use std::time::{Duration, Instant};

use farm_model::event::{FarmEvent, FarmRecorded, PlannedStep};
use farm_model::{BuildEvent, BuildId, StageId, StepDigest, StepId, Usage, WorkerId};
use farm_tui::app::App;
use ratatui::layout::Rect;

use super::farm::{SECOND, START, built, id, options, press, request, said, worker};

const WORKERS: u64 = 1000;
const BUILDS: u64 = 400;
const STEPS: u32 = 25;

fn name(number: u64) -> WorkerId {
    WorkerId(format!("worker-{:03}", number % WORKERS))
}

fn build(number: u64) -> BuildId {
    BuildId((number + 1).to_be_bytes())
}

/// A farm in which every build runs, with each of its steps planned.
fn large() -> App {
    let mut app = App::new(options());
    app.event(&said(START, FarmEvent::Began { farm: "large".into(), version: "0.1.0".into() }));
    for number in 0..WORKERS {
        app.event(&worker(&name(number).0));
    }
    app.event(&said(START, FarmEvent::CaughtUp));
    for number in 0..BUILDS {
        let plan = |index: u32| PlannedStep {
            id: id(index / 5, index % 5),
            stage: format!("stage-{}", index / 5),
            name: format!("RUN make part-{index} of the build"),
            lines: None,
            needs: if index >= 5 && index.is_multiple_of(5) {
                vec![StageId(index / 5 - 1)]
            } else {
                Vec::new()
            },
        };
        let steps = (0..STEPS).map(plan).collect();
        app.event(&built(
            build(number),
            START,
            0,
            request(build(number), START, &format!("team/app-{number}:1"), "ann"),
        ));
        app.event(&built(build(number), START, 1, BuildEvent::Planned { steps }));
    }
    app
}

/// The events of one second: steps miss, wait, start and finish all over the farm.
fn second(number: u64) -> Vec<FarmRecorded> {
    let mut events = Vec::with_capacity(5000);
    for turn in 0..1000 {
        let at = number * 1_000_000 + turn * 1000;
        let step: StepId = id(u32::try_from(turn / BUILDS % 5).unwrap(), u32::try_from(number % 5).unwrap());
        let of = |event| built(build(turn % BUILDS), START, at, event);
        events.push(of(BuildEvent::Missed { step, key: StepDigest([1; 32]), reasons: Vec::new() }));
        events.push(of(BuildEvent::Queued { step }));
        events.push(of(BuildEvent::Expected { step, micros: 3_000_000 }));
        events.push(of(BuildEvent::Started { step, worker: Some(name(turn)) }));
        events.push(of(BuildEvent::Finished {
            step,
            micros: 3_000_000,
            usage: Usage::default(),
            bytes: 1_000_000,
        }));
    }
    events
}

#[test]
fn a_large_farm_costs_little() {
    let mut app = large();
    let area = Rect::new(0, 0, 200, 50);
    for (view, keys) in
        [("overview", &["1"][..]), ("workers", &["2"]), ("cache", &["3"]), ("stages", &["1", "enter"])]
    {
        press(&mut app, keys);
        let (mut events, mut frames) = (Duration::ZERO, Duration::ZERO);
        for number in 0..4_u64 {
            let all = second(number);
            for (part, events_of_frame) in all.chunks(all.len() / 30).enumerate() {
                let start = Instant::now();
                for event in events_of_frame {
                    app.event(event);
                }
                events += start.elapsed();
                let now = START
                    + i64::try_from(number).unwrap() * SECOND
                    + i64::try_from(part).unwrap() * SECOND / 30;
                let start = Instant::now();
                app.draw(area, now);
                app.tick(now);
                frames += start.elapsed();
            }
        }
        let (event, frame) = (events / 20_000, frames / 120);
        println!(
            "{view}: an event takes {event:?}, a frame {frame:?}; a second of them {:?}",
            (events + frames) / 4
        );
        assert!(
            event < Duration::from_micros(100) && frame < Duration::from_millis(40),
            "{view}: {event:?} {frame:?}"
        );
    }
}
