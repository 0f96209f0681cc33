//! Progress on a terminal: the plain log scrolls by, and below it a few live rows say what goes on.
//!
//! A thread of its own draws, so that times move on while nothing happens, and so that a slow terminal does not hold the
//! build's events up for longer than it takes to write them.

use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use farm_model::Recorded;
use farm_tui::view::Progress;
use farm_tui::{Build, Inline};

use super::Plain;

/// How often the live rows are drawn.
const FRAME: Duration = Duration::from_millis(80);
/// Events that may wait to be drawn.
const EVENTS: usize = 4096;
/// Live rows at most, and what part of the terminal they may take.
const MOST_ROWS: usize = 12;
const PART: u16 = 2;
/// What a terminal has that does not say how large it is.
const SIZE: (u16, u16) = (80, 24);

/// The drawing thread.
#[derive(Debug)]
pub(super) struct Tty {
    events: mpsc::SyncSender<Recorded>,
    thread: JoinHandle<()>,
}

impl Tty {
    pub(super) fn start() -> Self {
        let (events, received) = mpsc::sync_channel(EVENTS);
        let thread = std::thread::spawn(move || Screen::new().run(&received));
        Self { events, thread }
    }

    pub(super) fn event(&self, recorded: &Recorded) {
        // A drawing thread that is gone shows nothing more; the build goes on.
        let _gone = self.events.send(recorded.clone());
    }

    pub(super) fn finish(self) {
        drop(self.events);
        // What it could not draw is lost to the terminal only.
        let _panicked = self.thread.join();
    }
}

struct Screen {
    plain: Plain,
    state: Build,
    inline: Inline,
    /// When the build began, by our own clock.
    began: Instant,
    log: String,
}

impl Screen {
    fn new() -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            plain: Plain::default(),
            state: Build::default(),
            inline: Inline::new(colour),
            began: Instant::now(),
            log: String::new(),
        }
    }

    fn run(mut self, events: &mpsc::Receiver<Recorded>) {
        let mut drawn = Instant::now();
        loop {
            match events.recv_timeout(FRAME.saturating_sub(drawn.elapsed())) {
                Ok(recorded) => {
                    self.take(&recorded);
                    if drawn.elapsed() < FRAME {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.draw(true);
            drawn = Instant::now();
        }
        self.draw(false);
    }

    fn take(&mut self, recorded: &Recorded) {
        // Clocks of other machines play no part: the event's own offset says when the build began.
        let at = Duration::from_micros(recorded.at);
        self.began = self.began.min(Instant::now().checked_sub(at).unwrap_or(self.began));
        self.state.apply(recorded);
        self.log.push_str(&self.plain.render(&recorded.event));
    }

    fn draw(&mut self, live: bool) {
        let (columns, rows) = rustix::termios::tcgetwinsize(std::io::stderr())
            .map_or(SIZE, |size| if size.ws_col == 0 { SIZE } else { (size.ws_col, size.ws_row) });
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let widget = Progress { build: &self.state, now };
        let most = MOST_ROWS.min(usize::from((rows / PART).max(1)));
        let height = u16::try_from(widget.rows().min(most)).unwrap_or(1);
        let frame = live.then(|| farm_tui::draw(widget, columns, height));
        let text = self.inline.frame(&self.log, frame.as_ref());
        self.log.clear();
        let mut stderr = std::io::stderr().lock();
        // A closed terminal is no reason to stop a build.
        let _closed = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}
