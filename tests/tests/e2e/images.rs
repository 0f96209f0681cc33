//! Images by name: what is listed, shown, renamed and built upon.

use farm_tests::context::Context;
use farm_tests::farm::Farm;

/// An image of so many bytes.
fn shop(bytes: usize) -> Context {
    Context::new("FROM busybox AS tools\nRUN echo tools > /tools && echo part > /part\nFROM scratch\nLABEL a=b\nCOPY --from=tools /part /\nCOPY f /\n")
        .file("f", "x".repeat(bytes - "part\n".len()))
}

fn build(farm: &Farm, context: &Context, name: &str) {
    let _built = farm.command(&["build", "-t", name, context.path().to_str().unwrap()]).run().expect(0);
}

fn lines(farm: &Farm, words: &[&str]) -> Vec<String> {
    farm.command(words).run().expect(0).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn sizes_are_unpacked_bytes_with_the_change_since_the_build_before() {
    let farm = Farm::new();
    build(&farm, &shop(1000), "shop:1");
    let row = ["images", "--format", "{{.Repository}} {{.Tag}} {{.Size}} {{.Change}} {{.PackedSize}}."];
    assert_eq!(lines(&farm, &row), ["shop 1 1.00kB  ."]);
    build(&farm, &shop(3500), "shop:1");
    assert_eq!(lines(&farm, &row), ["shop 1 3.50kB +2.50kB ."]);
    let image = farm.command(&["images", "--json"]).run().expect(0).json_lines().remove(0);
    assert_eq!((&image["bytes"], &image["previous_bytes"]), (&3500.into(), &1000.into()));
    assert!(image["packed_bytes"].is_null(), "nothing was packed yet: {image}");
    assert!(image["discarded_bytes"].as_u64() > Some(5), "the stage `tools` weighs something: {image}");
    // Once it is exported its layers have a packed size.
    let _exported = farm.build(shop(3500).path()).option("-t", "shop:1").run().expect(0);
    let image = farm.command(&["images", "--json"]).run().expect(0).json_lines().remove(0);
    assert!((1..3500).contains(&image["packed_bytes"].as_u64().unwrap_or(0)), "{image}");
}

#[test]
fn filters_templates_and_names_choose_what_is_listed() {
    let farm = Farm::new();
    for name in ["shop:1", "shop:2", "team/other:1"] {
        build(&farm, &shop(10), name);
    }
    let names = |words: &[&str]| {
        let mut found = lines(&farm, &[&["images", "--format", "{{.Repository}}:{{.Tag}}"], words].concat());
        found.sort();
        found
    };
    for (words, wanted) in [
        (&[][..], &["shop:1", "shop:2", "team/other:1"][..]),
        (&["--filter", "reference=shop*"], &["shop:1", "shop:2"]),
        (&["--filter", "reference=*:2"], &["shop:2"]),
        (&["--filter", "reference=team/*"], &["team/other:1"]),
        (&["shop:1"], &["shop:1"]),
        (&["--filter", "reference=nothing"], &[]),
    ] {
        assert_eq!(names(words), wanted, "{words:?}");
    }
    let table =
        farm.command(&["images"]).run().expect(0).says(&["REPOSITORY", "SIZE", "CHANGE", "team/other"]);
    assert_eq!(table.stdout.lines().count(), 4);
    for wrong in [&["--filter", "reference"][..], &["--filter", "no=thing"], &["--format", "{{.Nothing}}"]] {
        assert_eq!(farm.command(&[&["images"], wrong].concat()).run().status, Some(2), "{wrong:?}");
    }
}

#[test]
fn history_and_inspect_tell_how_an_image_came_to_be() {
    let farm = Farm::new();
    build(&farm, &shop(1000), "shop:1");
    let rows = lines(&farm, &["history", "--no-trunc", "--format", "{{.Size}} {{.CreatedBy}}", "shop:1"]);
    assert!(rows[0].starts_with("995B ") && rows[0].contains("COPY f /"), "{rows:?}");
    assert!(rows[2].contains("LABEL a=b"), "{rows:?}");
    let shown = farm.command(&["inspect", "shop:1"]).run().expect(0);
    let image =
        serde_json::from_str::<serde_json::Value>(&shown.stdout).unwrap().as_array().unwrap()[0].clone();
    assert_eq!(image["names"][0].as_str().map(|name| name.ends_with("shop:1")), Some(true), "{image}");
    assert_eq!(image["config"]["config"]["Labels"]["a"], "b", "{image}");
    assert_eq!(image["layers"].as_array().map(Vec::len), Some(2), "{image}");
    assert_eq!(image["stages"][0]["stage"], "tools", "{image}");
    assert!(image["build"].is_string(), "{image}");
    for verb in ["history", "inspect"] {
        let _named = farm.command(&[verb, "no-such:1"]).run().expect(2).says(&["no-such"]);
    }
}

#[test]
fn a_name_is_given_taken_and_built_upon() {
    let farm = Farm::new();
    build(&farm, &shop(10), "shop:1");
    let _tagged = farm.command(&["tag", "shop:1", "team/base:2"]).run().expect(0);
    let names = || lines(&farm, &["images", "--format", "{{.Repository}}:{{.Tag}}"]).len();
    assert_eq!(names(), 2);
    // No registry has it: what farm built wins.
    let upon = Context::new("FROM team/base:2\nCOPY g /\n").file("g", "g");
    let files = farm.build(upon.path()).run().expect(0).files();
    assert_eq!((files.text("f").len(), files.text("g")), (5, "g".to_owned()));
    let _removed = farm.command(&["rmi", "team/base:2"]).run().expect(0).says(&["removed", "team/base:2"]);
    assert_eq!(names(), 1);
    assert_ne!(farm.build(upon.path()).run().status, Some(0), "a name that was taken away is still found");
    for words in
        [&["rmi", "team/base:2"][..], &["tag", "team/base:2", "x:1"], &["tag", "shop:1", "UPPER CASE"]]
    {
        assert_eq!(farm.command(words).run().status, Some(2), "{words:?}");
    }
}
