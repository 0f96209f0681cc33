use farm_model::event::recording;
use farm_tui::state::Farm;

use super::*;

fn small() -> Crowd {
    Crowd::new(Size { seed: 7, workers: 20, builds: 12, rate: 500 })
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let events = |mut crowd: Crowd| {
        let mut bytes = Vec::new();
        for event in crowd.beginning() {
            bytes.extend(recording::frame(&event));
        }
        for _ in 0..5000 {
            bytes.extend(recording::frame(&crowd.next_event()));
        }
        blake3::hash(&bytes)
    };
    assert_eq!(events(small()), events(small()));
}

#[test]
fn a_console_makes_sense_of_it() {
    let (mut crowd, mut farm) = (small(), Farm::default());
    for event in crowd.beginning() {
        farm.apply(&event);
    }
    // Some have come to their end already.
    assert!((6..=12).contains(&farm.totals().builds), "{:?}", farm.totals());
    assert_eq!(farm.workers().len(), 20);
    for _ in 0..20_000 {
        farm.apply(&crowd.next_event());
    }
    let totals = farm.totals();
    assert!((10..=12).contains(&totals.builds), "{totals:?}");
    assert!(totals.hits > 1000 && totals.misses > 1000 && totals.succeeded > 50, "{totals:?}");
    assert!(farm.slots().0 > 0 && !farm.images().names().is_empty());
}
