use farm_model::BuildEvent;
use farm_model::event::StageSize;

use super::*;
use crate::app::action::{Move, Tabular};
use crate::state::images::{Against, Difference, Entry, ImageDetail, ImageRow, Layer, LayerWaste};
use crate::view::testing::{self, World, check_odd_sizes, check_sizes};

const APP: &str = "orchard/app:1";

fn row(name: &str, bytes: u64, previous: Option<u64>) -> ImageRow {
    ImageRow {
        name: name.to_owned(),
        id: "3f".into(),
        created: testing::START,
        platform: "linux/amd64".into(),
        bytes,
        packed: Some(bytes / 3),
        previous,
        discarded: bytes * 4,
        layers: 7,
        pinned: name.contains("base"),
        trend: vec![bytes / 2, bytes / 3 * 2, bytes],
    }
}

fn opened(world: &World) -> Images {
    let mut images = Images::default();
    images.open(&Place::Images(None), &world.context());
    assert_eq!(images.asks(), [Query::Images]);
    assert_eq!(images.asks(), []);
    images
}

fn listed(world: &World) -> Images {
    let mut images = opened(world);
    let rows = vec![
        row("orchard/base:stable", 210_000_000, Some(230_000_000)),
        row(APP, 81_000_000, Some(79_500_000)),
        row("orchard/a-very-long-name-of-an-image/with/parts:1.2.3-alpine", 1_400_000_000, None),
    ];
    images.answer(&Answer::Images(rows), &world.context());
    images
}

fn act(images: &mut Images, world: &World, action: Action) -> Vec<Query> {
    images.act(action, &world.context());
    images.asks()
}

fn layers_of(images: &mut Images, world: &World) {
    let query = act(images, world, Action::Move(Move::Enter));
    let image = || "orchard/a-very-long-name-of-an-image/with/parts:1.2.3-alpine".to_owned();
    assert_eq!(query, [Query::Image { image: image() }, Query::Waste { image: image() }]);
    let layer = |number: u64| Layer {
        digest: format!("{number:064x}"),
        created_by: format!("RUN make part-{number} \\\n --all"),
        bytes: number * 40_000_000,
        entries: number * 100,
        packed: Some(number * 9_000_000),
        base: number < 3,
    };
    let detail = ImageDetail {
        row: row(&image(), 1_400_000_000, None),
        layers: (1..=5).map(layer).collect(),
        stages: vec![("build".into(), 2_000_000_000, false), ("run".into(), 1_400_000_000, true)],
    };
    images.answer(&Answer::Image(Box::new(detail)), &world.context());
    let waste = |number: u64| LayerWaste {
        bytes: number * 40_000_000,
        hidden_bytes: (5 - number) * 3_000_000,
        hidden_files: 5 - number,
        touched_bytes: number * 100_000,
        duplicate_bytes: 2_000_000,
        worst: vec![("usr/lib/libbig.so".into(), 2_500_000), ("var/cache/apt/\x1b[2Jx".into(), 700_000)],
    };
    images.answer(&Answer::Waste { image: image(), layers: (1..=5).map(waste).collect() }, &world.context());
}

fn entry(name: &str, kind: char, bytes: u64, against: Against) -> Entry {
    let link = (kind == 'l').then(|| "../lib64".to_owned());
    Entry { name: name.to_owned(), kind, mode: 0o755, owner: (0, 1000), bytes, link, against }
}

fn files_of(images: &mut Images, world: &World) {
    layers_of(images, world);
    let [query] = &act(images, world, Action::Move(Move::Enter))[..] else { panic!("the root is asked for") };
    let entries = vec![
        entry("usr", 'd', 40_000_000, Against::Changed),
        entry("lib", 'l', 0, Against::Added),
        entry("etc", 'd', 40_000, Against::Same),
        entry("old", '-', 700, Against::Removed),
    ];
    images.answer(&Answer::Entries { query: query.clone(), entries, more: 12 }, &world.context());
}

