//! The terminal of the console: taken over at the start, given back whatever happens.

use std::io::{self, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event,
};
use crossterm::terminal::{self, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute};
use tokio::sync::mpsc;

/// Input that may wait to be looked at.
const INPUT: usize = 1024;
/// How often the thread that reads input looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Whether the terminal is taken over at the moment.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal in raw mode that shows its alternate screen. Dropping it, and a panic anywhere, give it back.
#[derive(Debug)]
pub(super) struct Terminal {
    mouse: Mouse,
}

/// Whether clicks are taken; a terminal that keeps them lets its user select text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mouse {
    Taken,
    Left,
}

impl Terminal {
    pub(super) fn take(mouse: Mouse) -> io::Result<Self> {
        give_back_on_panic();
        let terminal = Self { mouse };
        terminal.enter()?;
        Ok(terminal)
    }

    /// Shows the full screen.
    pub(super) fn enter(&self) -> io::Result<()> {
        TAKEN.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode()?;
        let mut out = io::stdout();
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        if self.mouse == Mouse::Taken {
            execute!(out, EnableMouseCapture)?;
        }
        Ok(())
    }

    /// Shows the normal screen again, with all that was on it.
    pub(super) fn leave() {
        give_back();
    }

    /// Columns and rows.
    pub(super) fn size() -> (u16, u16) {
        terminal::size().unwrap_or((80, 24))
    }

    /// Writes bytes at once.
    pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, once.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // A terminal that is gone needs nothing back.
    let _gone = execute!(out, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _gone = terminal::disable_raw_mode();
}

/// Has a panic print on the normal screen, where it stays.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

/// What is typed, clicked and resized. A thread of its own reads it, until nobody listens.
pub(super) fn input() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(INPUT);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(LOOK) {
                Ok(false) => {}
                Ok(true) => {
                    let Ok(input) = event::read() else { return };
                    if sender.blocking_send(input).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    receiver
}
