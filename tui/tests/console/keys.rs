//! What keys, clicks and words do.

use crossterm::event::{Event, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use farm_model::WorkerId;
use farm_tui::app::{App, Effect, Keymap, Options, Order, Place};
use ratatui::layout::Rect;

use super::farm::{DONE, FAILED, NOW, RUNNING, SECOND, console, frame, id, options, press, read_only, write};

fn text(app: &mut App) -> String {
    frame(app, 120, 40).join("\n")
}

fn click(app: &mut App, word: &str, now: i64) -> Vec<Effect> {
    let rows = frame(app, 120, 40);
    let (row, line) = rows.iter().enumerate().find(|(_, line)| line.contains(word)).unwrap();
    let column = line[..line.find(word).unwrap()].chars().count();
    let (column, row) = (u16::try_from(column).unwrap(), u16::try_from(row).unwrap());
    let kind = MouseEventKind::Down(MouseButton::Left);
    app.input(&Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }), now)
}

#[test]
fn one_goes_into_a_build_and_back() {
    let mut app = console(options());
    assert_eq!(press(&mut app, &["enter"]), [Effect::Follow(RUNNING)]);
    assert_eq!(app.place(), &Place::Stages(RUNNING, None));
    press(&mut app, &["c"]);
    press(&mut app, &["enter"]);
    assert_eq!(app.place(), &Place::Log(RUNNING, Some(id(1, 1))));
    press(&mut app, &["esc"]);
    assert_eq!(app.place(), &Place::Stages(RUNNING, None));
    assert_eq!(press(&mut app, &["esc"]), [Effect::Unfollow(RUNNING)]);
    assert_eq!(app.place(), &Place::Overview);
    assert_eq!(press(&mut app, &["q"]), [Effect::Quit]);
}

#[test]
fn a_deed_asks_first() {
    let mut app = console(options());
    assert_eq!(press(&mut app, &["x", "n"]), []);
    assert_eq!(press(&mut app, &["x", "j", "y"]), [Effect::Act(Order::Cancel(RUNNING))]);
    press(&mut app, &["j", "x"]);
    assert!(text(&mut app).contains("build 2222222222222222 is over already"));
    press(&mut app, &["k", "enter", "c", "m"]);
    assert!(text(&mut app).contains("Take `RUN make -j all` from w1?"));
    assert_eq!(
        click(&mut app, "[y] yes", NOW),
        [Effect::Act(Order::Move { build: RUNNING, step: id(1, 1) })]
    );
    press(&mut app, &["2", "G", "d"]);
    assert!(text(&mut app).contains("Give worker w3 work again?"));
    assert_eq!(press(&mut app, &["y"]), [Effect::Act(Order::Restore(WorkerId("w3".into())))]);
    assert_eq!(
        press(&mut app, &["3", "X", "enter", "y"]).last(),
        Some(&Effect::Act(Order::Prune { all: false }))
    );
}

#[test]
fn who_may_only_look_is_told_why() {
    let mut app = console(Options { access: read_only(), ..options() });
    assert!(!text(&mut app).contains(" cancel "));
    assert_eq!(press(&mut app, &["x", "enter", "esc"]).first(), Some(&Effect::Follow(RUNNING)));
    press(&mut app, &["x"]);
    assert!(text(&mut app).contains("this console is read-only: the certificate has the role `viewer`"));
}

#[test]
fn the_next_failure_is_one_key_away() {
    let mut app = console(options());
    press(&mut app, &["3", "e"]);
    assert_eq!(app.place(), &Place::Stages(FAILED, Some(id(0, 0))));
    press(&mut app, &["w"]);
    assert!(text(&mut app).contains("no step like it was ever done here"));
    press(&mut app, &["esc", "1", "D"]);
    assert!(!text(&mut app).contains("test_wide"));
}

#[test]
fn filters_hold_and_are_recalled() {
    let mut app = console(options());
    press(&mut app, &["/"]);
    write(&mut app, "user:ann !api");
    press(&mut app, &["enter"]);
    let shown = text(&mut app);
    assert!(shown.contains("1 of 3 builds") && shown.contains("/user:ann !api"), "{shown}");
    press(&mut app, &["\\"]);
    assert!(text(&mut app).contains(" 3 builds"));
    press(&mut app, &["/", "up", "enter"]);
    assert!(text(&mut app).contains("1 of 3 builds"));
    press(&mut app, &["/", "ctrl+u"]);
    write(&mut app, "/a(/");
    press(&mut app, &["enter"]);
    let shown = text(&mut app);
    assert!(shown.contains("no regular expression") && shown.contains(" 3 builds"), "{shown}");
}

