//! Plain progress: a line for each event and each log line, prefixed with the number of its step.
//!
//! A fold over [`BuildEvent`]s that appends text; it never looks at a clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use farm_model::event::StageSize;
use farm_model::{BuildEvent, StepId, decimal_size as size};

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    steps: BTreeMap<StepId, Shown>,
    next: usize,
}

#[derive(Debug, Default)]
struct Shown {
    title: String,
    /// Number in front of its lines; given when it is first mentioned.
    number: Option<usize>,
    /// The last line of the log, while it has no end yet.
    partial: Vec<u8>,
}

/// The worker of a daemon: naming it would say nothing.
const OWN_WORKER: &str = "local";

/// A log line longer than this is shown in pieces.
const LONGEST_LINE: usize = 64 << 10;

impl Plain {
    /// The text that `event` adds.
    pub(crate) fn render(&mut self, event: &BuildEvent) -> String {
        let mut out = String::new();
        match event {
            BuildEvent::Planned { steps } => {
                let mut totals: BTreeMap<_, (usize, usize)> = BTreeMap::new();
                for step in steps {
                    totals.entry(step.id.stage).or_default().1 += 1;
                }
                for step in steps {
                    let (position, total) = totals.entry(step.id.stage).or_default();
                    *position += 1;
                    let title = format!("[{} {position}/{total}] {}", step.stage, first_line(&step.name));
                    // A build that is taken up again plans again; what was shown keeps its number.
                    self.steps.entry(step.id).or_default().title = title;
                }
            }
            BuildEvent::ImageResolved { name, digest, micros } => {
                let number = self.number();
                line(&mut out, number, &format!("[resolve] {name}@{digest} {}", seconds(*micros)));
            }
            BuildEvent::LayerPulled { image, bytes, micros } => {
                let number = self.number();
                line(
                    &mut out,
                    number,
                    &format!("[pull] {image}: layer of {} {}", size(*bytes), seconds(*micros)),
                );
            }
            BuildEvent::ContextScanned { context, files, bytes, micros } => {
                let number = self.number();
                let what = format!("[{context}] {files} files, {} {}", size(*bytes), seconds(*micros));
                line(&mut out, number, &what);
            }
            BuildEvent::ContextTaken { context, bytes, micros } => {
                let number = self.number();
                line(&mut out, number, &format!("[{context}] took {} {}", size(*bytes), seconds(*micros)));
            }
            BuildEvent::Resumed { .. } => out.push_str("the build goes on\n"),
            BuildEvent::Started { step, worker } => {
                self.title(&mut out, *step);
                if let Some(worker) = worker.as_ref().filter(|worker| worker.0 != OWN_WORKER) {
                    self.line(&mut out, *step, &format!("on {worker}"));
                }
            }
            BuildEvent::Shared { step, build } => {
                self.line(&mut out, *step, &format!("SHARED with build {build}"));
            }
            BuildEvent::Retried { step, reason } => {
                self.line(&mut out, *step, &format!("AGAIN: {}", first_line(reason)));
            }
            BuildEvent::Exported { output, bytes, micros, .. } => {
                let number = self.number();
                let what = format!("[export] {} {} {}", first_line(output), size(*bytes), seconds(*micros));
                line(&mut out, number, &what);
            }
            BuildEvent::Requested(_)
            | BuildEvent::Missed { .. }
            | BuildEvent::Queued { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Ended(_) => {}
            BuildEvent::Cached { step, .. } => {
                self.title(&mut out, *step);
                self.line(&mut out, *step, "CACHED");
            }
            BuildEvent::Logged { step, bytes, .. } => self.log(&mut out, *step, bytes),
            BuildEvent::Finished { step, micros, usage, bytes } => {
                self.flush(&mut out, *step);
                let mut done = format!("DONE {}", seconds(*micros));
                if *bytes > 0 {
                    let _infallible = write!(done, ", {}", size(*bytes));
                }
                if usage.wall_micros > 0 {
                    // The rest of the time is what making and keeping a layer took.
                    let _infallible = write!(done, ", command {}", seconds(usage.wall_micros));
                }
                self.line(&mut out, *step, &done);
            }
            BuildEvent::Failed { step, exit } => {
                self.flush(&mut out, *step);
                self.line(&mut out, *step, &format!("ERROR {exit}"));
            }
            BuildEvent::Warned { message } => {
                message.lines().for_each(|text| {
                    let _infallible = writeln!(out, "warning: {}", printable(text.as_bytes()));
                });
            }
            BuildEvent::Completed { stages, image_bytes, discarded_bytes } => {
                summary(&mut out, stages, *image_bytes, *discarded_bytes);
            }
        }
        out
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn title(&mut self, out: &mut String, step: StepId) {
        let next = self.next + 1;
        let Some(shown) = self.steps.get_mut(&step) else { return };
        if shown.number.is_none() {
            shown.number = Some(next);
            self.next = next;
            line(out, next, &shown.title);
        }
    }

    fn line(&mut self, out: &mut String, step: StepId, text: &str) {
        self.title(out, step);
        if let Some(number) = self.steps.get(&step).and_then(|shown| shown.number) {
            line(out, number, text);
        }
    }

    fn log(&mut self, out: &mut String, step: StepId, bytes: &[u8]) {
        self.title(out, step);
        let Some(shown) = self.steps.get_mut(&step) else { return };
        let Some(number) = shown.number else { return };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            shown.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || shown.partial.len() >= LONGEST_LINE {
                line(out, number, &printable(shown.partial.trim_ascii_end()));
                shown.partial.clear();
            }
        }
    }

    fn flush(&mut self, out: &mut String, step: StepId) {
        let Some(shown) = self.steps.get_mut(&step) else { return };
        if let (Some(number), false) = (shown.number, shown.partial.is_empty()) {
            line(out, number, &printable(&shown.partial));
            shown.partial.clear();
        }
    }
}

fn line(out: &mut String, number: usize, text: &str) {
    let _infallible = writeln!(out, "#{number} {text}");
}

fn first_line(text: &str) -> String {
    printable(text.lines().next().unwrap_or_default().as_bytes())
}

/// Text without what a terminal would act on: escape sequences come out visible, tabs stay.
fn printable(bytes: &[u8]) -> String {
    // A carriage return starts the line again, as progress bars do: what counts is what stands last.
    let last = bytes.rsplit(|byte| *byte == b'\r').next().unwrap_or(bytes);
    let mut out = String::with_capacity(last.len());
    for character in String::from_utf8_lossy(last).chars() {
        match character {
            '\t' => out.push('\t'),
            control if control.is_control() => out.extend(control.escape_unicode()),
            other => out.push(other),
        }
    }
    out
}

fn seconds(micros: u64) -> String {
    format!("{}.{:03}s", micros / 1_000_000, micros / 1_000 % 1_000)
}

/// What each stage weighed beside the image.
fn summary(out: &mut String, stages: &[StageSize], image_bytes: u64, discarded_bytes: u64) {
    let width = stages.iter().map(|stage| stage.stage.chars().count()).max().unwrap_or(0).max(5);
    let _infallible = writeln!(out, "{:width$}  {:>8}  {:>8}", "STAGE", "SIZE", "ENTRIES");
    for stage in stages {
        let mark = if stage.kept { "  <- image" } else { "" };
        let _infallible =
            writeln!(out, "{:width$}  {:>8}  {:>8}{mark}", stage.stage, size(stage.bytes), stage.entries);
    }
    let _infallible = writeln!(
        out,
        "the image has {} unpacked; {} of other layers were left behind",
        size(image_bytes),
        size(discarded_bytes)
    );
}

#[cfg(test)]
mod tests {
    use farm_model::event::{PlannedStep, Stream};
    use farm_model::{StageId, Usage};

