//! The lines that the steps of a build wrote, fit to be shown, searched and scrolled.

use std::collections::{BTreeMap, VecDeque};

use farm_model::event::Stream;
use farm_model::{BuildEvent, Recorded, StepId};

use super::text::harmless_bytes;

/// Bytes of a line that are kept; what goes beyond is counted.
const LONGEST_LINE: usize = 16 << 10;
/// Bytes of lines that are kept; then the oldest go.
const MOST_BYTES: usize = 64 << 20;
/// What a line takes beside its text.
const OVERHEAD: usize = 64;

/// A line of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// Microseconds since the build's start at its first byte.
    pub at: u64,
    /// The step; none for a word of farm itself.
    pub step: Option<StepId>,
    /// Which stream.
    pub stream: Stream,
    /// The text, without what a terminal would act on.
    pub text: String,
    /// Bytes of the line that were left out at its end.
    pub cut: usize,
}

/// The log of a build.
#[derive(Clone, Debug)]
pub struct Log {
    /// Bytes of lines that are kept.
    most: usize,
    lines: VecDeque<LogLine>,
    /// How many lines went because there were too many.
    dropped: u64,
    bytes: usize,
    open: BTreeMap<(StepId, u8), Open>,
}

/// A line whose end has not come.
#[derive(Clone, Debug)]
struct Open {
    at: u64,
    bytes: Vec<u8>,
    cut: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self::bounded(MOST_BYTES)
    }
}

impl Log {
    /// A log of which the last lines are kept, as many as take so many bytes.
    pub fn bounded(most: usize) -> Self {
        Self { most, lines: VecDeque::new(), dropped: 0, bytes: 0, open: BTreeMap::new() }
    }

    /// Takes the next event of the build; most say nothing to a log.
    pub fn apply(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            BuildEvent::Logged { step, stream, bytes } => self.logged(at, *step, *stream, bytes),
            BuildEvent::Warned { message } => self.say(at, None, &format!("warning: {message}")),
            BuildEvent::Retried { step, reason } => {
                self.say(at, Some(*step), &format!("starts over: {reason}"));
            }
            BuildEvent::Failed { step, exit } => {
                self.flush(*step);
                self.say(at, Some(*step), &format!("failed: {exit}"));
            }
            BuildEvent::Finished { step, .. } => self.flush(*step),
            BuildEvent::Ended(_) => self.flush_all(),
            BuildEvent::Requested(_)
            | BuildEvent::Resumed { .. }
            | BuildEvent::Planned { .. }
            | BuildEvent::ContextScanned { .. }
            | BuildEvent::ContextTaken { .. }
            | BuildEvent::ImageResolved { .. }
            | BuildEvent::LayerPulled { .. }
            | BuildEvent::Missed { .. }
            | BuildEvent::Queued { .. }
            | BuildEvent::Shared { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Started { .. }
            | BuildEvent::Cached { .. }
            | BuildEvent::Completed { .. }
            | BuildEvent::Exported { .. } => {}
        }
    }

    /// The lines that are kept, in the order in which they ended.
    pub fn lines(&self) -> &VecDeque<LogLine> {
        &self.lines
    }

    /// The number of the first line that is kept, from 0: how many went before it.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Lines of steps whose end has not come, as far as they are known.
    pub fn open(&self) -> impl Iterator<Item = (StepId, String)> {
        self.open.iter().map(|((step, _), open)| (*step, harmless_bytes(&open.bytes)))
    }

