//! What people on duty do: workers that rest, steps that move, images that stay, and the account of it.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::topology::Topology;
use serde_json::Value;

use crate::traces::{processes, release, wait_for, wait_for_step};

fn workers(farm: &Farm) -> Vec<Value> {
    farm.command(&["workers", "--json"]).run().expect(0).json_lines()
}

/// The names of all workers, once all have come.
fn all_workers(farm: &Farm) -> Vec<String> {
    let count = match Topology::chosen() {
        Topology::Daemon => 1,
        Topology::Processes => 2,
    };
    wait_for(|| Some(names(&workers(farm))).filter(|names| names.len() == count), "the workers to come")
}

fn names(workers: &[Value]) -> Vec<String> {
    workers.iter().map(|worker| worker["name"].as_str().unwrap().to_owned()).collect()
}

/// What was done, the last first, each with what it was done to.
fn actions(farm: &Farm) -> Vec<(String, Value, Value)> {
    let lines = farm.command(&["actions", "--json"]).run().expect(0).json_lines();
    let row =
        |line: Value| (line["did"].as_str().unwrap().to_owned(), line["of"].clone(), line["refused"].clone());
    lines.into_iter().map(row).collect()
}

fn detached(farm: &Farm, context: &Context) -> String {
    let path = context.path().to_str().unwrap().to_owned();
    farm.command(&["build", "--detach", &path]).run().expect(0).stdout.trim().to_owned()
}

#[test]
fn workers_say_what_their_machines_use() {
    let farm = Farm::new();
    let told = || {
        let workers = workers(&farm);
        let all = !workers.is_empty() && workers.iter().all(|worker| worker["load"].is_object());
        all.then_some(workers)
    };
    let workers = wait_for(told, "every worker to have measured its machine");
    for worker in &workers {
        let load = &worker["load"];
        assert!(load["processors"].as_u64() > Some(0) && load["memory"].as_u64() > Some(0), "{worker}");
        assert!(load["disk"].as_u64() <= load["disk_total"].as_u64(), "{worker}");
        assert_eq!(worker["state"], "open");
    }
    let _table = farm.command(&["workers"]).run().expect(0).says(&["WORKER", "CPU", &names(&workers)[0]]);
}

#[test]
fn a_farm_whose_workers_all_rest_waits_until_one_is_given_work_again() {
    let farm = Farm::new();
    let all = all_workers(&farm);
    for worker in &all {
        let _drained = farm.command(&["drain", worker]).run().expect(0);
    }
    assert!(workers(&farm).iter().all(|worker| worker["state"] == "draining"));
    let build = detached(&farm, &Context::new("FROM busybox\nRUN echo at la''st\n"));
    let waits = || {
        let page = farm.command(&["builds", "show", &build]).run().expect(0).log;
        page.contains("waiting").then_some(())
    };
    wait_for(waits, "the step to wait");
    let _restored = farm.command(&["drain", "--undo", &all[0]]).run().expect(0);
    let _built =
        farm.command(&["builds", "attach", &build, "--progress", "plain"]).run().expect(0).says(&["at last"]);
    let _unknown = farm.command(&["drain", "nobody"]).run().expect(2).says(&["nobody", "farm workers"]);
    let did: Vec<_> = actions(&farm).into_iter().map(|(did, _, refused)| (did, refused.is_null())).collect();
    assert_eq!(
        did[..3],
        [("drained".to_owned(), false), ("restored".to_owned(), true), ("drained".to_owned(), true)]
    );
}

#[test]
fn a_step_that_is_moved_starts_over_and_its_build_goes_on() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox AS work\nRUN sleep 4714.1; echo said-la''st\n");
    let build = detached(&farm, &context);
    wait_for_step("4714.1");
    let before = processes("4714.1");
    let _none = farm.command(&["builds", "move", &build, "another"]).run().expect(2).says(&["RUN sleep"]);
    let _moved = farm.command(&["builds", "move", &build, "RUN sleep"]).run().expect(0);
    let again = || processes("4714.1").iter().any(|pid| !before.contains(pid)).then_some(());
    wait_for(again, "the step to start over");
    release("4714.1");
    let attached = farm.command(&["builds", "attach", &build, "--progress", "plain"]).run().expect(0);
    let _whole = attached.says(&["moved by", "said-last"]);
    let (did, of, refused) = &actions(&farm)[0];
    assert_eq!((did.as_str(), &of["build"], refused), ("moved", &Value::from(build.clone()), &Value::Null));
    let _over = farm.command(&["builds", "move", &build]).run().expect(2).says(&["no step"]);
}

#[test]
fn a_pinned_image_is_removed_only_once_it_is_let_go() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN echo pinned > /pinned\n");
    let path = context.path().to_str().unwrap();
    let _built = farm.command(&["build", "--quiet", "--tag", "shop:1", path]).run().expect(0);
    let _pinned = farm.command(&["pin", "shop:1"]).run().expect(0);
    let _refused = farm.command(&["rmi", "shop:1"]).run().expect(2).says(&["is pinned", "farm unpin shop:1"]);
    let _pruned = farm.command(&["prune", "--all", "--force"]).run().expect(0);
    let images = farm.command(&["images", "--json"]).run().expect(0).json_lines();
    assert!(images.len() == 1 && images[0]["pinned"] == true, "{images:?}");
    let _there = farm.command(&["run", "shop:1", "cat", "/pinned"]).run().expect(0).says(&["pinned"]);
    let _unpinned = farm.command(&["unpin", "shop:1"]).run().expect(0);
    let _removed = farm.command(&["rmi", "shop:1"]).run().expect(0);
    let did: Vec<_> = actions(&farm).into_iter().rev().map(|(did, ..)| did).collect();
    assert_eq!(did, ["pinned", "pruned", "unpinned"]);
}
