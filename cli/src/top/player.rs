//! Plays a recording: gives the events that are due, at any speed, from any point on.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use farm_model::event::FarmRecorded;
use farm_tui::app::effect::Landmark;
use farm_tui::app::{Playback, Position};

use super::tape::Tape;

/// The slowest and the fastest speed.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.25..=64.0;

/// A recording and the point in it that has been reached.
#[derive(Debug)]
pub(super) struct Player {
    tape: Tape,
    /// The point up to which it is to be played, in nanoseconds since the Unix epoch.
    at: i64,
    /// When `at` was true.
    since: Instant,
    speed: f64,
    is_paused: bool,
    /// Events that were read to find out where something is, and are due.
    read: VecDeque<FarmRecorded>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turned {
    /// It goes on from what is shown.
    Onward,
    /// It begins anew: everything that is shown has to be forgotten.
    Back,
}

impl Player {
    pub(super) fn new(tape: Tape, now: Instant) -> Self {
        let at = tape.span().0;
        Self { tape, at, since: now, speed: 1.0, is_paused: false, read: VecDeque::new() }
    }

    /// The point that has been reached, and whether it stands still there.
    pub(super) fn position(&self) -> Position {
        let (first, last) = self.tape.span();
        Position { first, last, at: self.at, speed: self.speed, is_paused: self.is_paused }
    }

    /// Whether it was cut short.
    pub(super) fn is_cut(&self) -> bool {
        self.tape.is_cut
    }

    /// Lets time pass up to `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64() * 1e9 * self.speed;
        self.since = now;
        if !self.is_paused {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a float that is too large becomes the largest"
            )]
            let passed = passed as i64;
            self.at = self.at.saturating_add(passed).min(self.tape.span().1);
        }
    }

    /// Everything is due.
    pub(super) fn go_to_end(&mut self) {
        self.at = self.tape.span().1;
        self.is_paused = true;
    }

    /// Whether time brings it on.
    pub(super) fn is_running(&self) -> bool {
        !self.is_paused && self.at < self.tape.span().1
    }

    /// At most `most` of the events that are due.
    pub(super) fn due(&mut self, most: usize) -> io::Result<Vec<FarmRecorded>> {
        let mut due: Vec<_> = self.read.drain(..most.min(self.read.len())).collect();
        while due.len() < most
            && let Some(event) = self.tape.next(self.at)?
        {
            due.push(event);
        }
        Ok(due)
    }

    /// Goes to the next event of a kind and stands still there; to the end where there is none.
    fn go_to_next(&mut self, landmark: Landmark) -> io::Result<()> {
        let from = self.at;
        self.at = self.tape.span().1;
        while let Some(event) = self.tape.next(i64::MAX)? {
            let is_it = event.time > from && landmark.is(&event.event);
            let time = event.time;
            self.read.push_back(event);
            if is_it {
                self.at = time;
                break;
            }
        }
        self.is_paused = true;
        Ok(())
    }

    /// Does what the console asks for.
    pub(super) fn obey(&mut self, order: Playback, now: Instant) -> io::Result<Turned> {
        self.advance(now);
        let (first, last) = self.tape.span();
        let to = match order {
            Playback::Pause => {
                self.is_paused = !self.is_paused;
                return Ok(Turned::Onward);
            }
            Playback::Speed(speed) => {
                self.speed =
                    if speed.is_finite() { speed.clamp(*SPEEDS.start(), *SPEEDS.end()) } else { 1.0 };
                return Ok(Turned::Onward);
            }
            Playback::Seek(part) => {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    reason = "a point for the eye"
                )]
                let offset = (last.saturating_sub(first) as f64 * part.clamp(0.0, 1.0)) as i64;
                first.saturating_add(offset)
            }
            Playback::Next(landmark) => {
                self.go_to_next(landmark)?;
                return Ok(Turned::Onward);
            }
            Playback::Skip(seconds) => self.at.saturating_add(seconds.saturating_mul(1_000_000_000)),
        };
        let to = to.clamp(first, last);
        let turned = if to < self.at { Turned::Back } else { Turned::Onward };
        self.at = to;
        if turned == Turned::Back {
            self.tape.rewind()?;
            self.read.clear();
        }
        Ok(turned)
    }
}
