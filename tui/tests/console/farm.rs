//! A farm to look at.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use farm_model::event::{
    Action, Change, Deed, Ending, Failure, FarmEvent, FarmRecorded, MissReason, PlannedStep, Requested,
    StoreLoad, StoreRow, Stream, WorkerFacts,
};
use farm_model::event::{Blame, MachineLoad};
use farm_model::{BuildEvent, BuildId, Exit, Recorded, StageId, StepDigest, StepId, Usage, WorkerId};
use farm_tui::app::{Access, Answer, App, Effect, Key, Options};
use farm_tui::view::glyphs::GlyphSet;
use farm_tui::view::theme::ThemeName;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const START: i64 = 1_795_286_400 * SECOND;
pub(crate) const RUNNING: BuildId = BuildId([0x11; 8]);
pub(crate) const FAILED: BuildId = BuildId([0x22; 8]);
pub(crate) const DONE: BuildId = BuildId([0x33; 8]);

pub(crate) fn id(stage: u32, index: u32) -> StepId {
    StepId { stage: StageId(stage), index }
}

pub(crate) fn step(id: StepId, stage: &str, name: &str, needs: &[u32]) -> PlannedStep {
    let needs = needs.iter().copied().map(StageId).collect();
    PlannedStep { id, stage: stage.into(), name: name.into(), lines: None, needs }
}

pub(crate) fn said(time: i64, event: FarmEvent) -> FarmRecorded {
    FarmRecorded { time, event }
}

pub(crate) fn built(build: BuildId, started: i64, at: u64, event: BuildEvent) -> FarmRecorded {
    let time = started + i64::try_from(at).unwrap() * 1000;
    said(time, FarmEvent::Build { build, sequence: 0, recorded: Recorded { at, event } })
}

pub(crate) fn request(build: BuildId, time: i64, name: &str, client: &str) -> BuildEvent {
    BuildEvent::Requested(Requested {
        build,
        time,
        dockerfile: "Dockerfile".into(),
        context: ".".into(),
        target: None,
        names: vec![name.into()],
        client: client.into(),
    })
}

pub(crate) fn worker(name: &str) -> FarmRecorded {
    said(
        START,
        FarmEvent::Worker(WorkerFacts {
            worker: WorkerId(name.into()),
            platform: "linux/amd64".into(),
            slots: 4,
            most: 16,
            labels: Vec::new(),
            draining: name == "w3",
        }),
    )
}

fn started(step: StepId, worker: &str) -> BuildEvent {
    BuildEvent::Started { step, worker: Some(WorkerId(worker.into())) }
}

fn missed(step: StepId, reasons: Vec<MissReason>) -> BuildEvent {
    BuildEvent::Missed { step, key: StepDigest([7; 32]), reasons }
}

/// Everything that happened.
pub(crate) fn events() -> Vec<FarmRecorded> {
    let mut all = vec![said(START, FarmEvent::Began { farm: "forge".into(), version: "0.1.0".into() })];
    all.extend(["w1", "w2", "w3"].map(worker));
    all.push(said(START, FarmEvent::CaughtUp));
    let load = MachineLoad {
        cpu: 3200,
        processors: 8,
        memory: 6 << 30,
        memory_total: 16 << 30,
        ..MachineLoad::default()
    };
    all.push(said(START, FarmEvent::Load { worker: WorkerId("w1".into()), load }));
    all.extend(done());
    all.extend(failed());
    all.extend(running());
    let store = |bytes| StoreLoad {
        rows: vec![
            StoreRow { kind: "layers".into(), count: 41, bytes, reclaimable: 1_200_000_000 },
            StoreRow { kind: "contexts".into(), count: 3, bytes: 300_000_000, reclaimable: 0 },
        ],
        hot: bytes / 3,
        cold: bytes - bytes / 3,
        free: 20_000_000_000,
        limit: Some(10_000_000_000),
    };
    all.push(said(START + 5 * SECOND, FarmEvent::Store(store(5_000_000_000))));
    all.push(said(START + 65 * SECOND, FarmEvent::Store(store(5_060_000_000))));
    let deed = Deed::Drained { worker: WorkerId("w3".into()) };
    all.push(said(
        START + 20 * SECOND,
        FarmEvent::Acted(Action { time: START + 20 * SECOND, by: "ann".into(), deed, refused: None }),
    ));
    let deed = Deed::Cancelled { build: DONE };
    let refused = Some("it is over already".to_owned());
    all.push(said(
        START + 30 * SECOND,
        FarmEvent::Acted(Action { time: START + 30 * SECOND, by: "bob".into(), deed, refused }),
    ));
    all
}

fn done() -> Vec<FarmRecorded> {
    let at = |at, event| built(DONE, START, at, event);
    let usage = Usage::default();
    vec![
        at(0, request(DONE, START, "registry.example/team/api:4", "ann")),
        at(
            10,
            BuildEvent::Planned { steps: vec![step(id(0, 0), "base", "RUN apt-get install -y tini", &[])] },
        ),
        at(
            20,
            BuildEvent::Cached {
                step: id(0, 0),
                key: StepDigest([1; 32]),
                saved_micros: 95_000_000,
                saved_bytes: 88_000_000,
            },
        ),
        at(30, BuildEvent::Completed { stages: Vec::new(), image_bytes: 123_000_000, discarded_bytes: 0 }),
        at(40, BuildEvent::Finished { step: id(9, 9), micros: 1, usage, bytes: 1 }),
        at(2_000_000, BuildEvent::Ended(Ending::Succeeded { image: None })),
    ]
}

