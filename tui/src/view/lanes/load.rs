//! What a worker uses of its machine, as numbers and as graphs over its samples.

use farm_model::event::MachineLoad;
use ratatui::text::Span;

use crate::state::Worker;
use crate::view::glyphs::Glyphs;
use crate::view::text::{percent, size};
use crate::view::theme::Theme;

/// Cells of the words behind a graph.
const WORDS: usize = 14;

/// Something that a machine has so and so much of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meter {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// What its network takes in and sends.
    Network,
    /// The disk of its store.
    Disk,
}

impl Meter {
    /// All of them, in the order in which they are shown.
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Network, Self::Disk];

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu ",
            Self::Memory => "mem ",
            Self::Network => "net ",
            Self::Disk => "disk",
        }
    }

    /// How much is used, and of how much where that is known.
    pub(super) fn used(self, load: &MachineLoad) -> (u64, Option<u64>) {
        match self {
            Self::Cpu => (load.cpu, Some(u64::from(load.processors) * 1000)),
            Self::Memory => (load.memory, Some(load.memory_total)),
            Self::Network => (load.received.saturating_add(load.sent), None),
            Self::Disk => (load.disk, Some(load.disk_total)),
        }
    }

    /// The part that is used, from 0 to 1; none of what has no limit.
    pub(super) fn part(self, load: &MachineLoad) -> Option<f64> {
        let (used, of) = self.used(load);
        of.filter(|of| *of > 0).map(|of| ratio(used, of).min(1.0))
    }

    fn words(self, load: &MachineLoad) -> String {
        let part = self.part(load).map(percent).unwrap_or_default();
        match self {
            Self::Cpu => format!("{part:>4} of {}", load.processors),
            Self::Memory | Self::Disk => {
                format!("{part:>4} of {}", size(self.used(load).1.unwrap_or_default()))
            }
            Self::Network => format!("{}/s", size(self.used(load).0)),
        }
    }
}

/// A graph of one thing that a worker uses, with its name and its last value, in so many cells.
pub(super) fn graph(
    worker: &Worker,
    meter: Meter,
    room: usize,
    (theme, glyphs): (&Theme, &Glyphs),
) -> Vec<Span<'static>> {
    let name = Span::styled(format!("{} ", meter.name()), theme.dim);
    let Some(load) = worker.load() else {
        return vec![name, Span::styled("unknown".to_owned(), theme.dim)];
    };
    // All graphs end in one column.
    let words = format!("{:<WORDS$}", meter.words(load));
    let room = room.saturating_sub(6 + WORDS);
    let samples: Vec<u64> =
        worker.loads.iter().rev().take(room).map(|(_, load)| meter.used(load).0).rev().collect();
    let most = meter.used(load).1.or_else(|| samples.iter().max().copied()).unwrap_or(1).max(1);
    let parts: Vec<f64> = samples.iter().map(|used| ratio(*used, most)).collect();
    let graph = format!("{:>room$}", spark(&parts, glyphs));
    // Much in use is hot.
    let style = meter.part(load).map_or(theme.accent, |part| theme.heat(1.0 - part));
    vec![name, Span::styled(graph, style), Span::styled(format!(" {words}"), theme.text)]
}

/// A column a part from 0 to 1.
pub(super) fn spark(parts: &[f64], glyphs: &Glyphs) -> String {
    let top = glyphs.spark.len() - 1;
    let sign = |part: &f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "clamped to the table"
        )]
        let height = (part.clamp(0.0, 1.0) * top as f64).round() as usize;
        // Something is more than nothing.
        let height = if *part > 0.0 { height.max(1) } else { height };
        glyphs.spark[height.min(top)]
    };
    parts.iter().map(sign).collect()
}

fn ratio(part: u64, of: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let ratio = part as f64 / of as f64;
    ratio
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::glyphs::GlyphSet;

    #[test]
    fn a_graph_rises_with_its_values() {
        let glyphs = GlyphSet::Blocks.glyphs();
        assert_eq!(spark(&[0.0, 0.01, 0.5, 1.0, 7.0, f64::NAN], glyphs), " ▁▄██ ");
    }
}
