//! The loop of the console: what happens, what is typed and what time it is go in, frames and effects come out.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossterm::event::Event;
use farm_client::Heard;
use farm_tui::app::{Answer, App, Effect};
use farm_tui::{Painter, area, export};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::live::{Live, Told};
use super::player::{Player, Turned};
use super::stream;
use super::tape::Recorder;
use super::terminal::{self, Terminal};
use crate::failure::Failure;
use crate::interrupt::Interrupts;

/// Frames are drawn no more often than this.
const FRAME: Duration = Duration::from_millis(33);
/// How often a recording is asked for what is due, and how often what was recorded reaches its file.
const PLAY: Duration = Duration::from_millis(33);
const FLUSH: Duration = Duration::from_secs(1);
/// Events of a recording that are taken before input is looked at again.
pub(super) const HANDFUL: usize = 20_000;
/// Batches that are taken before a frame is drawn.
const MOST_BATCHES: usize = 64;
const MOST_ANSWERS: usize = 4096;

/// Where events come from.
pub(super) enum Source {
    Live { live: Live, told: Told, recorder: Option<Recorder> },
    Played(Player),
}

/// The console of one terminal.
pub(super) struct Console {
    pub(super) app: App,
    pub(super) source: Source,
    pub(super) terminal: Terminal,
    /// Where settings are remembered.
    pub(super) settings: Option<PathBuf>,
    pub(super) pictures: u32,
}

/// What ends the loop.
enum Next {
    GoOn,
    Quit,
}

/// What woke the loop.
enum Woken {
    Input(Option<Event>),
    Heard(Vec<Heard>),
    Answered(Vec<Answer>),
    Time,
    Signal,
}

impl Console {
    /// Runs until somebody ends it.
    pub(super) async fn run(mut self, mut interrupts: Interrupts) -> Result<(), Failure> {
        if let Source::Played(player) = &self.source
            && player.is_cut()
        {
            self.app.tell("the recording was cut short: it ends within an event", self.now());
        }
        let mut input = terminal::input();
        let mut painter = Painter::default();
        let (mut drawn, mut flushed) = (None::<Instant>, Instant::now());
        loop {
            let due = drawn.map_or_else(Instant::now, |drawn: Instant| drawn + FRAME);
            let wants = self.app.wants_frame(self.now());
            if wants && due <= Instant::now() {
                self.draw(&mut painter)?;
                drawn = Some(Instant::now());
            }
            let wake = self.wake(wants && drawn.is_some(), due);
            let woken = tokio::select! {
                typed = input.recv() => Woken::Input(typed),
                woken = self.source.hear() => woken,
                () = sleep_until(wake.into()) => Woken::Time,
                () = interrupts.requested() => Woken::Signal,
            };
            let effects = match woken {
                Woken::Input(None) | Woken::Signal => break,
                Woken::Input(Some(event)) => {
                    if matches!(event, Event::Resize(..)) {
                        painter.forget();
                    }
                    self.app.input(&event, self.now())
                }
                Woken::Heard(heard) => {
                    heard.iter().try_for_each(|heard| self.heard(heard))?;
                    Vec::new()
                }
                Woken::Answered(answers) => {
                    let now = self.now();
                    answers.iter().flat_map(|answer| self.app.answer(answer, now)).collect()
                }
                Woken::Time => Vec::new(),
            };
            self.play()?;
            let timely = self.app.tick(self.now());
            for effect in effects.into_iter().chain(timely) {
                if let Next::Quit = self.perform(effect, &mut input, &mut painter).await? {
                    return self.source.flush();
                }
            }
            if flushed.elapsed() > FLUSH {
                self.source.flush()?;
                flushed = Instant::now();
            }
        }
        self.source.flush()
    }

    /// Nanoseconds since the Unix epoch: the clock's, or those of the recording.
    fn now(&self) -> i64 {
        match &self.source {
            Source::Live { .. } => clock(),
            Source::Played(player) => player.position().at,
        }
    }

    /// When the loop has to look again although nothing happens.
    fn wake(&self, is_due: bool, due: Instant) -> Instant {
        let idle = Instant::now() + FLUSH;
        match &self.source {
            _ if is_due => due,
            Source::Played(player) if player.is_running() => Instant::now() + PLAY,
            Source::Live { .. } | Source::Played(_) => idle,
        }
    }

    fn draw(&mut self, painter: &mut Painter) -> Result<(), Failure> {
        let (columns, rows) = Terminal::size();
        let frame = self.app.draw(area(columns, rows), self.now());
        let bytes = painter.paint(frame).map_err(no_terminal)?;
        Terminal::write(&bytes).map_err(no_terminal)
    }

