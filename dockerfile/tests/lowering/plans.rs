//! Dockerfiles of known projects: their typed instructions, and what each target needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use farm_dockerfile::{Lowered, parse};
use farm_model::graph::Image;
use farm_model::{ImageConfig, ImageSource};
use serde_json::Value;

use crate::support::{base, directory, lower_with, options};
use crate::vectors;

fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

fn images(lowered: &Lowered) -> BTreeSet<String> {
    let sources = lowered.graph.images.iter().map(|image| &image.source);
    sources
        .map(|source| {
            if let ImageSource::Registry(reference) = source { reference.to_string() } else { String::new() }
        })
        .collect()
}

/// The images of the needed stages, completed as references are.
fn expected_images(stages: &[Value], needed: &[u64]) -> BTreeSet<String> {
    let needed = needed.iter().map(|index| &stages[usize::try_from(*index).unwrap()]);
    let names = needed.flat_map(|stage| stage["external_images"].as_array().unwrap());
    let complete =
        |name: &Value| name.as_str().unwrap().parse::<farm_model::Reference>().unwrap().to_string();
    names.map(complete).collect()
}

/// Mounts over the working directory assume that the base image sets one.
fn in_a_directory(image: &Image) -> ImageConfig {
    ImageConfig { working_dir: "/src".to_owned(), ..base(image) }
}

fn check_targets(file: &str, text: &str, plan: &Value) -> usize {
    let stages = plan["stages"].as_array().unwrap();
    let targets = plan["targets_needed_stages"].as_object().unwrap();
    for (name, needed) in targets {
        let needed: Vec<u64> =
            needed.as_array().unwrap().iter().map(|index| index.as_u64().unwrap()).collect();
        let mut given = options();
        given.target = Some(name.clone());
        let lowered =
            lower_with(text, given, &in_a_directory).unwrap_or_else(|error| panic!("{file} {name}: {error}"));
        let found: Vec<u64> = lowered.graph.stages.iter().map(|stage| u64::from(stage.id.0)).collect();
        assert_eq!(found, needed, "{file} {name}");
        assert_eq!(images(&lowered), expected_images(stages, &needed), "{file} {name}");
    }
    targets.len()
}

#[test]
fn known_projects_need_the_stages_that_are_known() {
    let Some(root) = directory("FARM_REALWORLD") else { return };
    let mut plans: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    plans.retain(|path| path.to_string_lossy().ends_with(".plan.json"));
    plans.sort();
    let mut targets = 0;
    for path in &plans {
        let plan = json(path);
        let file = plan["file"].as_str().unwrap();
        let text = fs::read_to_string(root.join(file)).unwrap();
        let syntax = json(&root.join(format!("{file}.ast.json")));
        let ast = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{file}: {error}"));
        vectors::compare(file, &ast.nodes, syntax["stages"].as_array().unwrap());
        targets += check_targets(file, &text, &plan);
    }
    println!("{} Dockerfiles, {targets} targets", plans.len());
    assert!(targets > 0, "no plan was found");
}
