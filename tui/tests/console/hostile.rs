//! Input of any kind at any size: nothing panics, and nothing that a terminal would act on reaches a frame.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use farm_model::event::{Blame, MissReason};
use farm_model::event::{Ending, Failure, FarmEvent, Requested, Stream};
use farm_model::{BuildEvent, BuildId, StepDigest, WorkerId};
use farm_tui::app::{Answer, App, Effect, Options};
use ratatui::layout::Rect;

use super::farm::{NOW, RUNNING, SECOND, START, built, console, events, id, options, said, step, worker};

/// Numbers that look like chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn small(&mut self, most: u16) -> u16 {
        u16::try_from(self.below(u64::from(most))).unwrap()
    }
}

fn input(chance: &mut Chance) -> Event {
    const KEYS: [KeyCode; 14] = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::PageUp,
        KeyCode::PageDown,
    ];
    let modifiers = if chance.below(8) == 0 { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
    match chance.below(10) {
        0..6 => {
            let c = char::from(u8::try_from(32 + chance.below(95)).unwrap());
            Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers))
        }
        6..8 => Event::Key(KeyEvent::new(KEYS[usize::try_from(chance.below(14)).unwrap()], modifiers)),
        8 => {
            let kinds = [
                MouseEventKind::Down(MouseButton::Left),
                MouseEventKind::Drag(MouseButton::Left),
                MouseEventKind::ScrollDown,
                MouseEventKind::ScrollUp,
                MouseEventKind::Moved,
            ];
            let kind = kinds[usize::try_from(chance.below(5)).unwrap()];
            Event::Mouse(MouseEvent { kind, column: chance.small(210), row: chance.small(60), modifiers })
        }
        _ => Event::Paste("漢字 e\u{301}\x1b[2J/(".repeat(usize::try_from(chance.below(4)).unwrap())),
    }
}

#[test]
fn any_input_at_any_size_is_survived() {
    for seed in 0..12 {
        let mut chance = Chance(seed);
        let mut app =
            if seed % 3 == 0 { App::new(Options { replay: true, ..options() }) } else { console(options()) };
        let events = events();
        for number in 0..400_usize {
            app.input(&input(&mut chance), NOW + i64::try_from(chance.below(3)).unwrap() * SECOND);
            if chance.below(4) == 0 {
                app.event(&events[number % events.len()]);
            }
            let (columns, rows) = (chance.small(220), chance.small(60));
            app.draw(Rect::new(0, 0, columns, rows), NOW);
            app.tick(NOW);
        }
    }
}

#[test]
fn every_small_size_is_survived_by_every_view() {
    let mut app = console(options());
    for keys in
        ["1", "2", "3", "4", "5", "1", "\r", "L", "?", "\x1b", ":", "\x1b", "/", "\x1b", "x", "n", "o"]
    {
        let code = match keys {
            "\r" => KeyCode::Enter,
            "\x1b" => KeyCode::Esc,
            one => KeyCode::Char(one.chars().next().unwrap()),
        };
        app.input(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), NOW);
        for columns in (0..24).chain([40, 59, 60, 79, 80]) {
            for rows in (0..20).chain([24, 50]) {
                app.draw(Rect::new(0, 0, columns, rows), NOW);
            }
        }
    }
}

#[test]
fn foreign_text_is_harmless_everywhere() {
    let evil = "\x1b[2J\u{9b}31m\u{202e}\r\nx\t\u{7f}漢e\u{301}\u{200d}👩‍👩‍👧";
    let mut app = App::new(Options { label: evil.into(), ..options() });
    app.event(&said(START, FarmEvent::Began { farm: evil.into(), version: evil.into() }));
    app.event(&worker(evil));
    app.event(&said(START, FarmEvent::CaughtUp));
    let start = START;
    let requested = Requested {
        build: RUNNING,
        time: start,
        dockerfile: evil.into(),
        context: evil.into(),
        target: None,
        names: vec![evil.into()],
        client: evil.into(),
    };
    let message = evil.to_owned();
    let reason = MissReason::Instruction { before: evil.into(), after: evil.into() };
    for event in [
        BuildEvent::Requested(requested),
        BuildEvent::Planned { steps: vec![step(id(0, 0), evil, evil, &[]), step(id(0, 1), evil, evil, &[])] },
        BuildEvent::Warned { message: message.clone() },
        BuildEvent::Missed { step: id(0, 0), key: StepDigest([1; 32]), reasons: vec![reason] },
        BuildEvent::Started { step: id(0, 0), worker: Some(WorkerId(evil.into())) },
        BuildEvent::Retried { step: id(0, 0), reason: message.clone() },
        BuildEvent::Started { step: id(0, 0), worker: Some(WorkerId(evil.into())) },
        BuildEvent::Ended(Ending::Failed(Failure {
            blame: Blame::Build,
            message: message.clone(),
            hint: Some(message),
        })),
    ] {
        app.event(&built(RUNNING, start, 5, event));
    }
    app.answer(&Answer::Refused { what: evil.into(), message: evil.into(), hint: Some(evil.into()) }, NOW);
    for keys in ["1", "2", "3", "5", "1", "\r", "w", "q"] {
        let code = if keys == "\r" { KeyCode::Enter } else { KeyCode::Char(keys.chars().next().unwrap()) };
        app.input(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), NOW);
        for size in [(60, 15), (140, 40)] {
            let frame = app.draw(Rect::new(0, 0, size.0, size.1), NOW);
            for cell in frame.content() {
                let bad = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
                assert!(!cell.symbol().chars().any(bad), "{:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn logs_of_any_bytes_are_survived() {
    let mut app = console(options());
    app.input(&Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)), NOW);
    let line: Vec<u8> = (0..=255).collect();
    let mut effects = Vec::new();
    for at in 0..200 {
        let event = BuildEvent::Logged { step: id(1, 1), stream: Stream::Stderr, bytes: line.repeat(200) };
        let recorded = farm_model::Recorded { at, event };
        effects.extend(app.answer(&Answer::Log { build: RUNNING, recorded }, NOW));
        app.draw(Rect::new(0, 0, 80, 24), NOW);
    }
    assert!(!effects.contains(&Effect::Quit));
    // A build that nobody asked for says nothing.
    let recorded = farm_model::Recorded { at: 0, event: BuildEvent::Ended(Ending::Cancelled) };
    app.answer(&Answer::Log { build: BuildId([9; 8]), recorded }, NOW);
}
