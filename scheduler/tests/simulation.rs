//! A simulated farm: virtual time, machines, a coordinator and builds around the real scheduler, with everything that
//! goes wrong on networks and machines, drawn from a seed. After each event what must always hold is looked at.
//!
//! A seed that fails is printed. `FARM_SIMULATION_SEED=n` runs that one alone and prints what happened;
//! `FARM_SIMULATION_SEEDS=n` runs more of them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "simulation/builds.rs"]
mod builds;
#[path = "simulation/coordinator.rs"]
mod coordinator;
#[path = "simulation/driver.rs"]
mod driver;
#[path = "simulation/machines.rs"]
mod machines;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::world::{Trouble, World};

/// Seeds of one run, unless the environment says otherwise.
const SEEDS: u64 = 400;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

fn run(seed: u64, trouble: Trouble) -> Result<World, String> {
    let mut world = World::new(seed, trouble);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = match outcome {
        Ok(Ok(())) => return Ok(world),
        Ok(Err(broken)) => broken,
        Err(_) => "it panicked".to_owned(),
    };
    if number("FARM_SIMULATION_SEED").is_some() {
        for line in &world.trace {
            println!("{line}");
        }
    }
    Err(format!(
        "seed {seed} at {} ms with {trouble:?}: {failure}\nreplay with FARM_SIMULATION_SEED={seed}",
        world.now
    ))
}

fn run_all(trouble: Trouble) {
    let seeds = match number("FARM_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FARM_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let failures: Vec<String> = seeds.filter_map(|seed| run(seed, trouble).err()).collect();
    assert!(failures.is_empty(), "{} seeds failed, the first:\n{}", failures.len(), failures[0]);
}

#[test]
fn everything_holds_on_a_calm_farm() {
    run_all(Trouble::None);
}

#[test]
fn everything_holds_while_machines_and_networks_fail() {
    run_all(Trouble::Machines);
}

#[test]
fn everything_holds_while_the_coordinator_restarts_as_well() {
    run_all(Trouble::Everything);
}

#[test]
fn the_same_events_give_the_same_decisions() {
    for seed in 0..20 {
        let [one, two] = [(); 2].map(|()| run(seed, Trouble::Everything).unwrap());
        assert_eq!(one.trace, two.trace);
    }
}

#[test]
fn a_calm_farm_needs_one_result_for_every_key_of_a_scope() {
    for seed in 0..50 {
        let world = run(seed, Trouble::None).unwrap();
        assert!(world.rules.results.values().all(|results| *results == 1), "seed {seed}");
    }
}

#[test]
fn the_simulation_meets_every_decision() {
    let mut met = std::collections::BTreeMap::new();
    for seed in 0..150 {
        for (decision, count) in run(seed, Trouble::Everything).unwrap().rules.met {
            *met.entry(decision).or_insert(0) += count;
        }
    }
    for decision in [
        "adopt", "cancel", "deliver", "drain", "give up", "grant", "join", "move", "parked", "retry",
        "succeed",
    ] {
        assert!(met.contains_key(decision), "{decision} is not among {met:?}");
    }
}
