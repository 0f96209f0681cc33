//! What tests of screens share: a farm to look at, and frames that are compared with files.
//!
//! Frames lie in `tests/frames`. With `FARM_BLESS=1` they are written instead of compared.

use std::collections::BTreeMap;
use std::path::Path;

use farm_model::event::{FarmEvent, FarmRecorded, MachineLoad, PlannedStep, Requested, Stream, WorkerFacts};
use farm_model::{BuildEvent, BuildId, Recorded, StageId, StepId, WorkerId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::glyphs::GlyphSet;
use super::theme::{Depth, Theme, ThemeName};
use crate::app::estimate::Estimates;
use crate::app::screen::{Access, Context, Hits, Screen};
use crate::export;
use crate::state::{Build, Farm, Log};

/// When everything begins.
pub(crate) const START: i64 = 1_795_286_400_000_000_000;
pub(crate) const BUILD: BuildId = BuildId([0xb1; 8]);

/// Everything that a screen looks at.
pub(crate) struct World {
    pub(crate) farm: Farm,
    pub(crate) now: i64,
    pub(crate) theme: Theme,
    pub(crate) set: GlyphSet,
    pub(crate) logs: BTreeMap<BuildId, Log>,
    details: BTreeMap<BuildId, Build>,
    estimates: Estimates,
    access: Access,
}

impl World {
    /// A farm that has begun.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            farm: Farm::default(),
            now: START,
            theme: Theme::new(ThemeName::Dark, Depth::True),
            set: GlyphSet::Braille,
            logs: BTreeMap::new(),
            details: BTreeMap::new(),
            estimates: Estimates::default(),
            access: Access::default(),
        };
        world.said(FarmEvent::Began { farm: "orchard".into(), version: "1".into() });
        world.said(FarmEvent::CaughtUp);
        world
    }

    /// What a screen is shown.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            farm: &self.farm,
            now: self.now,
            theme: &self.theme,
            glyphs: self.set.glyphs(),
            logs: &self.logs,
            details: &self.details,
            estimates: &self.estimates,
            access: &self.access,
        }
    }

    /// Something happens, at the time it is.
    pub(crate) fn said(&mut self, event: FarmEvent) {
        self.farm.apply(&FarmRecorded { time: self.now, event });
    }

    /// Something happens in the build, so many milliseconds after its start; it is in its log too.
    pub(crate) fn built(&mut self, millis: u32, event: BuildEvent) {
        let recorded = Recorded { at: u64::from(millis) * 1000, event };
        self.logs.entry(BUILD).or_default().apply(&recorded);
        self.now = self.now.max(START + i64::from(millis) * 1_000_000);
        self.said(FarmEvent::Build { build: BUILD, sequence: 0, recorded });
    }

    /// The build begins, with stages of these names and so many steps.
    pub(crate) fn plan(&mut self, stages: &[(&str, u32)]) {
        self.built(0, BuildEvent::Requested(requested()));
        let mut steps = Vec::new();
        for (number, (name, count)) in (0..).zip(stages) {
            steps.extend((0..*count).map(|index| PlannedStep {
                id: step(number, index),
                stage: (*name).to_owned(),
                name: format!("RUN make part-{index}"),
                lines: None,
                needs: if number > 0 && index == 0 { vec![StageId(number - 1)] } else { Vec::new() },
            }));
        }
        self.built(0, BuildEvent::Planned { steps });
    }

    /// A step writes to its log.
    pub(crate) fn logged(&mut self, millis: u32, step: StepId, stream: Stream, text: &str) {
        self.built(millis, BuildEvent::Logged { step, stream, bytes: text.as_bytes().to_vec() });
    }

    /// A worker is there.
    pub(crate) fn worker(&mut self, name: &str, slots: u32) -> WorkerId {
        let worker = WorkerId(name.to_owned());
        let facts = WorkerFacts {
            worker: worker.clone(),
            platform: "linux/amd64".into(),
            slots,
            most: slots * 2,
            labels: Vec::new(),
            draining: false,
        };
        self.said(FarmEvent::Worker(facts));
        worker
    }

    /// A worker uses such a part of what it has, in hundredths.
    pub(crate) fn load(&mut self, worker: &WorkerId, percent: u64) {
        let load = MachineLoad {
            cpu: percent * 80,
            processors: 8,
            memory: percent * 320_000_000,
            memory_total: 32_000_000_000,
            received: percent * 1_000_000,
            sent: percent * 400_000,
            disk: percent * 5_000_000_000,
            disk_total: 500_000_000_000,
        };
        self.said(FarmEvent::Load { worker: worker.clone(), load });
    }
}

/// What the build was asked for.
fn requested() -> Requested {
    Requested {
        build: BUILD,
        time: START,
        dockerfile: "Dockerfile".into(),
        context: ".".into(),
        target: None,
        names: vec!["orchard/app:1".into()],
        client: "ann".into(),
    }
}

/// A step of the build.
pub(crate) fn step(stage: u32, index: u32) -> StepId {
    StepId { stage: StageId(stage), index }
}

/// A frame of a screen, as it is drawn.
pub(crate) fn frame(screen: &dyn Screen, world: &World, columns: u16, rows: u16) -> (Buffer, Hits) {
    let area = Rect::new(0, 0, columns, rows);
    let (mut buffer, mut hits) = (Buffer::empty(area), Hits::default());
    screen.draw(&world.context(), area, &mut buffer, &mut hits);
    (buffer, hits)
}

/// The same as text.
pub(crate) fn text(screen: &dyn Screen, world: &World, columns: u16, rows: u16) -> String {
    export::text(&frame(screen, world, columns, rows).0)
}

/// Compares a text with the file of this name.
pub(crate) fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames").join(name);
    if std::env::var_os("FARM_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(wanted == text, "{name} is not as it was:\n{text}\nwanted:\n{wanted}");
}

/// Compares frames of a screen at the sizes that matter.
pub(crate) fn check_sizes(name: &str, screen: &dyn Screen, world: &World) {
    for (columns, rows) in [(60, 15), (80, 24), (200, 50)] {
        check(&format!("{name}-{columns}x{rows}.txt"), &text(screen, world, columns, rows));
    }
}

/// Draws a screen at sizes from nothing on; it must not panic.
pub(crate) fn check_odd_sizes(screen: &dyn Screen, world: &World) {
    for columns in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 300] {
        for rows in [0, 1, 2, 3, 5, 8, 13, 21, 70] {
            frame(screen, world, columns, rows);
        }
    }
}
