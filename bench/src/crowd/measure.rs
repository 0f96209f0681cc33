//! What it costs to watch a large farm: processor time, counted by the kernel, while a console is fed and drawn.
//!
//! Time is simulated: nothing waits, so that a measurement takes as long as the work. Events are made before the clock
//! runs; what counts is decoding them, applying them, and drawing and painting frames.

use std::time::{Duration, Instant};

use farm_model::event::FarmRecorded;
use farm_model::event::recording::{self, Next};
use farm_tui::Painter;
use farm_tui::app::{App, Options, View};
use farm_tui::area;
use farm_tui::export::{self, Paper};
use farm_tui::view::theme::ThemeName;
use rustix::time::{ClockId, clock_gettime};

use super::{Crowd, Size};

/// Frames a second.
const FRAMES: u64 = 30;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Seconds of the farm's time, of each view.
    pub seconds: u64,
    /// Columns of the screen.
    pub columns: u16,
    /// Rows of the screen.
    pub rows: u16,
}

impl Default for Extent {
    fn default() -> Self {
        Self { seconds: 10, columns: 200, rows: 50 }
    }
}

/// What one view costs.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Which view.
    pub name: String,
    /// Processor time as a part of the time of the farm.
    pub share: f64,
    /// Frames that were drawn.
    pub frames: u64,
    /// Processor time of a frame: mean and worst.
    pub frame: (Duration, Duration),
    /// Events that came.
    pub events: u64,
    /// Processor time of an event, decoded and applied.
    pub event: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// From nothing to the first frame, before anything was told.
    pub first_frame: Duration,
    /// From the first event to a frame with everything that is true at the beginning, and how many events that is.
    pub caught_up: (Duration, usize),
    /// What each view costs while everything happens.
    pub views: Vec<Figures>,
    /// The most memory that the process has used, in bytes, what makes the events up included.
    pub memory: u64,
}

/// Measures all views.
pub fn measure(size: Size, extent: Extent) -> Report {
    let mut bench = Bench::new(size, extent);
    let started = Instant::now();
    bench.app = App::new(Options::default());
    bench.frame(bench.crowd.now());
    let first_frame = started.elapsed();
    let beginning = encoded(&bench.crowd.beginning());
    let count = beginning.len();
    let started = Instant::now();
    for event in &beginning {
        bench.event(event);
    }
    bench.frame(bench.crowd.now());
    let caught_up = (started.elapsed(), count);
    drop(beginning);
    let mut views = Vec::new();
    for view in View::ALL {
        let build = bench.crowd.a_build();
        bench.app.open(view, build, bench.crowd.now());
        views.push(bench.run(view.name(), Busy::Yes));
    }
    bench.app.open(View::Overview, None, bench.crowd.now());
    bench.finish();
    views.push(bench.run("idle", Busy::No));
    Report { first_frame, caught_up, views, memory: most_memory() }
}

/// A picture of a view, in a theme, after some seconds; of the overview and in the dark theme where there is no such.
pub fn picture(size: Size, (view, theme): (&str, &str), extent: Extent) -> String {
    let mut crowd = Crowd::new(size);
    let mut app = App::new(Options { theme: ThemeName::named(theme), ..Options::default() });
    for event in crowd.beginning() {
        app.event(&event);
    }
    for _ in 0..extent.seconds.saturating_mul(size.rate) {
        app.event(&crowd.next_event());
    }
    let now = crowd.now();
    app.open(View::named(view).unwrap_or_default(), crowd.a_build(), now);
    let _effects = app.tick(now);
    let frame = app.draw(area(extent.columns, extent.rows), now);
    let light = Paper { front: (0x1f, 0x23, 0x28), back: (0xff, 0xff, 0xff), ..Paper::default() };
    export::svg(&frame, &if theme == ThemeName::Light.name() { light } else { Paper::default() })
}

/// Whether builds run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Busy {
    Yes,
    /// Machines tell what they use, and nothing else happens.
    No,
}

struct Bench {
    crowd: Crowd,
    app: App,
    painter: Painter,
    size: Size,
    extent: Extent,
}

impl Bench {
    fn new(size: Size, extent: Extent) -> Self {
        let app = App::new(Options::default());
        Self { crowd: Crowd::new(size), app, painter: Painter::default(), size, extent }
    }

    fn run(&mut self, name: &str, busy: Busy) -> Figures {
        let (mut events, mut frames) = (0, 0);
        let (mut of_events, mut of_frames, mut worst) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for turn in 0..self.extent.seconds * FRAMES {
            let batch = encoded(&self.batch(busy, turn));
            events += batch.len() as u64;
            let before = cpu();
            for event in &batch {
                self.event(event);
            }
            let between = cpu();
            of_events += between.saturating_sub(before);
            let now = self.crowd.now();
            let _effects = self.app.tick(now);
            if self.app.wants_frame(now) {
                self.frame(now);
                frames += 1;
            }
            let took = cpu().saturating_sub(between);
            of_frames += took;
            worst = worst.max(took);
        }
        let whole = (of_events + of_frames).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "seconds are few")]
        let share = whole / self.extent.seconds.max(1) as f64;
        let each = |sum: Duration, count: u64| sum / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        Figures {
            name: name.to_owned(),
            share,
            frames,
            frame: (each(of_frames, frames), worst),
            events,
            event: each(of_events, events),
        }
    }

    /// What happens between two frames.
    fn batch(&mut self, busy: Busy, turn: u64) -> Vec<FarmRecorded> {
        let nanos = i64::try_from(1_000_000_000 / FRAMES).unwrap_or(1);
        if busy == Busy::No {
            self.crowd.wait(nanos);
            // Each machine tells every five seconds.
            let samples = (turn + 1) * self.size.workers as u64 / (5 * FRAMES)
                - turn * self.size.workers as u64 / (5 * FRAMES);
            return (0..samples).map(|_| self.crowd.sample()).collect();
        }
        let end = self.crowd.now() + nanos;
        let mut batch = Vec::new();
        while self.crowd.now() < end {
            batch.push(self.crowd.next_event());
        }
        batch
    }

    /// Builds end; nothing runs any more.
    fn finish(&mut self) {
        use farm_model::event::{Ending, FarmEvent};
        use farm_model::{BuildEvent, Recorded};
        let time = self.crowd.now();
        let open = self.app.farm().builds().iter().filter(|(_, build)| !build.is_over());
        let open: Vec<_> = open.map(|(id, build)| (*id, build.at())).collect();
        for (build, at) in open {
            let recorded = Recorded { at, event: BuildEvent::Ended(Ending::Cancelled) };
            self.app.event(&FarmRecorded { time, event: FarmEvent::Build { build, sequence: 0, recorded } });
        }
        self.crowd.wait(10_000_000_000);
        let _effects = self.app.tick(self.crowd.now());
        self.frame(self.crowd.now());
    }

    fn event(&mut self, bytes: &[u8]) {
        if let Ok(Next::Event(event, _)) = recording::next(bytes) {
            self.app.event(&event);
        }
    }

    fn frame(&mut self, now: i64) {
        let area = area(self.extent.columns, self.extent.rows);
        let frame = self.app.draw(area, now);
        // Writing into memory does not fail.
        let _bytes = self.painter.paint(frame);
    }
}

fn encoded(events: &[FarmRecorded]) -> Vec<Vec<u8>> {
    events.iter().map(recording::frame).collect()
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The high-water mark of the resident set, in bytes; nothing where the kernel does not tell.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib =
        line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
