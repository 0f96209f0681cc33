//! A build by hand: two stages on two workers, a third that needs both, a hit, a deduplicated step, and a failure with markup
//! in its log.

use farm_model::event::{
    Blame, Change, Ending, Failure, MissReason, PlannedStep, Requested, StageSize, Stream,
};
use farm_model::{BuildEvent, BuildId, Exit, Recorded, StageId, StepDigest, StepId, Usage, WorkerId};

use crate::state::{Build, Log};

pub(super) fn id(stage: u32, index: u32) -> StepId {
    StepId { stage: StageId(stage), index }
}

fn planned(stage: u32, index: u32, name: &str, needs: &[u32]) -> PlannedStep {
    let names = ["tools", "deps<b>", "final"];
    let stage_name = names[usize::try_from(stage).unwrap()].to_owned();
    PlannedStep {
        id: id(stage, index),
        stage: stage_name,
        name: name.to_owned(),
        lines: None,
        needs: needs.iter().copied().map(StageId).collect(),
    }
}

fn events() -> Vec<(u64, BuildEvent)> {
    let key = StepDigest([7; 32]);
    let worker = |name: &str| Some(WorkerId(name.to_owned()));
    let requested = Requested {
        build: BuildId([0xab; 8]),
        time: 1_700_000_000_000_000_000,
        dockerfile: "Dockerfile".into(),
        context: "/src/<shop>".into(),
        target: None,
        names: vec!["shop:1".into()],
        client: "ada".into(),
    };
    let steps = vec![
        planned(0, 0, "COPY go.mod .", &[]),
        planned(0, 1, "RUN go build \"./...\" && echo '<script>alert(1)</script>'", &[]),
        planned(1, 0, "RUN npm ci", &[]),
        planned(2, 0, "COPY --from=tools /a /a", &[0]),
        planned(2, 1, "RUN test", &[1]),
    ];
    let files = MissReason::Files {
        origin: "context".into(),
        first: "a&b.go".into(),
        change: Change::Modified,
        changed: 1,
        total: 9,
    };
    let usage = Usage { wall_micros: 4_000_000, cpu_micros: 3_000_000, peak_memory: 50_000_000 };
    let (copy, make) = (id(0, 0), id(0, 1));
    let (deps, join, test) = (id(1, 0), id(2, 0), id(2, 1));
    vec![
        (0, BuildEvent::Requested(requested)),
        (100, BuildEvent::Planned { steps }),
        (200, BuildEvent::Cached { step: copy, key, saved_micros: 700_000, saved_bytes: 12 }),
        (300, BuildEvent::Missed { step: make, key, reasons: vec![files] }),
        (300, BuildEvent::Missed { step: deps, key, reasons: vec![MissReason::New] }),
        (400, BuildEvent::Expected { step: make, micros: 3_500_000 }),
        (400, BuildEvent::Queued { step: make }),
        (400, BuildEvent::Shared { step: deps, build: BuildId([0xcd; 8]) }),
        (500_000, BuildEvent::Started { step: make, worker: worker("w1") }),
        (500_000, BuildEvent::Fetched { step: make, bytes: 2_000_000, micros: 10 }),
        (2_000_000, BuildEvent::Finished { step: deps, micros: 1_999_600, usage, bytes: 30_000_000 }),
        (4_500_000, BuildEvent::Finished { step: make, micros: 4_000_000, usage, bytes: 8_000_000 }),
        (4_500_100, BuildEvent::Missed { step: join, key, reasons: vec![MissReason::New] }),
        (4_500_100, BuildEvent::Started { step: join, worker: None }),
        (
            4_500_900,
            BuildEvent::Finished { step: join, micros: 800, usage: Usage::default(), bytes: 8_000_000 },
        ),
        (4_501_000, BuildEvent::Missed { step: test, key, reasons: vec![MissReason::New] }),
        (4_501_000, BuildEvent::Queued { step: test }),
        (4_600_000, BuildEvent::Started { step: test, worker: worker("w2") }),
        (
            5_000_000,
            BuildEvent::Logged {
                step: test,
                stream: Stream::Stderr,
                bytes: b"ok 1\n\x1b[31mnot ok 2 <b>&amp;</b>\x1b[0m\n".to_vec(),
            },
        ),
        (5_100_000, BuildEvent::Failed { step: test, exit: Exit::Code(3) }),
        (5_100_100, BuildEvent::Warned { message: "take <care>".into() }),
        (
            5_100_200,
            BuildEvent::Completed {
                stages: vec![
                    StageSize { stage: "tools".into(), bytes: 90_000_000, entries: 12, kept: false },
                    StageSize { stage: "final".into(), bytes: 30_000_000, entries: 3, kept: true },
                ],
                image_bytes: 30_000_000,
                discarded_bytes: 60_000_000,
            },
        ),
        (
            5_100_300,
            BuildEvent::Ended(Ending::Failed(Failure {
                blame: Blame::Build,
                message: "step `RUN test` failed:\n  exit code: 3".into(),
                hint: Some("look at <it>".into()),
            })),
        ),
    ]
}

/// The build and its log.
pub(super) fn build() -> (Build, Log) {
    let (mut build, mut log) = (Build::default(), Log::default());
    for (at, event) in events() {
        let recorded = Recorded { at, event };
        build.apply(&recorded);
        log.apply(&recorded);
    }
    (build, log)
}
