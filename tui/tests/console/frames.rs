//! Frames that are compared with files in `tests/frames`; with `FARM_BLESS=1` they are written instead.

use std::path::Path;

use farm_model::BuildEvent;
use farm_model::event::{FarmEvent, Stream};
use farm_tui::app::{App, Options};
use farm_tui::export;
use farm_tui::view::glyphs::GlyphSet;
use farm_tui::view::theme::ThemeName;
use ratatui::layout::Rect;

use super::farm::{
    NOW, RUNNING, SECOND, START, console, events, frame, id, lines, log, options, press, read_only, running,
    said, write,
};

const SIZES: [(u16, u16); 3] = [(60, 15), (80, 24), (200, 50)];

fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames").join(name);
    if std::env::var_os("FARM_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(wanted == text, "{name} is not as it was:\n{text}\nwanted:\n{wanted}");
}

fn check_sizes(name: &str, app: &mut App) {
    for (columns, rows) in SIZES {
        let mut text = frame(app, columns, rows).join("\n");
        text.push('\n');
        check(&format!("{name}-{columns}x{rows}.txt"), &text);
    }
}

/// What a screen looks like once these keys were pressed.
fn check_keys(name: &str, keys: &[&str]) {
    let mut app = console(options());
    press(&mut app, keys);
    check_sizes(name, &mut app);
}

#[test]
fn all_builds_with_failures_on_top() {
    check_keys("overview", &[]);
}

#[test]
fn stages_of_a_build() {
    let mut app = console(options());
    press(&mut app, &["enter"]);
    for event in running() {
        let FarmEvent::Build { recorded, .. } = event.event else { continue };
        log(&mut app, RUNNING, recorded.at, recorded.event);
    }
    let bytes = b"cc -O2 -c wide.c\n".to_vec();
    log(&mut app, RUNNING, 2_000_000, BuildEvent::Logged { step: id(1, 1), stream: Stream::Stdout, bytes });
    check_sizes("stages", &mut app);
    press(&mut app, &["f", "c"]);
    check_sizes("stages-open", &mut app);
    press(&mut app, &["w"]);
    check_sizes("stages-why", &mut app);
}

#[test]
fn what_the_cache_did() {
    check_keys("cache", &["3", "enter"]);
}

#[test]
fn what_people_did() {
    check_keys("actions", &["5"]);
}

#[test]
fn help_is_of_the_view() {
    check_keys("help", &["enter", "?"]);
}

#[test]
fn a_command_is_completed() {
    check_keys("palette", &[":", "t", "h", "e", "down"]);
}

#[test]
fn a_deed_is_confirmed_by_name() {
    check_keys("confirm", &["x"]);
}

#[test]
fn columns_are_chosen() {
    check_keys("columns", &["o", "down", "down", "space"]);
}

#[test]
fn a_filter_is_shown() {
    let mut app = console(options());
    press(&mut app, &["/"]);
    write(&mut app, "state:failed");
    check_sizes("filter", &mut app);
    press(&mut app, &["enter"]);
    check_sizes("filtered", &mut app);
}

#[test]
fn a_lost_coordinator_is_said() {
    let mut app = console(Options { access: read_only(), ..options() });
    app.lost(NOW - 12 * SECOND, "connection refused");
    check_sizes("lost", &mut app);
}

#[test]
fn an_empty_farm_says_how_to_begin() {
    let mut app = App::new(options());
    app.event(&said(START, FarmEvent::Began { farm: String::new(), version: "0.1.0".into() }));
    app.event(&said(START, FarmEvent::CaughtUp));
    check_sizes("empty", &mut app);
}

#[test]
fn themes_colour_by_meaning() {
    for theme in ThemeName::ALL {
        let mut app = console(Options { theme: Some(theme), ..options() });
        let frame = app.draw(Rect::new(0, 0, 100, 24), NOW);
        check(&format!("theme-{}.ansi", theme.name()), &export::ansi(&frame));
    }
}

#[test]
fn ascii_is_enough() {
    let mut app =
        console(Options { theme: Some(ThemeName::Mono), glyphs: Some(GlyphSet::Ascii), ..options() });
    press(&mut app, &["enter", "f"]);
    let text = frame(&mut app, 100, 30).join("\n");
    assert!(text.is_ascii(), "{text}");
    check("ascii.txt", &text);
}

#[test]
fn the_same_events_give_the_same_frames() {
    let play = |step: usize| {
        let mut app = App::new(options());
        let mut frames = Vec::new();
        for (number, event) in events().iter().enumerate() {
            app.event(event);
            app.tick(event.time);
            if number % step == 0 {
                app.draw(Rect::new(0, 0, 100, 30), event.time);
            }
        }
        for keys in [&["enter"][..], &["c"], &["3"], &["1", "s"]] {
            press(&mut app, keys);
            frames.push(lines(&app.draw(Rect::new(0, 0, 100, 30), NOW)));
        }
        frames
    };
    assert_eq!(play(1), play(1));
    // How often it was drawn on the way makes no difference.
    assert_eq!(play(1), play(7));
}

#[test]
fn what_each_person_took_is_summed_up() {
    check_keys("people", &["u"]);
}
