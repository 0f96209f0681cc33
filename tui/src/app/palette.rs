//! What can be typed after `:`. Completion offers what fits, the best first.

use super::action::{Action, COMMANDS, Tabular};
use super::effect::Playback;
use super::place::{Place, View};
use super::screen::Context;
use crate::state::text::harmless;
use crate::view::glyphs::GlyphSet;
use crate::view::table::Column;
use crate::view::theme::ThemeName;

/// Builds, workers and images that are offered.
const MOST_OFFERED: usize = 20;

/// What a line of the palette does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Run {
    Act(Action),
    Theme(ThemeName),
    Glyphs(GlyphSet),
    Go(Place),
    Filter(String),
}

/// A line of the palette.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) help: String,
    pub(super) run: Run,
}

/// Where the palette was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) view: View,
    pub(super) replay: bool,
    pub(super) columns: &'static [Column],
    pub(super) context: Context<'a>,
}

/// What fits what was typed, the best first.
pub(super) fn entries(typed: &str, scene: &Scene<'_>) -> Vec<Entry> {
    let typed = typed.trim_start();
    if let Some(text) = typed.strip_prefix("filter ") {
        let entry = Entry {
            text: typed.to_owned(),
            help: "show only what matches".to_owned(),
            run: Run::Filter(text.to_owned()),
        };
        return vec![entry];
    }
    let mut fitting: Vec<(u32, Entry)> = all(typed, scene)
        .into_iter()
        .filter_map(|entry| Some((fit(&entry.text, typed.trim_end())?, entry)))
        .collect();
    fitting.sort_by_key(|(fit, _)| *fit);
    fitting.into_iter().map(|(_, entry)| entry).collect()
}

/// How badly a name fits what was typed; none when it does not.
fn fit(name: &str, typed: &str) -> Option<u32> {
    let (name, typed) = (name.to_lowercase(), typed.to_lowercase());
    if name.starts_with(&typed) {
        return Some(u32::from(name != typed));
    }
    if name.contains(&typed) {
        return Some(2);
    }
    let mut wanted = typed.chars().filter(|c| !c.is_whitespace()).peekable();
    for c in name.chars() {
        wanted.next_if_eq(&c);
    }
    wanted.peek().is_none().then_some(3)
}

fn all(typed: &str, scene: &Scene<'_>) -> Vec<Entry> {
    let entry = |text: String, help: &str, run| Entry { text, help: help.to_owned(), run };
    let here = COMMANDS.iter().filter(|command| command.scope.holds(scene.view, scene.replay));
    let mut all: Vec<Entry> =
        here.map(|command| entry(command.name.to_owned(), command.help, Run::Act(command.action))).collect();
    for theme in ThemeName::ALL {
        all.push(entry(format!("theme {}", theme.name()), "colours", Run::Theme(theme)));
    }
    for set in GlyphSet::ALL {
        all.push(entry(format!("glyphs {}", set.name()), "signs", Run::Glyphs(set)));
    }
    for (at, column) in scene.columns.iter().enumerate() {
        let sort = Run::Act(Action::Table(Tabular::Sort(at)));
        all.push(entry(format!("sort {}", column.name), "sort by this column; again to turn it round", sort));
        let toggle = Run::Act(Action::Table(Tabular::Toggle(at)));
        all.push(entry(format!("column {}", column.name), "show or hide this column", toggle));
    }
    if scene.replay {
        for speed in [0.25, 1.0, 2.0, 8.0, 32.0] {
            let run = Run::Act(Action::Play(Playback::Speed(speed)));
            all.push(entry(format!("speed {speed}"), "play so fast", run));
        }
        for part in [0, 25, 50, 75, 100] {
            let run = Run::Act(Action::Play(Playback::Seek(f64::from(part) / 100.0)));
            all.push(entry(format!("seek {part}%"), "go to this point", run));
        }
    }
    all.push(entry("filter ".to_owned(), "show only what matches", Run::Filter(String::new())));
    all.extend(things(typed, scene));
    all
}

/// Builds, workers and images by name, once what is typed asks for them.
fn things(typed: &str, scene: &Scene<'_>) -> Vec<Entry> {
    let farm = scene.context.farm;
    let (word, rest) = typed.split_once(' ').unwrap_or((typed, ""));
    let rest = rest.trim().to_lowercase();
    let entry = |text: String, help: String, place| Entry { text, help, run: Run::Go(place) };
    match word {
        "build" | "log" => {
            let place = |id| if word == "log" { Place::Log(id, None) } else { Place::Stages(id, None) };
            let known = farm.builds().iter().rev().map(|(id, build)| (id, id.to_string(), build.title()));
            let fitting =
                known.filter(|(_, id, title)| id.starts_with(&rest) || title.to_lowercase().contains(&rest));
            let offered = fitting.take(MOST_OFFERED);
            offered
                .map(|(id, text, title)| entry(format!("{word} {text} {title}"), String::new(), place(*id)))
                .collect()
        }
        "worker" => {
            let known = farm.workers().keys().filter(|id| id.0.to_lowercase().contains(&rest));
            let place = |id: &farm_model::WorkerId| Place::Workers(Some(id.clone()));
            known
                .take(MOST_OFFERED)
                .map(|id| entry(format!("worker {}", harmless(&id.0)), String::new(), place(id)))
                .collect()
        }
        "image" => {
            let known = farm.images().names().keys().filter(|name| name.to_lowercase().contains(&rest));
            let place = |name: &String| Place::Images(Some(name.clone()));
            known
                .take(MOST_OFFERED)
                .map(|name| entry(format!("image {}", harmless(name)), String::new(), place(name)))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_by_start_then_part_then_letters() {
        let fits = ["theme dark", "theme-next", "freeze", "the"].map(|name| fit(name, "the"));
        assert_eq!(fits, [Some(1), Some(1), None, Some(0)]);
        assert_eq!(
            (fit("sort-next", "next"), fit("theme dark", "thdk"), fit("quit", "x")),
            (Some(2), Some(3), None)
        );
    }
}
