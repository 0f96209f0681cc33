use super::*;
use crate::event::{Blame, Change, MissReason, Stream};
use crate::{BuildId, Exit, OciDigest, StageId, StepDigest, StepId, Usage, WorkerId};

const STEP: StepId = StepId { stage: StageId(2), index: 5 };

/// At least one of everything; the compiler counts the kinds in [`every_kind_has_a_sample`].
fn samples() -> Vec<BuildEvent> {
    let mut events = announcements();
    events.extend(steps());
    events.extend(reasons().into_iter().map(|reason| BuildEvent::Missed {
        step: STEP,
        key: StepDigest([7; 32]),
        reasons: vec![reason, MissReason::New],
    }));
    let exits = [Exit::Code(3), Exit::Signal(9), Exit::OutOfMemory, Exit::TimedOut];
    events.extend(exits.map(|exit| BuildEvent::Failed { step: STEP, exit }));
    events.extend(endings().map(BuildEvent::Ended));
    events
}

fn announcements() -> Vec<BuildEvent> {
    let text = |text: &str| text.to_owned();
    vec![
        BuildEvent::Requested(Requested {
            build: BuildId([1, 2, 3, 4, 5, 6, 7, 8]),
            time: -1,
            dockerfile: text("Dockerfile"),
            context: text("."),
            target: Some(text("final")),
            names: vec![text("a:1"), text("ä:2")],
            client: text("me"),
        }),
        BuildEvent::Resumed { time: i64::MAX },
        BuildEvent::Planned {
            steps: vec![
                PlannedStep {
                    id: STEP,
                    stage: text("build"),
                    name: text("RUN make"),
                    lines: Some((3, 4)),
                    needs: vec![StageId(0), StageId(1)],
                },
                PlannedStep { id: STEP, stage: text(""), name: text(""), lines: None, needs: vec![] },
            ],
        },
        BuildEvent::ContextScanned { context: text("context"), files: 1, bytes: 2, micros: 3 },
        BuildEvent::ContextTaken { context: text("context"), bytes: 2, micros: u64::MAX },
        BuildEvent::ImageResolved { name: text("busybox"), digest: text("sha256:0"), micros: 9 },
        BuildEvent::LayerPulled { image: text("busybox"), bytes: 10, micros: 11 },
        BuildEvent::Warned { message: text("careful\nreally") },
        BuildEvent::Completed {
            stages: vec![StageSize { stage: text("build"), bytes: 1, entries: 2, kept: false }],
            image_bytes: 3,
            discarded_bytes: 4,
        },
        BuildEvent::Exported {
            output: text("type=oci"),
            image: Some(OciDigest([8; 32])),
            bytes: 1,
            micros: 2,
        },
    ]
}

fn steps() -> Vec<BuildEvent> {
    let usage = Usage { wall_micros: 1, cpu_micros: 2, peak_memory: 3 };
    vec![
        BuildEvent::Queued { step: STEP },
        BuildEvent::Shared { step: STEP, build: BuildId([9; 8]) },
        BuildEvent::Started { step: STEP, worker: None },
        BuildEvent::Started { step: STEP, worker: Some(WorkerId("w1".to_owned())) },
        BuildEvent::Retried { step: STEP, reason: "its worker was lost".to_owned() },
        BuildEvent::Cached { step: STEP, key: StepDigest([1; 32]), saved_micros: 77, saved_bytes: 78 },
        BuildEvent::Expected { step: STEP, micros: 79 },
        BuildEvent::Fetched { step: STEP, bytes: 80, micros: 81 },
        BuildEvent::Logged { step: STEP, stream: Stream::Stdout, bytes: vec![0, 255, 10] },
        BuildEvent::Logged { step: STEP, stream: Stream::Stderr, bytes: vec![] },
        BuildEvent::Finished { step: STEP, micros: 12, usage, bytes: 13 },
    ]
}

fn reasons() -> Vec<MissReason> {
    let text = |text: &str| text.to_owned();
    vec![
        MissReason::New,
        MissReason::Disabled,
        MissReason::Lost,
        MissReason::Instruction { before: text("RUN a"), after: text("RUN b") },
        MissReason::Variable { name: text("GIT_SHA"), change: Change::Modified },
        MissReason::Files {
            origin: text("context"),
            first: text("src/a"),
            change: Change::Added,
            changed: 1,
            total: 2,
        },
        MissReason::Parent { step: Some(STEP), first: None },
        MissReason::Parent { step: None, first: Some(text("etc/passwd")) },
        MissReason::Base { image: text("busybox"), before: Some(OciDigest([2; 32])), after: None },
        MissReason::Setting { name: text("user"), before: text(""), after: text("me") },
        MissReason::Variable { name: text("X"), change: Change::Removed },
    ]
}