    fn logged(&mut self, at: u64, step: StepId, stream: Stream, bytes: &[u8]) {
        let key = (step, u8::from(stream == Stream::Stderr));
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = self.open.entry(key).or_insert(Open { at, bytes: Vec::new(), cut: 0 });
            let room = LONGEST_LINE.saturating_sub(line.bytes.len()).min(piece.len());
            line.bytes.extend_from_slice(&piece[..room]);
            line.cut = line.cut.saturating_add(piece.len() - room);
            if piece.ends_with(b"\n") {
                self.close(key);
            }
        }
    }

    fn close(&mut self, key: (StepId, u8)) {
        let Some(open) = self.open.remove(&key) else { return };
        let bytes = open.bytes.trim_ascii_end();
        // A carriage return begins the line anew: the last state of a progress bar is its line.
        let text = bytes.rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
        let stream = if key.1 == 0 { Stream::Stdout } else { Stream::Stderr };
        let (at, cut) = (open.at, open.cut.saturating_sub(1));
        self.push(LogLine { at, step: Some(key.0), stream, text: plain(text), cut });
    }

    fn say(&mut self, at: u64, step: Option<StepId>, text: &str) {
        for text in text.lines() {
            let text = harmless_bytes(text.as_bytes());
            self.push(LogLine { at, step, stream: Stream::Stderr, text, cut: 0 });
        }
    }

    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len() + OVERHEAD;
        self.lines.push_back(line);
        while self.bytes > self.most
            && let Some(line) = self.lines.pop_front()
        {
            self.bytes -= line.text.len() + OVERHEAD;
            self.dropped += 1;
        }
    }

    fn flush(&mut self, step: StepId) {
        self.close((step, 0));
        self.close((step, 1));
    }

    fn flush_all(&mut self) {
        while let Some(key) = self.open.keys().next().copied() {
            self.close(key);
        }
    }
}

/// The text of a line without the sequences that colour it.
fn plain(bytes: &[u8]) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(escape) = rest.iter().position(|byte| *byte == 0x1b) {
        out.extend_from_slice(&rest[..escape]);
        rest = after_escape(&rest[escape + 1..]);
    }
    out.extend_from_slice(rest);
    let tabs: Vec<u8> = out
        .iter()
        .flat_map(|byte| if *byte == b'\t' { &b"    "[..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect();
    harmless_bytes(&tabs)
}

/// What follows an escape sequence (ECMA-48: CSI, or a string such as OSC, or two bytes), whose escape is gone already.
fn after_escape(bytes: &[u8]) -> &[u8] {
    match bytes.split_first() {
        Some((b'[', rest)) => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte));
            end.map_or(&[], |end| &rest[end + 1..])
        }
        Some((b']' | b'P' | b'X' | b'^' | b'_', rest)) => {
            let end = rest.iter().position(|byte| matches!(byte, 0x07 | 0x1b));
            end.map_or(&[], |end| {
                if rest[end] == 0x1b { rest.get(end + 2..).unwrap_or_default() } else { &rest[end + 1..] }
            })
        }
        Some((_, rest)) => rest,
        None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use farm_model::StageId;

    use super::*;

    const STEP: StepId = StepId { stage: StageId(0), index: 0 };

    fn logged(log: &mut Log, bytes: &[u8]) {
        log.apply(&Recorded {
            at: 2,
            event: BuildEvent::Logged { step: STEP, stream: Stream::Stdout, bytes: bytes.to_vec() },
        });
    }

    fn texts(log: &Log) -> Vec<&str> {
        log.lines().iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_put_together_and_colours_are_gone() {
        let mut log = Log::default();
        logged(&mut log, b"a\x1b[1;31mred\x1b[0m\nb\x1b]0;title\x07c\ntail");
        assert_eq!(texts(&log), ["ared", "bc"]);
        log.apply(&Recorded {
            at: 3,
            event: BuildEvent::Failed { step: STEP, exit: farm_model::Exit::Code(2) },
        });
        assert_eq!(texts(&log)[2..], ["tail", "failed: exit code: 2"]);
    }

    #[test]
    fn a_progress_bar_is_its_last_state() {
        let mut log = Log::default();
        logged(&mut log, b"10%\r50%\r100%\r\n");
        assert_eq!(texts(&log), ["100%"]);
    }

    #[test]
    fn ten_megabytes_without_an_end_are_cut_and_counted() {
        let mut log = Log::default();
        for _ in 0..1000 {
            logged(&mut log, &[b'x'; 10_000]);
        }
        logged(&mut log, b"\n");
        let line = &log.lines()[0];
        assert_eq!((line.text.len(), line.cut), (LONGEST_LINE, 10_000_000 - LONGEST_LINE));
    }

    #[test]
    fn sequences_that_are_cut_or_mad_end_the_line_at_worst() {
        for bytes in [&b"\x1b\n"[..], b"\x1b[\n", b"\x1b]x\x1b\n", b"\x1b[31\n", b"\xff\xfe\x1bP\x1b\\ok\n"] {
            logged(&mut Log::default(), bytes);
        }
    }
}