    fn heard(&mut self, heard: &Heard) -> Result<(), Failure> {
        match heard {
            Heard::Events(events) => {
                for event in events {
                    if let Source::Live { recorder: Some(recorder), .. } = &mut self.source {
                        recorder.write(event).map_err(not_recorded)?;
                    }
                    self.app.event(event);
                }
            }
            Heard::Lost { error } => self.app.lost(clock(), error),
        }
        Ok(())
    }

    /// Lets a recording go on.
    fn play(&mut self) -> Result<(), Failure> {
        let Source::Played(player) = &mut self.source else { return Ok(()) };
        player.advance(Instant::now());
        let due = player
            .due(HANDFUL)
            .map_err(|error| Failure::environment(format!("cannot read the recording: {error}")))?;
        for event in &due {
            self.app.event(event);
        }
        let position = player.position();
        if position.at >= position.last && due.len() < HANDFUL {
            self.app.over();
        }
        self.app.played(position);
        Ok(())
    }

    async fn perform(
        &mut self,
        effect: Effect,
        input: &mut mpsc::Receiver<Event>,
        painter: &mut Painter,
    ) -> Result<Next, Failure> {
        match effect {
            Effect::Quit => return Ok(Next::Quit),
            Effect::Copy(text) => Terminal::write(osc_52(&text).as_bytes()).map_err(no_terminal)?,
            Effect::Stream { build, step } => {
                if let Source::Live { live, .. } = &self.source {
                    Terminal::leave();
                    stream::show(live, build, step, input).await.map_err(no_terminal)?;
                    self.terminal.enter().map_err(no_terminal)?;
                    painter.forget();
                }
            }
            Effect::Play(order) => self.turn(order)?,
            Effect::Picture => self.picture(),
            Effect::Remember(text) => self.remember(&text),
            Effect::Follow(_) | Effect::Unfollow(_) | Effect::Ask(_) | Effect::Act(_) => {
                // A recording answers nothing and obeys nobody.
                if let Source::Live { live, .. } = &mut self.source {
                    live.perform(effect);
                }
            }
        }
        Ok(Next::GoOn)
    }

    fn turn(&mut self, order: farm_tui::app::Playback) -> Result<(), Failure> {
        let Source::Played(player) = &mut self.source else { return Ok(()) };
        let turned = player.obey(order, Instant::now());
        match turned.map_err(|error| Failure::environment(format!("cannot read the recording: {error}")))? {
            Turned::Onward => {}
            Turned::Back => self.app.rewind(),
        }
        Ok(())
    }

    /// Writes what is on the screen to where the console was started.
    fn picture(&mut self) {
        let (columns, rows) = Terminal::size();
        let now = self.now();
        let frame = self.app.draw(area(columns, rows), now);
        self.pictures += 1;
        let path = format!("farm-top-{}-{}.svg", std::process::id(), self.pictures);
        let word = match std::fs::write(&path, export::svg(&frame, &export::Paper::default())) {
            Ok(()) => format!("wrote {path}"),
            Err(error) => format!("cannot write {path}: {error}"),
        };
        self.app.tell(&word, now);
    }

    fn remember(&self, text: &str) {
        if let Some(path) = &self.settings {
            // A console that cannot remember is still one.
            let _lost = path.parent().map(std::fs::create_dir_all);
            let _lost = std::fs::write(path, text);
        }
    }
}

impl Source {
    /// What has come, as soon as something has.
    async fn hear(&mut self) -> Woken {
        let Self::Live { told, .. } = self else { return std::future::pending().await };
        let (mut heard, mut answers) = (Vec::new(), Vec::new());
        tokio::select! {
            count = told.events.recv_many(&mut heard, MOST_BATCHES) => if count > 0 { return Woken::Heard(heard) },
            count = told.answers.recv_many(&mut answers, MOST_ANSWERS) => if count > 0 { return Woken::Answered(answers) },
        }
        std::future::pending().await
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Self::Live { recorder: Some(recorder), .. } => recorder.flush().map_err(not_recorded),
            Self::Live { .. } | Self::Played(_) => Ok(()),
        }
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Puts a text into the clipboard of a terminal that allows it.
fn osc_52(text: &str) -> String {
    use base64::Engine as _;
    format!("\x1b]52;c;{}\x07", base64::engine::general_purpose::STANDARD.encode(text))
}

#[expect(clippy::needless_pass_by_value, reason = "it takes what `map_err` gives")]
fn no_terminal(error: io::Error) -> Failure {
    Failure::environment(format!("the terminal cannot be written: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "it takes what `map_err` gives")]
fn not_recorded(error: io::Error) -> Failure {
    Failure::environment(format!("cannot write the recording: {error}"))
}