fn endings() -> [Ending; 7] {
    let failure = |blame, hint: Option<&str>| {
        Ending::Failed(Failure { blame, message: "no".to_owned(), hint: hint.map(str::to_owned) })
    };
    [
        Ending::Succeeded { image: Some(OciDigest([3; 32])) },
        failure(Blame::Usage, None),
        failure(Blame::Build, Some("try again")),
        failure(Blame::Environment, None),
        failure(Blame::Internal, None),
        Ending::Cancelled,
        Ending::Interrupted,
    ]
}

fn number(event: &BuildEvent) -> u8 {
    encode(&Recorded { at: 0, event: event.clone() })[9]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Bytes without a pattern that are the same in every run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
}

#[test]
fn every_kind_of_event_is_read_back() {
    for (at, event) in samples().into_iter().enumerate() {
        let recorded = Recorded { at: at as u64, event };
        assert_eq!(decode(&encode(&recorded)), Ok(recorded));
    }
}

#[test]
fn every_kind_has_a_sample() {
    let mut numbers: Vec<u8> = samples().iter().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let kinds: Vec<u8> = (0..23).filter(|number| *number != 12).collect();
    assert_eq!(numbers, kinds, "a new kind of event needs a sample and this count raised");
}

#[test]
fn records_keep_their_bytes() {
    let record = |at, event| hex(&encode(&Recorded { at, event }));
    assert_eq!(
        record(0x0102, BuildEvent::Resumed { time: -2 }),
        concat!("01", "0201000000000000", "01", "feffffffffffffff")
    );
    assert_eq!(
        record(1, BuildEvent::Logged { step: STEP, stream: Stream::Stderr, bytes: b"hi\n".to_vec() }),
        concat!("01", "0100000000000000", "0d", "02000000", "05000000", "01", "0300000000000000", "68690a")
    );
    assert_eq!(
        record(2, BuildEvent::Failed { step: STEP, exit: Exit::Code(7) }),
        concat!("01", "0200000000000000", "0f", "02000000", "05000000", "00", "07")
    );
    assert_eq!(
        record(3, BuildEvent::Ended(Ending::Cancelled)),
        concat!("01", "0300000000000000", "13", "02")
    );
}

/// Pins the layout of every sample at once: recordings of earlier versions have to stay readable.
#[test]
fn the_encoding_of_all_samples_is_pinned() {
    let mut all = Encoder::new();
    for event in samples() {
        all.bytes(&encode(&Recorded { at: 5, event }));
    }
    assert_eq!(
        hex(&all.digest("farm test of event records v1")),
        "60cec96449fbe2949c7fc5a2592b2fa92808d53937d2a14e6109505cbd7d630e",
        "add numbers, never change what a number means"
    );
}

#[test]
fn a_hit_of_an_earlier_version_is_read() {
    let mut old = Encoder::new();
    old.u8(VERSION).u64(5).u8(12).u32(2).u32(5).raw(&[1; 32]).u64(77);
    let event = BuildEvent::Cached { step: STEP, key: StepDigest([1; 32]), saved_micros: 77, saved_bytes: 0 };
    assert_eq!(decode(old.as_bytes()), Ok(Recorded { at: 5, event }));
}

#[test]
fn lines_of_logs_are_told_without_reading_them() {
    for event in samples() {
        let is_one = matches!(event, BuildEvent::Logged { .. });
        let is_end = matches!(event, BuildEvent::Ended(_));
        let record = encode(&Recorded { at: u64::MAX, event });
        assert_eq!((is_logged(&record), is_ended(&record)), (is_one, is_end));
    }
    assert!(!is_logged(&[]));
}

#[test]
fn a_record_is_wrapped_without_reading_it() {
    for event in samples() {
        let recorded = Recorded { at: 7, event };
        let wrapped = encode_build(-5, BuildId([9; 8]), 3, &encode(&recorded)).unwrap();
        let event = FarmEvent::Build { build: BuildId([9; 8]), sequence: 3, recorded };
        assert_eq!(wrapped, encode_farm(&FarmRecorded { time: -5, event }));
    }
    assert_eq!(encode_build(0, BuildId([9; 8]), 0, &[]), None);
    assert_eq!(encode_build(0, BuildId([9; 8]), 0, &[VERSION + 1, 0]), None);
}