#[test]
fn words_do_what_keys_do() {
    let mut app = console(options());
    press(&mut app, &[":"]);
    write(&mut app, "theme mo");
    press(&mut app, &["tab", "enter", ":"]);
    write(&mut app, "build 33");
    press(&mut app, &["enter"]);
    assert_eq!(app.place(), &Place::Stages(DONE, None));
    press(&mut app, &["1", ":"]);
    write(&mut app, "sort nam");
    press(&mut app, &["enter", "enter"]);
    assert_eq!(app.place(), &Place::Stages(DONE, None));
    press(&mut app, &[":"]);
    write(&mut app, "zzz");
    press(&mut app, &["enter"]);
    assert!(text(&mut app).contains("no command is called `zzz`"));
    let remembered = app.tick(NOW);
    let Some(Effect::Remember(settings)) = remembered.last() else { panic!("{remembered:?}") };
    assert!(
        settings.contains("theme = mono\n") && settings.contains("screen.overview = sort=name\n"),
        "{settings}"
    );
    let mut again = App::new(Options { settings: Some(settings.clone()), theme: None, ..options() });
    assert_eq!(again.tick(NOW), []);
}

#[test]
fn the_mouse_does_what_keys_do() {
    let mut app = console(options());
    click(&mut app, "NAME", NOW);
    click(&mut app, "NAME", NOW + 2 * SECOND);
    assert!(text(&mut app).contains("NAME▾"));
    click(&mut app, "web:9    ", NOW + 4 * SECOND);
    assert_eq!(app.place(), &Place::Overview);
    click(&mut app, "web:9    ", NOW + 4 * SECOND + 1);
    assert_eq!(app.place(), &Place::Stages(FAILED, None));
    click(&mut app, "3 cache", NOW);
    assert_eq!(app.place(), &Place::Cache);
    click(&mut app, "? help", NOW);
    assert!(text(&mut app).contains("the page below") || text(&mut app).contains("prune-all"));
    let wheel =
        MouseEvent { kind: MouseEventKind::ScrollDown, column: 3, row: 9, modifiers: KeyModifiers::NONE };
    app.input(&Event::Mouse(wheel), NOW);
}

#[test]
fn keys_can_be_others() {
    let keymap = Keymap::parse("overview: c = cancel\nx = none\nctrl+x = quit").unwrap();
    let mut app = console(Options { keymap, ..options() });
    assert!(text(&mut app).contains(" c cancel "));
    assert_eq!(press(&mut app, &["x", "c", "y"]), [Effect::Act(Order::Cancel(RUNNING))]);
    assert_eq!(press(&mut app, &["ctrl+x"]), [Effect::Quit]);
}

#[test]
fn a_frozen_display_stands_still_while_events_come() {
    let mut app = console(options());
    press(&mut app, &["z"]);
    let before = text(&mut app);
    assert!(before.contains("frozen"));
    for event in super::farm::running() {
        app.event(&event);
    }
    assert!(!app.wants_frame(NOW + SECOND));
    assert_eq!(text(&mut app), before);
    press(&mut app, &["z"]);
    assert_ne!(text(&mut app), before);
}

#[test]
fn a_frame_is_wanted_when_something_changes() {
    let mut app = console(options());
    let area = Rect::new(0, 0, 80, 24);
    app.draw(area, NOW);
    assert!(!app.wants_frame(NOW) && app.wants_frame(NOW + SECOND));
    let end = farm_model::BuildEvent::Ended(farm_model::event::Ending::Cancelled);
    app.event(&super::farm::built(RUNNING, NOW, 0, end));
    assert!(app.wants_frame(NOW));
    app.draw(area, NOW);
    // What is derived from it follows a little later; then nothing runs any more, and an idle console draws nothing.
    assert!(app.wants_frame(NOW + SECOND));
    app.draw(area, NOW + SECOND);
    assert!(!app.wants_frame(NOW + 100 * SECOND));
}