#[test]
fn frames_are_as_they_were() {
    let mut world = World::new();
    let images = opened(&world);
    assert!(testing::text(&images, &world, 80, 10).contains("asking for the list of images"));
    let mut images = listed(&world);
    check_sizes("images", &images, &world);
    check_odd_sizes(&images, &world);
    world.plan(&[("build", 2)]);
    images.prepare(&world.context());
    layers_of(&mut images, &world);
    check_sizes("layers", &images, &world);
    check_odd_sizes(&images, &world);
    assert!(images.back() && !images.back());
    files_of(&mut images, &world);
    check_sizes("files", &images, &world);
    check_odd_sizes(&images, &world);
}

#[test]
fn images_of_running_builds_appear_as_they_result() {
    let mut world = World::new();
    let mut images = listed(&world);
    world.plan(&[("build", 2)]);
    let done = |index, bytes| BuildEvent::Finished {
        step: testing::step(0, index),
        micros: 5,
        usage: farm_model::Usage::default(),
        bytes,
    };
    world.built(100, done(0, 30_000_000));
    world.built(200, done(1, 4_000_000));
    images.prepare(&world.context());
    assert!(testing::text(&images, &world, 120, 10).contains("34.0MB"));
    let stages = vec![StageSize { stage: "build".into(), bytes: 9, entries: 1, kept: true }];
    world.built(300, BuildEvent::Completed { stages, image_bytes: 91_000_000, discarded_bytes: 9_000_000 });
    images.prepare(&world.context());
    let text = testing::text(&images, &world, 120, 10);
    assert!(text.contains("+10.0MB") && text.contains("91.0MB"), "{text}");
    assert_eq!(images.asks(), []);
    world.now += 6_000_000_000;
    images.prepare(&world.context());
    assert_eq!(images.asks(), [Query::Images]);
}

#[test]
fn directories_are_asked_for_when_they_are_unfolded() {
    let world = World::new();
    let mut images = listed(&world);
    files_of(&mut images, &world);
    let [query @ Query::Entries { path, layer, .. }] =
        &act(&mut images, &world, Action::Move(Move::Right))[..]
    else {
        panic!("the directory is asked for")
    };
    assert_eq!((path.as_str(), *layer), ("usr", Some(0)));
    assert!(testing::text(&images, &world, 80, 20).contains("asking for what it holds"));
    let entries = vec![entry("bin", 'd', 4, Against::Same), entry("share", 'd', 9, Against::Same)];
    images.answer(&Answer::Entries { query: query.clone(), entries, more: 0 }, &world.context());
    let order = |images: &Images| {
        let text = testing::text(images, &world, 80, 20);
        ["bin", "share"].map(|name| text.lines().position(|line| line.contains(name)).unwrap())
    };
    assert!(order(&images)[0] > order(&images)[1]);
    act(&mut images, &world, Action::Table(Tabular::Sort(3)));
    assert!(order(&images)[0] < order(&images)[1]);
    act(&mut images, &world, Action::Move(Move::Left));
    assert!(!testing::text(&images, &world, 80, 20).contains("share"));
    images.filter(&Filter::parse("et"), &world.context());
    let text = testing::text(&images, &world, 80, 20);
    assert!(text.lines().nth(1).unwrap().contains("etc"), "{text}");
}

#[test]
fn two_images_are_compared_once_one_is_marked() {
    let world = World::new();
    let mut images = listed(&world);
    let wishes = images.act(Action::Images(Imaging::Compare), &world.context());
    assert!(matches!(&wishes[..], [Wish::Say(text)] if text.contains("mark")));
    act(&mut images, &world, Action::Images(Imaging::Mark));
    act(&mut images, &world, Action::Move(Move::Last));
    let query = act(&mut images, &world, Action::Images(Imaging::Compare));
    let [query @ Query::Compare { before, after }] = &query[..] else { panic!("it is asked for") };
    assert!(before.contains("alpine") && after == APP);
    let difference = |path: &str, before, after| Difference { path: path.to_owned(), before, after };
    let differences = vec![
        difference("usr/lib/python3/dist-packages/numpy/core/big.so", None, Some(41_000_000)),
        difference("var/cache/apt/pkgcache.bin", Some(9_000_000), None),
        difference("etc/motd", Some(100), Some(10_100)),
    ];
    images.answer(&Answer::Compare { query: query.clone(), differences, more: 7 }, &world.context());
    check_sizes("compare", &images, &world);
    check_odd_sizes(&images, &world);
}

