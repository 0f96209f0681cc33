use farm_model::event::{FarmEvent, WorkerFacts};
use farm_model::{BuildEvent, Exit, Usage};

use super::*;
use crate::app::action::Tabular;
use crate::view::glyphs::GlyphSet;
use crate::view::testing::{self, BUILD, START, World, check, check_odd_sizes, check_sizes, step};
use crate::view::theme::{Depth, Theme, ThemeName};

/// Three workers that have done something, one that drains and one that is lost.
fn world() -> World {
    let mut world = World::new();
    world.plan(&[("base", 2), ("build", 9), ("test", 4)]);
    let workers = ["alder", "beech", "cedar"].map(|name| world.worker(name, 3));
    let others = ["doomed", "elm"].map(|name| world.worker(name, 2));
    let mut steps = (0..2).map(|index| step(0, index)).chain((0..9).map(|index| step(1, index)));
    for round in 0..40_u32 {
        world.now = START + i64::from(round) * 2_000_000_000;
        for (worker, more) in workers.iter().chain(&others).zip([7, 3, 1, 5, 2]) {
            world.load(worker, u64::from(round * more % 100));
        }
    }
    for (round, of) in (0..9_u32).zip(workers.iter().cycle()) {
        let step = steps.next().unwrap();
        world.now = START + i64::from(round) * 8_000_000_000;
        world.built(round * 8000, BuildEvent::Started { step, worker: Some(of.clone()) });
        let end = match round {
            3 => BuildEvent::Failed { step, exit: Exit::Code(1) },
            6.. => continue,
            _ => BuildEvent::Finished { step, micros: 20_000_000, usage: Usage::default(), bytes: 5 },
        };
        world.built(round * 8000 + 20_000, end);
    }
    world.now = START + 90_000_000_000;
    world.said(FarmEvent::WorkerLost { worker: others[0].clone() });
    let facts = WorkerFacts {
        worker: others[1].clone(),
        platform: "linux/arm64".into(),
        slots: 2,
        most: 4,
        labels: vec!["gpu=no".into()],
        draining: true,
    };
    world.said(FarmEvent::Worker(facts));
    world.now = START + 100_000_000_000;
    world
}

fn opened(world: &World) -> Lanes {
    let mut lanes = Lanes::default();
    lanes.open(&Place::Workers(None), &world.context());
    lanes
}

fn names(lanes: &Lanes) -> Vec<&str> {
    lanes.list.rows().iter().map(|worker| worker.0.as_str()).collect()
}

#[test]
fn frames_are_as_they_were() {
    let mut world = world();
    let mut lanes = opened(&world);
    check_sizes("lanes", &lanes, &world);
    lanes.act(Action::Move(Move::Enter), &world.context());
    lanes.act(Action::Lanes(Laning::ZoomOut), &world.context());
    check_sizes("lanes-lines", &lanes, &world);
    (world.theme, world.set) = (Theme::new(ThemeName::Safe, Depth::Indexed), GlyphSet::Ascii);
    lanes.act(Action::Move(Move::Enter), &world.context());
    check("lanes-safe.txt", &crate::export::ansi(&testing::frame(&lanes, &world, 100, 20).0));
    check_odd_sizes(&lanes, &world);
    check_odd_sizes(&Lanes::default(), &World::new());
}

#[test]
fn workers_are_sorted_and_filtered() {
    let world = world();
    let mut lanes = opened(&world);
    assert_eq!(names(&lanes), ["alder", "beech", "cedar", "doomed", "elm"]);
    for (column, wanted) in [(1, "elm"), (3, "doomed")] {
        lanes.act(Action::Table(Tabular::Sort(column)), &world.context());
        lanes.act(Action::Table(Tabular::Reverse), &world.context());
        assert!(names(&lanes)[..2].contains(&wanted), "{:?} by {column}", names(&lanes));
    }
    lanes.filter(&Filter::parse("state:lost"), &world.context());
    assert_eq!(names(&lanes), ["doomed"]);
    lanes.filter(&Filter::parse("gpu"), &world.context());
    assert_eq!(names(&lanes), ["elm"]);
}

#[test]
fn a_click_on_a_span_selects_its_step_and_another_goes_there() {
    let world = world();
    let mut lanes = opened(&world);
    let (_, hits) = testing::frame(&lanes, &world, 120, 30);
    let cells = (0..30).flat_map(|y| (0..120).map(move |x| (x, y)));
    let spans = cells.filter_map(|(x, y)| hits.at(x, y)).find(|hit| matches!(hit, Target::Step(..)));
    let Some(target @ Target::Step(build, step)) = spans.cloned() else { panic!("there are spans") };
    assert!(lanes.click(&target, false, &world.context()).is_empty());
    assert_eq!(lanes.subject(&world.context()).step, Some(step));
    let gone = lanes.click(&target, false, &world.context());
    assert_eq!((build, gone), (BUILD, vec![Wish::Go(Place::Stages(BUILD, Some(step)))]));
}

#[test]
fn time_is_scrolled_and_followed_again() {
    let world = world();
    let mut lanes = opened(&world);
    for _ in 0..3 {
        lanes.act(Action::Move(Move::Left), &world.context());
    }
    assert_eq!(lanes.title(&world.context()), "5 workers, 60.0s until 45.0s ago");
    assert_ne!(testing::text(&lanes, &world, 120, 30), testing::text(&opened(&world), &world, 120, 30));
    lanes.act(Action::Lanes(Laning::Now), &world.context());
    lanes.act(Action::Move(Move::Right), &world.context());
    assert_eq!(lanes.back, 0);
}

#[test]
fn settings_come_back() {
    let world = world();
    let mut lanes = opened(&world);
    lanes.act(Action::Lanes(Laning::ZoomIn), &world.context());
    lanes.act(Action::Move(Move::Enter), &world.context());
    lanes.act(Action::Table(Tabular::Sort(4)), &world.context());
    let mut other = Lanes::default();
    other.restore(&lanes.setting());
    assert_eq!((other.setting(), other.zoom), (lanes.setting(), 1));
    other.restore("zoom=7 nonsense sort=unknown");
    assert_eq!(other.setting(), lanes.setting());
}
