use farm_model::{BuildEvent, Exit, Recorded, WorkerId};

use super::*;
use crate::app::action::{Global, Logging, Move};
use crate::app::effect::Effect;
use crate::view::glyphs::GlyphSet;
use crate::view::testing::{self, BUILD, World, check, check_odd_sizes, check_sizes, step};
use crate::view::theme::{Depth, Theme, ThemeName};

pub(super) fn log_of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Log {
    let mut log = Log::default();
    for line in lines {
        let bytes = format!("{line}\n").into_bytes();
        let event = BuildEvent::Logged { step: step(0, 0), stream: Stream::Stdout, bytes };
        log.apply(&Recorded { at: 1, event });
    }
    log
}

/// Two steps write by turns.
fn world(lines: u32) -> World {
    let mut world = World::new();
    world.plan(&[("base", 1), ("build", 12)]);
    for number in 0..lines {
        let (of, stream) = if number % 3 == 0 {
            (step(0, 0), Stream::Stderr)
        } else {
            (step(1, number % 2), Stream::Stdout)
        };
        let text = format!("line {number} of a log, 漢字 and so on, {}\n", "x".repeat(number as usize % 90));
        world.logged(number * 137, of, stream, &text);
    }
    world
}

fn opened(world: &World) -> Logs {
    let mut logs = Logs::default();
    logs.open(&Place::Log(BUILD, None), &world.context());
    logs
}

fn act(logs: &mut Logs, world: &World, action: Action) -> Vec<Wish> {
    let wishes = logs.act(action, &world.context());
    logs.prepare(&world.context());
    wishes
}