#[test]
fn a_refusal_is_shown_where_it_was_asked() {
    let world = World::new();
    let mut images = listed(&world);
    act(&mut images, &world, Action::Move(Move::Enter));
    let refused = |message: &str| Answer::Refused {
        what: "read the image".into(),
        message: message.into(),
        hint: Some("ask for it".into()),
    };
    images.answer(&refused("it is gone"), &world.context());
    let text = testing::text(&images, &world, 80, 10);
    assert!(
        text.contains("failed to read the image: it is gone (ask for it)")
            && text.contains("asking for what"),
        "{text}"
    );
}

#[test]
fn whatever_keys_and_answers_come_nothing_breaks() {
    let world = World::new();
    let mut images = listed(&world);
    let actions = [
        Action::Move(Move::Up),
        Action::Move(Move::Down),
        Action::Move(Move::Left),
        Action::Move(Move::Right),
        Action::Move(Move::Enter),
        Action::Move(Move::Last),
        Action::Table(Tabular::SortNext),
        Action::Table(Tabular::Reverse),
        Action::Images(Imaging::Files),
        Action::Images(Imaging::Waste),
        Action::Images(Imaging::Mark),
        Action::Images(Imaging::Compare),
    ];
    let names = ["\x1b]0;x\x07", "\u{202e}evil", "漢字", "", "a/../b", "very long ".repeat(99).leak()];
    let mut seed = 11_u64;
    for turn in 0..4000_u16 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = usize::try_from(seed >> 33).unwrap();
        let name = names[pick % names.len()].to_owned();
        for query in act(&mut images, &world, actions[pick % actions.len()]) {
            let answer = match (pick % 7, query) {
                (0, _) => Answer::Refused { what: name.clone(), message: name.clone(), hint: None },
                (_, Query::Images) => Answer::Images(vec![row(&name, u64::MAX, Some(0)), row(APP, 0, None)]),
                (_, Query::Image { image }) => {
                    let layers = vec![
                        Layer { created_by: name.clone(), bytes: u64::MAX, ..Layer::default() };
                        pick % 5
                    ];
                    let row = row(&image, 5, Some(u64::MAX));
                    Answer::Image(Box::new(ImageDetail {
                        row,
                        layers,
                        stages: vec![(name.clone(), 1, true)],
                    }))
                }
                // It may know of other layers than the image does.
                (_, Query::Waste { image }) => {
                    let waste =
                        LayerWaste { bytes: u64::MAX, hidden_bytes: u64::MAX, ..LayerWaste::default() };
                    Answer::Waste { image, layers: vec![waste; pick % 9] }
                }
                (_, query @ Query::Entries { .. }) => {
                    let entries = vec![entry(&name, 'd', u64::MAX, Against::Same); pick % 4];
                    Answer::Entries { query, entries, more: u64::MAX }
                }
                (_, query @ Query::Compare { .. }) => {
                    let difference = Difference { path: name.clone(), before: Some(u64::MAX), after: None };
                    Answer::Compare { query, differences: vec![difference; pick % 4], more: 0 }
                }
            };
            images.answer(&answer, &world.context());
        }
        if turn % 11 == 0 {
            images.back();
            images.filter(&Filter::parse(["", "evil", "!a", "/./"][pick % 4]), &world.context());
        }
        let (columns, rows) = (u16::try_from(pick % 130).unwrap(), u16::try_from(pick / 131 % 40).unwrap());
        let text = testing::text(&images, &world, columns, rows);
        assert!(!text.contains(['\x1b', '\x07', '\u{202e}']));
    }
}