fn failed() -> Vec<FarmRecorded> {
    let start = START + 3 * SECOND;
    let at = |at, event| built(FAILED, start, at, event);
    let message = "step `RUN make test` failed: exit code: 2\n\nDockerfile:7".to_owned();
    vec![
        at(0, request(FAILED, start, "web:9", "bob")),
        at(10, BuildEvent::Planned { steps: vec![step(id(0, 0), "test", "RUN make test", &[])] }),
        at(20, missed(id(0, 0), vec![MissReason::New])),
        at(30, BuildEvent::Queued { step: id(0, 0) }),
        at(400_000, started(id(0, 0), "w2")),
        at(9_000_000, BuildEvent::Failed { step: id(0, 0), exit: Exit::Code(2) }),
        at(
            9_100_000,
            BuildEvent::Ended(Ending::Failed(Failure { blame: Blame::Build, message, hint: None })),
        ),
    ]
}

/// A build with three stages: one cached, one that runs, one that waits for both.
pub(crate) fn running() -> Vec<FarmRecorded> {
    let start = START + 40 * SECOND;
    let at = |at, event| built(RUNNING, start, at, event);
    let usage = Usage::default();
    let files = MissReason::Files {
        origin: "context".into(),
        first: "src/main.c".into(),
        change: Change::Modified,
        changed: 3,
        total: 812,
    };
    let steps = vec![
        step(id(0, 0), "deps", "RUN apk add build-base", &[]),
        step(id(0, 1), "deps", "RUN apk add openssl-dev", &[]),
        step(id(1, 0), "build", "COPY . /src", &[0]),
        step(id(1, 1), "build", "RUN make -j all", &[]),
        step(id(1, 2), "build", "RUN make install", &[]),
        step(id(2, 0), "lint", "RUN make lint", &[]),
        step(id(3, 0), "final", "COPY --from=build /out /", &[1, 2]),
    ];
    let cached = |step| BuildEvent::Cached {
        step,
        key: StepDigest([1; 32]),
        saved_micros: 30_000_000,
        saved_bytes: 250_000_000,
    };
    vec![
        at(0, request(RUNNING, start, "registry.example/team/app:1", "ann")),
        at(100_000, BuildEvent::Planned { steps }),
        at(200_000, cached(id(0, 0))),
        at(210_000, cached(id(0, 1))),
        at(300_000, missed(id(1, 0), vec![files])),
        at(310_000, BuildEvent::Started { step: id(1, 0), worker: None }),
        at(700_000, BuildEvent::Finished { step: id(1, 0), micros: 390_000, usage, bytes: 4_100_000 }),
        at(
            800_000,
            missed(
                id(1, 1),
                vec![MissReason::Parent { step: Some(id(1, 0)), first: Some("src/main.c".into()) }],
            ),
        ),
        at(810_000, BuildEvent::Expected { step: id(1, 1), micros: 12_000_000 }),
        at(820_000, BuildEvent::Queued { step: id(1, 1) }),
        at(900_000, started(id(1, 1), "w1")),
        at(910_000, missed(id(2, 0), vec![MissReason::Lost])),
        at(920_000, BuildEvent::Shared { step: id(2, 0), build: FAILED }),
        at(930_000, BuildEvent::Expected { step: id(1, 2), micros: 2_000_000 }),
    ]
}

pub(crate) fn options() -> Options {
    Options {
        theme: Some(ThemeName::Dark),
        glyphs: Some(GlyphSet::Braille),
        label: "forge.example".into(),
        ..Options::default()
    }
}

/// A console that has heard everything, at a time when the build has run for 25 seconds.
pub(crate) fn console(options: Options) -> App {
    let mut app = App::new(options);
    for event in events() {
        app.event(&event);
    }
    let effects = app.tick(NOW);
    assert!(effects.contains(&Effect::Follow(FAILED)), "{effects:?}");
    for (at, bytes) in [
        (1, &b"cc -c a.c\n"[..]),
        (2, b"a.c:1: warning\n"),
        (3, b"FAIL: test_wide\n"),
        (4, b"make: *** [test] Error 1\n"),
    ] {
        log(
            &mut app,
            FAILED,
            at,
            BuildEvent::Logged { step: id(0, 0), stream: Stream::Stdout, bytes: bytes.to_vec() },
        );
    }
    app
}

pub(crate) const NOW: i64 = START + 65 * SECOND;

pub(crate) fn log(app: &mut App, build: BuildId, at: u64, event: BuildEvent) {
    app.answer(&Answer::Log { build, recorded: Recorded { at, event } }, NOW);
}

pub(crate) fn read_only() -> Access {
    Access::ReadOnly { reason: "the certificate has the role `viewer`".into() }
}

pub(crate) fn frame(app: &mut App, columns: u16, rows: u16) -> Vec<String> {
    lines(&app.draw(Rect::new(0, 0, columns, rows), NOW))
}

pub(crate) fn lines(buffer: &Buffer) -> Vec<String> {
    let text = farm_tui::export::text(buffer);
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Presses keys, as a keymap names them; gives what is to be done.
pub(crate) fn press(app: &mut App, keys: &[&str]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in keys {
        assert!(key.parse::<Key>().is_ok(), "{key}");
        effects.extend(app.input(&Event::Key(event(key)), NOW));
    }
    effects
}

fn event(key: &str) -> KeyEvent {
    let (rest, modifiers) = match key.strip_prefix("ctrl+") {
        Some(rest) => (rest, KeyModifiers::CONTROL),
        None => (key, KeyModifiers::NONE),
    };
    let code = match rest {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "space" => KeyCode::Char(' '),
        "end" => KeyCode::End,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "backspace" => KeyCode::Backspace,
        one => KeyCode::Char(one.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}

/// Types a text.
pub(crate) fn write(app: &mut App, text: &str) {
    for c in text.chars() {
        app.input(&Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)), NOW);
    }
}