fn first_line(logs: &Logs, world: &World) -> String {
    testing::text(logs, world, 80, 10).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn frames_are_as_they_were() {
    let mut world = world(300);
    let mut logs = opened(&world);
    act(&mut logs, &world, Action::Log(Logging::Timestamps));
    check_sizes("logs-follow", &logs, &world);
    world.built(90_000, BuildEvent::Started { step: step(1, 3), worker: Some(WorkerId("w".into())) });
    world.logged(91_000, step(1, 3), Stream::Stderr, "cc: error: no such file\nmake: *** [all] Error 1\n");
    world.built(91_500, BuildEvent::Failed { step: step(1, 3), exit: Exit::Code(2) });
    logs.filter(&Filter::parse("ERROR"), &world.context());
    logs.filter(&Filter::parse("rr"), &world.context());
    act(&mut logs, &world, Action::Log(Logging::Wrap));
    check_sizes("logs-failed", &logs, &world);
    (world.theme, world.set) = (Theme::new(ThemeName::Mono, Depth::True), GlyphSet::Ascii);
    let ansi = crate::export::ansi(&testing::frame(&logs, &world, 80, 24).0);
    check("logs-failed-mono.txt", &ansi);
    check_odd_sizes(&logs, &world);
}

#[test]
fn it_follows_until_it_is_scrolled() {
    let mut world = world(50);
    let mut logs = opened(&world);
    let (old, _) = (testing::text(&logs, &world, 80, 10), act(&mut logs, &world, Action::Move(Move::Up)));
    world.logged(9_000, step(1, 0), Stream::Stdout, "new line\n");
    logs.prepare(&world.context());
    assert!(!testing::text(&logs, &world, 80, 10).contains("new line"), "{old}");
    act(&mut logs, &world, Action::Move(Move::Last));
    assert!(testing::text(&logs, &world, 80, 10).contains("new line"));
}

#[test]
fn pages_come_back_to_where_they_were() {
    let world = world(500);
    let mut logs = opened(&world);
    act(&mut logs, &world, Action::Move(Move::First));
    let mut seen = vec![first_line(&logs, &world)];
    for _ in 0..20 {
        act(&mut logs, &world, Action::Move(Move::PageDown));
        seen.push(first_line(&logs, &world));
    }
    for before in seen.iter().rev().skip(1) {
        act(&mut logs, &world, Action::Move(Move::PageUp));
        assert_eq!(first_line(&logs, &world), *before);
    }
    for _ in 0..500 {
        act(&mut logs, &world, Action::Move(Move::PageDown));
        testing::text(&logs, &world, 80, 10);
    }
    assert_eq!(logs.cursor, 499);
}

#[test]
fn one_step_is_shown_alone_and_matches_are_gone_to() {
    let world = world(60);
    let mut logs = opened(&world);
    act(&mut logs, &world, Action::Log(Logging::Merge));
    let text = testing::text(&logs, &world, 80, 12);
    assert!(text.contains("line 59") && !text.contains("line 58"), "{text}");
    act(&mut logs, &world, Action::Log(Logging::Merge));
    act(&mut logs, &world, Action::Move(Move::First));
    logs.filter(&Filter::parse("/line .7 of/"), &world.context());
    assert_eq!(logs.cursor, 17);
    act(&mut logs, &world, Action::Log(Logging::NextMatch));
    assert_eq!(logs.cursor, 27);
    let wishes = [1, 2].map(|_| act(&mut logs, &world, Action::Log(Logging::PreviousMatch)));
    assert_eq!((logs.cursor, wishes), (57, [vec![], vec![Wish::Say("on from the last one".into())]]));
    act(&mut logs, &world, Action::Log(Logging::Only));
    assert_eq!(logs.shown().len(logs.log(&world.context()).unwrap()), 5);
}

#[test]
fn lines_are_selected_and_copied() {
    let world = world(20);
    let mut logs = opened(&world);
    testing::text(&logs, &world, 80, 10);
    act(&mut logs, &world, Action::Move(Move::First));
    act(&mut logs, &world, Action::Log(Logging::Select));
    act(&mut logs, &world, Action::Move(Move::Down));
    let subject = logs.subject(&world.context());
    let lines =
        ["line 0 of a log, 漢字 and so on, ", "line 1 of a log, 漢字 and so on, x"].map(str::trim_end);
    assert_eq!(subject.text.lines().collect::<Vec<_>>(), lines);
    assert_eq!(subject.step, Some(step(1, 1)));
    let wishes = act(&mut logs, &world, Action::Log(Logging::StreamStep));
    let wanted = Effect::Stream { build: BUILD, step: Some(step(1, 1)) };
    assert_eq!(wishes, [Wish::Effect(wanted)]);
}

#[test]
fn failures_are_gone_to_one_after_the_other() {
    let mut world = world(10);
    for index in [2, 3] {
        world.logged(5_000, step(1, index), Stream::Stderr, "it broke\nfailed: says the program\n");
        world.built(5_100, BuildEvent::Failed { step: step(1, index), exit: Exit::Code(1) });
        for _ in 0..50 {
            world.logged(6_000, step(0, 0), Stream::Stdout, "something else\n");
        }
    }
    let mut logs = opened(&world);
    let next = Action::App(Global::NextFailure);
    act(&mut logs, &world, next);
    assert_eq!((logs.cursor, logs.pinned), (12, 0));
    act(&mut logs, &world, next);
    assert_eq!((logs.cursor, logs.pinned), (65, 1));
    act(&mut logs, &world, next);
    assert_eq!(logs.cursor, 12);
}

#[test]
fn a_log_that_begins_anew_is_shown_anew() {
    let (long, short) = (world(400), world(3));
    let mut logs = opened(&long);
    act(&mut logs, &long, Action::Move(Move::Up));
    logs.filter(&Filter::parse("line"), &long.context());
    logs.prepare(&short.context());
    assert!(testing::text(&logs, &short, 80, 10).contains("line 2"));
    assert_eq!(logs.found.len(&short.logs[&BUILD]), 3);
}

#[test]
fn a_long_log_is_scrolled_as_fast_as_a_short_one() {
    let long_and_short = [400, 1].map(|thousands| {
        let mut world = World::new();
        world.plan(&[("build", 1)]);
        let many = "a line of some length that is longer than the screen is wide, to break it\n".repeat(1000);
        for _ in 0..thousands {
            let (stream, bytes) = (Stream::Stdout, many.clone().into_bytes());
            let event = BuildEvent::Logged { step: step(0, 0), stream, bytes };
            world.logs.entry(BUILD).or_default().apply(&Recorded { at: 1, event });
        }
        let mut logs = opened(&world);
        logs.filter(&Filter::parse("screen"), &world.context());
        while !logs.is_searched {
            logs.prepare(&world.context());
        }
        (world, logs)
    });
    let mut took = [std::time::Duration::ZERO; 2];
    let mut both = long_and_short;
    // By turns, so that whatever else the machine does slows both.
    for turn in 0..200 {
        let step = [Move::PageUp, Move::Up, Move::First, Move::PageDown, Move::Last][turn % 5];
        for ((world, logs), took) in both.iter_mut().zip(&mut took) {
            let start = std::time::Instant::now();
            act(logs, world, Action::Move(step));
            testing::text(logs, world, 60, 40);
            *took += start.elapsed();
        }
    }
    assert!(took[0] < took[1] * 20, "{took:?}");
}

#[test]
fn whatever_keys_come_nothing_breaks() {
    let world = world(120);
    let mut logs = opened(&world);
    let actions = [
        Action::Move(Move::Up),
        Action::Move(Move::Down),
        Action::Move(Move::PageUp),
        Action::Move(Move::HalfDown),
        Action::Move(Move::Left),
        Action::Move(Move::Right),
        Action::Move(Move::First),
        Action::Move(Move::Last),
        Action::Log(Logging::Follow),
        Action::Log(Logging::Wrap),
        Action::Log(Logging::Timestamps),
        Action::Log(Logging::Merge),
        Action::Log(Logging::Only),
        Action::Log(Logging::Select),
        Action::Log(Logging::NextMatch),
        Action::App(Global::NextFailure),
    ];
    let mut seed = 7_u64;
    for turn in 0..3000_u16 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = usize::try_from(seed >> 33).unwrap();
        act(&mut logs, &world, actions[pick % actions.len()]);
        if turn % 7 == 0 {
            let text = ["", "line", "/7/", "!of", "nothing at all"][pick % 5];
            logs.filter(&Filter::parse(text), &world.context());
        }
        testing::text(
            &logs,
            &world,
            u16::try_from(pick % 90).unwrap(),
            u16::try_from(pick / 97 % 30).unwrap(),
        );
    }
}