/// One of every kind of farm event.
fn farm_samples() -> Vec<FarmEvent> {
    let text = |text: &str| text.to_owned();
    let worker = || WorkerId(text("w1"));
    let deeds = [
        Deed::Cancelled { build: BuildId([1; 8]) },
        Deed::Moved { build: BuildId([1; 8]), step: STEP },
        Deed::Drained { worker: worker() },
        Deed::Restored { worker: worker() },
        Deed::Pinned { image: text("a:1") },
        Deed::Unpinned { image: text("a:1") },
        Deed::Pruned { bytes: 9 },
    ];
    let past = |outcome| {
        FarmEvent::Past(PastBuild {
            build: BuildId([4; 8]),
            started: 1,
            micros: 2,
            outcome,
            dockerfile: text("Dockerfile"),
            context: text("."),
            target: None,
            names: vec![text("a:1")],
            client: text("me"),
            steps: 3,
            cached: 1,
            done: 2,
            image_bytes: Some(4),
        })
    };
    let load = MachineLoad {
        cpu: 1,
        processors: 2,
        memory: 3,
        memory_total: 4,
        received: 5,
        sent: 6,
        disk: 7,
        disk_total: 8,
    };
    let rows = vec![StoreRow { kind: text("images"), count: 1, bytes: 2, reclaimable: 3 }];
    let facts = WorkerFacts {
        worker: worker(),
        platform: text("linux/amd64"),
        slots: 2,
        most: 8,
        labels: vec![text("gpu")],
        draining: true,
    };
    let outcomes =
        [PastOutcome::Succeeded, PastOutcome::Failed, PastOutcome::Cancelled, PastOutcome::Interrupted];
    let mut events = vec![
        FarmEvent::Began { farm: text("daemon"), version: text("1") },
        FarmEvent::CaughtUp,
        FarmEvent::Build {
            build: BuildId([4; 8]),
            sequence: 6,
            recorded: Recorded { at: 7, event: BuildEvent::Queued { step: STEP } },
        },
        FarmEvent::Worker(facts),
        FarmEvent::WorkerLost { worker: worker() },
        FarmEvent::Load { worker: worker(), load },
        FarmEvent::Store(StoreLoad { rows, hot: 1, cold: 2, free: 3, limit: None }),
    ];
    events.extend(outcomes.map(past));
    events.extend(
        deeds.map(|deed| {
            FarmEvent::Acted(Action { time: 1, by: text("me"), deed, refused: Some(text("no")) })
        }),
    );
    events
}

#[test]
fn every_kind_of_farm_event_is_read_back_and_cuts_are_refused() {
    let mut all = Encoder::new();
    let mut kinds: Vec<u8> = Vec::new();
    for (time, event) in (-1..).zip(farm_samples()) {
        let recorded = FarmRecorded { time, event };
        let bytes = encode_farm(&recorded);
        for length in 0..bytes.len() {
            assert!(decode_farm(&bytes[..length]).is_err(), "{length} of {bytes:?}");
        }
        kinds.push(bytes[9]);
        all.bytes(&bytes);
        assert_eq!(decode_farm(&bytes), Ok(recorded));
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(
        kinds,
        (0..9).collect::<Vec<u8>>(),
        "a new kind of event needs a sample and this count raised"
    );
    assert_eq!(
        hex(&all.digest("farm test of farm event records v1")),
        "eb4f2f8b2e7c51fe83bf34c72df285d5cf372fa7b5d9581a4d77cde3952f3308",
        "add numbers, never change what a number means"
    );
}

#[test]
fn records_that_are_cut_or_go_on_are_refused() {
    for event in samples() {
        let bytes = encode(&Recorded { at: 1, event });
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} of {bytes:?}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(decode(&longer).unwrap_err().reason, "bytes follow its end");
    }
}

#[test]
fn kinds_and_versions_of_the_future_are_named_as_such() {
    let mut bytes = encode(&Recorded { at: 1, event: BuildEvent::Queued { step: STEP } });
    bytes[9] = 200;
    let unknown = Malformed { offset: 9, reason: "the kind of event is not known here" };
    assert_eq!(decode(&bytes), Err(unknown));
    bytes[0] = VERSION + 1;
    assert_eq!(decode(&bytes).unwrap_err().reason, "the version of the record is not known here");
}

#[test]
fn arbitrary_bytes_never_panic() {
    for seed in 0..20_000_usize {
        let mut bytes: Vec<u8> = noise(seed as u64).take(1 + seed % 200).collect();
        let _ = decode(&bytes);
        // With a valid beginning the parsers of the fields are reached.
        bytes[0] = VERSION;
        if let Some(kind) = bytes.get_mut(9) {
            *kind %= 20;
        }
        let _ = decode(&bytes);
    }
}

#[test]
fn a_changed_byte_never_panics_and_what_is_read_is_written_alike() {
    for event in samples() {
        let bytes = encode(&Recorded { at: 1, event });
        for position in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[position] ^= flip;
                if let Ok(recorded) = decode(&changed) {
                    assert_eq!(encode(&recorded), changed);
                }
            }
        }
    }
}
