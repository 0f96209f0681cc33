//! A log on the normal screen: ordinary text that a terminal can select, search and scroll. It goes on until a key is pressed.

use std::io::{self, Write as _};

use crossterm::event::{Event, KeyEventKind};
use crossterm::terminal;
use farm_model::{BuildEvent, BuildId, Recorded, StepId};
use farm_tui::app::Answer;
use tokio::sync::mpsc;

use super::live::Live;
use crate::progress::Plain;

/// What is said below the log.
const WAY_BACK: &str = "-- any key: back to the console --";

/// Writes the log of a build, or of one step, from its first line on.
pub(super) async fn show(
    live: &Live,
    build: BuildId,
    step: Option<StepId>,
    input: &mut mpsc::Receiver<Event>,
) -> io::Result<()> {
    terminal::enable_raw_mode()?;
    let mut text = Text { plain: Plain::default(), step };
    let (mut log, _reading) = live.log(build);
    write(&format!("{WAY_BACK}\n"))?;
    loop {
        tokio::select! {
            typed = input.recv() => match typed {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => break,
                Some(_) => {}
                None => break,
            },
            heard = log.recv() => match heard {
                Some(Answer::Log { recorded, .. }) => write(&text.of(&recorded))?,
                Some(_) => {}
                // It is over, and stays until it was read.
                None => {
                    write(&format!("{WAY_BACK}\n"))?;
                    while let Some(typed) = input.recv().await {
                        if matches!(typed, Event::Key(key) if key.kind != KeyEventKind::Release) {
                            break;
                        }
                    }
                    break;
                }
            },
        }
    }
    Ok(())
}

/// What a log looks like as text.
struct Text {
    plain: Plain,
    step: Option<StepId>,
}

impl Text {
    fn of(&mut self, recorded: &Recorded) -> String {
        // The plan gives the steps their numbers; what it prints is not asked for.
        let text = self.plain.render(&recorded.event);
        match (self.step, &recorded.event) {
            (None, _) => text,
            (Some(wanted), BuildEvent::Logged { step, .. }) if *step == wanted => text,
            (Some(_), _) => String::new(),
        }
    }
}

/// Writes lines to a terminal in raw mode, which does not go to the start of a line by itself.
fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.replace('\n', "\r\n").as_bytes())?;
    out.flush()
}