    use super::*;

    fn planned() -> (Plain, StepId) {
        let id = StepId { stage: StageId(0), index: 0 };
        let mut plain = Plain::default();
        let step = PlannedStep {
            id,
            stage: "build".to_owned(),
            name: "RUN make".to_owned(),
            lines: None,
            needs: Vec::new(),
        };
        assert_eq!(plain.render(&BuildEvent::Planned { steps: vec![step] }), "");
        (plain, id)
    }

    #[test]
    fn a_step_shows_its_name_its_log_and_its_time() {
        let (mut plain, step) = planned();
        let log = |bytes: &[u8]| BuildEvent::Logged { step, stream: Stream::Stdout, bytes: bytes.to_vec() };
        assert_eq!(plain.render(&BuildEvent::Started { step, worker: None }), "#1 [build 1/1] RUN make\n");
        assert_eq!(plain.render(&log(b"one\ntw")), "#1 one\n");
        assert_eq!(plain.render(&log(b"o\n")), "#1 two\n");
        let finished = BuildEvent::Finished { step, micros: 1_234_567, usage: Usage::default(), bytes: 0 };
        assert_eq!(plain.render(&finished), "#1 DONE 1.234s\n");
    }

    #[test]
    fn a_cached_step_says_so() {
        let (mut plain, step) = planned();
        assert_eq!(
            plain.render(&BuildEvent::Cached {
                step,
                key: farm_model::StepDigest([0; 32]),
                saved_micros: 0,
                saved_bytes: 0
            }),
            "#1 [build 1/1] RUN make\n#1 CACHED\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable(b"10%\r20%"), "20%");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
