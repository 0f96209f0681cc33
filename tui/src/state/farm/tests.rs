use farm_model::event::{Ending, PastBuild, PastOutcome, PlannedStep, Requested};
use farm_model::{BuildEvent, Recorded, StageId, StepDigest, StepId, Usage};

use super::*;

const BUILD: BuildId = BuildId([1; 8]);
const STEP: StepId = StepId { stage: StageId(0), index: 0 };
const START: i64 = 1_000_000_000_000;

fn said(farm: &mut Farm, event: FarmEvent) {
    farm.apply(&FarmRecorded { time: START, event });
}

fn built(farm: &mut Farm, build: BuildId, at: u64, event: BuildEvent) {
    said(farm, FarmEvent::Build { build, sequence: 0, recorded: Recorded { at, event } });
}

fn request(build: BuildId) -> BuildEvent {
    BuildEvent::Requested(Requested {
        build,
        time: START,
        dockerfile: "Dockerfile".into(),
        context: ".".into(),
        target: None,
        names: vec!["app:1".into()],
        client: "me".into(),
    })
}

fn plan() -> BuildEvent {
    let planned = PlannedStep {
        id: STEP,
        stage: "build".into(),
        name: "RUN make".into(),
        lines: None,
        needs: Vec::new(),
    };
    BuildEvent::Planned { steps: vec![planned] }
}

fn worker() -> WorkerId {
    WorkerId("w1".into())
}

fn begun() -> Farm {
    let mut farm = Farm::default();
    said(&mut farm, FarmEvent::Began { farm: "f".into(), version: "1".into() });
    let facts = WorkerFacts {
        worker: worker(),
        platform: "linux/amd64".into(),
        slots: 2,
        most: 4,
        labels: Vec::new(),
        draining: false,
    };
    said(&mut farm, FarmEvent::Worker(facts));
    said(&mut farm, FarmEvent::CaughtUp);
    farm
}

fn running() -> Farm {
    let mut farm = begun();
    for event in [request(BUILD), plan()] {
        built(&mut farm, BUILD, 0, event);
    }
    let key = StepDigest([0; 32]);
    built(&mut farm, BUILD, 1, BuildEvent::Missed { step: STEP, key, reasons: Vec::new() });
    built(&mut farm, BUILD, 2, BuildEvent::Queued { step: STEP });
    assert_eq!((farm.totals().queued, farm.totals().blocked), (1, 1));
    built(&mut farm, BUILD, 5, BuildEvent::Started { step: STEP, worker: Some(worker()) });
    farm
}

#[test]
fn totals_follow_a_build_to_its_end() {
    let mut farm = running();
    let totals = farm.totals();
    assert_eq!((totals.builds, totals.running, totals.misses, totals.queued), (1, 1, 1, 0));
    assert_eq!((farm.slots(), farm.queue_wait()), ((1, 2), Some((3, 3))));
    let usage = Usage::default();
    built(&mut farm, BUILD, 9, BuildEvent::Finished { step: STEP, micros: 4, usage, bytes: 7 });
    let completed = BuildEvent::Completed { stages: Vec::new(), image_bytes: 50, discarded_bytes: 3 };
    built(&mut farm, BUILD, 10, completed);
    built(&mut farm, BUILD, 11, BuildEvent::Ended(Ending::Succeeded { image: None }));
    let wanted = Totals { misses: 1, succeeded: 1, ..Totals::default() };
    assert_eq!((farm.totals(), farm.slots()), (wanted, (0, 2)));
    assert_eq!(farm.images().names()["app:1"].newest().map(|sample| sample.bytes), Some(50));
    assert_eq!(farm.hit_rate(), Some(0.0));
}

#[test]
fn a_stream_that_begins_anew_counts_nothing_twice() {
    let mut farm = running();
    farm.lost(START, "gone");
    said(&mut farm, FarmEvent::Began { farm: "f".into(), version: "1".into() });
    assert_eq!(farm.totals().running, 0);
    assert_eq!(farm.standings(), (0, 0, 1));
    for event in [request(BUILD), plan()] {
        built(&mut farm, BUILD, 0, event);
    }
    let key = StepDigest([0; 32]);
    built(&mut farm, BUILD, 1, BuildEvent::Missed { step: STEP, key, reasons: Vec::new() });
    said(&mut farm, FarmEvent::CaughtUp);
    assert_eq!((farm.totals().builds, farm.totals().misses), (1, 1));
}

#[test]
fn a_cancelled_build_gives_its_slots_back() {
    let mut farm = running();
    built(&mut farm, BUILD, 8, BuildEvent::Ended(Ending::Cancelled));
    assert_eq!((farm.slots().0, farm.totals().builds, farm.totals().running), (0, 0, 0));
}

#[test]
fn old_builds_are_forgotten() {
    let mut farm = begun();
    for number in 0..2000_u64 {
        let build = BuildId(number.to_be_bytes());
        said(
            &mut farm,
            FarmEvent::Past(PastBuild {
                build,
                started: START,
                micros: 1,
                outcome: PastOutcome::Succeeded,
                dockerfile: "Dockerfile".into(),
                context: ".".into(),
                target: None,
                names: Vec::new(),
                client: "me".into(),
                steps: 3,
                cached: 1,
                done: 3,
                image_bytes: None,
            }),
        );
    }
    assert_eq!(farm.builds().len(), MOST_ENDED);
    assert_eq!(farm.builds().values().next().unwrap().counts().done, 2);
}
