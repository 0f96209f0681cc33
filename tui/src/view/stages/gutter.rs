//! Lines on the left that lead from the end of a stage to the steps that need it.

use std::collections::BTreeMap;

use farm_model::StageId;

use super::rows::Key;
use crate::state::Build;
use crate::view::glyphs::{GlyphSet, Glyphs};

/// Lines that may run side by side; stages beyond that say in words what they need.
const MOST: usize = 8;

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// Where lines run: for each row the directions in which each of its cells is connected.
#[derive(Clone, Debug, Default)]
pub(super) struct Gutter {
    rows: Vec<[u8; MOST]>,
    /// How many lines run side by side at most.
    width: usize,
}

impl Gutter {
    /// The lines between these rows of a build.
    pub(super) fn of(build: &Build, keys: &[Key]) -> Self {
        let mut gutter = Self { rows: vec![[0; MOST]; keys.len()], width: 0 };
        // The last row of each stage, and the rows that need each stage.
        let mut ends: BTreeMap<StageId, usize> = BTreeMap::new();
        let mut uses: BTreeMap<StageId, Vec<usize>> = BTreeMap::new();
        let has_steps = |at: usize, stage| keys.get(at + 1).is_some_and(|next| next.stage() == stage);
        for (at, key) in keys.iter().enumerate() {
            ends.insert(key.stage(), at);
            let needs = match key {
                Key::Stage(stage) if has_steps(at, *stage) => None,
                Key::Stage(stage) => build.stages().get(stage).map(|stage| &stage.needs),
                Key::Step(step) => build.step(*step).map(|step| &step.planned.needs),
            };
            for need in needs.into_iter().flatten() {
                uses.entry(*need).or_default().push(at);
            }
        }
        let mut taken: [Option<usize>; MOST] = [None; MOST];
        for (stage, start) in &ends {
            let below = uses.get(stage).into_iter().flatten().copied().filter(|at| at > start);
            let below: Vec<usize> = below.collect();
            let Some(end) = below.last().copied() else { continue };
            // Two lines in one row would look like one.
            let is_free = |until: &Option<usize>| until.is_none_or(|until| until < *start);
            let Some(lane) = taken.iter().position(is_free) else { continue };
            taken[lane] = Some(end);
            gutter.width = gutter.width.max(lane + 1);
            gutter.line(lane, *start, end, &below);
        }
        gutter.reach();
        gutter
    }

    fn line(&mut self, lane: usize, start: usize, end: usize, uses: &[usize]) {
        self.rows[start][lane] |= DOWN | RIGHT;
        for row in &mut self.rows[start + 1..end] {
            row[lane] |= UP | DOWN;
        }
        self.rows[end][lane] |= UP;
        for at in uses {
            self.rows[*at][lane] |= RIGHT;
        }
    }

    /// What turns to the right goes on to the row's text.
    fn reach(&mut self) {
        for row in &mut self.rows {
            let Some(first) = row.iter().position(|cell| cell & RIGHT != 0) else { continue };
            for cell in &mut row[first + 1..self.width] {
                *cell |= LEFT | RIGHT;
            }
        }
    }

    /// The signs of a row, as wide in each.
    pub(super) fn signs(&self, at: usize, glyphs: &Glyphs) -> String {
        let row = self.rows.get(at).copied().unwrap_or_default();
        let mut text: String = row[..self.width].iter().map(|cell| sign(*cell, glyphs)).collect();
        if self.width > 0 {
            let reaches = row[self.width - 1] & RIGHT != 0;
            text.push_str(if reaches { glyphs.rule } else { " " });
        }
        text
    }
}

fn sign(cell: u8, glyphs: &Glyphs) -> char {
    let signs = [
        (UP | DOWN, '│', '|'),
        (DOWN | RIGHT, '╭', ','),
        (UP | RIGHT, '╰', '`'),
        (UP | DOWN | RIGHT, '├', '|'),
        (LEFT | RIGHT, '─', '-'),
        (LEFT | RIGHT | DOWN, '┬', '+'),
        (LEFT | RIGHT | UP, '┴', '+'),
        (LEFT | RIGHT | UP | DOWN, '┼', '+'),
    ];
    let found = signs.iter().find(|(known, ..)| *known == cell);
    found.map_or(' ', |(_, sign, ascii)| if glyphs.set == GlyphSet::Ascii { *ascii } else { *sign })
}

#[cfg(test)]
mod tests {
    use farm_model::event::PlannedStep;
    use farm_model::{BuildEvent, Recorded, StepId};

    use super::*;

    /// The lines of a build with one step a stage, which needs these stages.
    fn drawn(needs: &[&[u32]]) -> Vec<String> {
        let id = |stage| StepId { stage: StageId(stage), index: 0 };
        let step = |(stage, needs): (u32, &&[u32])| PlannedStep {
            id: id(stage),
            stage: format!("s{stage}"),
            name: "RUN x".into(),
            lines: None,
            needs: needs.iter().copied().map(StageId).collect(),
        };
        let mut build = Build::default();
        let steps = (0..).zip(needs).map(step).collect();
        build.apply(&Recorded { at: 0, event: BuildEvent::Planned { steps } });
        let keys: Vec<Key> = build.stages().keys().copied().map(Key::Stage).collect();
        let gutter = Gutter::of(&build, &keys);
        (0..keys.len()).map(|at| gutter.signs(at, GlyphSet::Braille.glyphs())).collect()
    }

    #[test]
    fn lines_lead_from_stages_to_what_needs_them() {
        assert_eq!(drawn(&[&[], &[]]), ["", ""]);
        assert_eq!(drawn(&[&[], &[0], &[0]]), ["╭─", "├─", "╰─"]);
        assert_eq!(drawn(&[&[], &[0], &[1]]), ["╭──", "╰┬─", " ╰─"]);
        assert_eq!(drawn(&[&[], &[], &[0], &[1]]), ["╭──", "│╭─", "╰┼─", " ╰─"]);
        assert_eq!(drawn(&[&[], &[], &[0, 1]]), ["╭──", "│╭─", "╰┴─"]);
    }

    #[test]
    fn more_lines_than_there_is_room_for_are_left_out() {
        let all: Vec<u32> = (0..20).collect();
        let mut needs: Vec<&[u32]> = vec![&[]; 20];
        needs.push(&all);
        let rows = drawn(&needs);
        assert!(rows.iter().all(|row| row.chars().count() == MOST + 1), "{rows:?}");
        // A plan that needs itself or what comes later draws nothing.
        assert_eq!(drawn(&[&[0, 1], &[7]]), ["", ""]);
    }
}
