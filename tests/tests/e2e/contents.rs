//! What is in images: waste, directories, differences, what they share, and how a name's size went.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use serde_json::Value;

/// Layers that hold something in vain: `gone` is deleted, `app/a` is overwritten, `app/b` touched, and `twin` is `app/b`.
fn wasteful() -> Context {
    Context::new(
        "FROM busybox AS tools\nRUN mkdir -p /t/app && touch /t/app/.wh-none\nFROM busybox\nCOPY app /app\nCOPY gone twin /\nRUN rm /gone && echo new > /app/a && chown 7:8 /app/b && ln -s app /link\n",
    )
    .file("app/a", "a".repeat(1000))
    .file("app/b", "b".repeat(2000))
    .file("gone", "g".repeat(3000))
    .file("twin", "b".repeat(2000))
}

fn build(farm: &Farm, context: &Context, name: &str) {
    let _built = farm.command(&["build", "-q", "-t", name, context.path().to_str().unwrap()]).run().expect(0);
}

fn json(farm: &Farm, words: &[&str]) -> Value {
    farm.command(words).run().expect(0).json_lines().remove(0)
}

#[test]
fn waste_is_told_for_the_layer_that_holds_it() {
    let farm = Farm::new();
    build(&farm, &wasteful(), "shop:1");
    let waste = json(&farm, &["images", "waste", "--json", "shop:1"]);
    let layer = |number: usize, part: &str| {
        (
            waste["layers"][number][part]["bytes"].as_u64(),
            waste["layers"][number][part]["worst"][0]["path"].clone(),
        )
    };
    assert_eq!(layer(1, "overwritten"), (Some(1000), "/app/a".into()), "{waste}");
    assert_eq!(layer(2, "deleted"), (Some(3000), "/gone".into()), "{waste}");
    assert_eq!(layer(3, "touched"), (Some(2000), "/app/b".into()), "{waste}");
    assert_eq!(layer(2, "duplicated"), (Some(2000), "/twin".into()), "{waste}");
    assert_eq!(waste["layers"][2]["duplicated"]["worst"][0]["same_as"], "/app/b", "{waste}");
    assert_eq!(waste["wasted_bytes"], 6000, "{waste}");
    let number = |field: &str| waste[field].as_u64().unwrap();
    assert_eq!(number("bytes"), number("seen_bytes") + number("wasted_bytes"), "{waste}");
    let size = json(&farm, &["images", "--json", "shop:1"])["bytes"].clone();
    assert_eq!(waste["seen_bytes"], size, "the image shows what `farm images` says");
    let _text = farm
        .command(&["images", "waste", "shop:1"])
        .run()
        .expect(0)
        .says(&["efficiency", "deleted by layer 3"]);
    let _none = farm.command(&["images", "waste", "no-such"]).run().expect(2).says(&["no-such"]);
}

#[test]
fn directories_of_an_image_and_of_its_layers_are_listed() {
    let farm = Farm::new();
    build(&farm, &wasteful(), "shop:1");
    let names = |listing: &Value, field: &str| -> Vec<String> {
        let row = |row: &Value| format!("{} {}", row["name"].as_str().unwrap(), row[field]);
        listing["entries"].as_array().unwrap().iter().map(row).collect()
    };
    let merged = json(&farm, &["images", "files", "--json", "shop:1", "/link"]);
    assert_eq!(names(&merged, "layer"), ["a 3", "b 3"], "{merged}");
    assert_eq!(merged["path"], "/app", "links are followed: {merged}");
    let layer = json(&farm, &["images", "files", "--json", "--layer", "3", "shop:1"]);
    assert_eq!(
        names(&layer, "standing"),
        ["app \"within\"", "gone \"removed\"", "link \"added\""],
        "{layer}"
    );
    let inside = json(&farm, &["images", "files", "--json", "--layer", "3", "shop:1", "app"]);
    assert_eq!(names(&inside, "standing"), ["a \"contents\"", "b \"metadata\""], "{inside}");
    assert_eq!(inside["entries"][0]["before_bytes"], 1000, "{inside}");
    let part = json(&farm, &["images", "files", "--json", "--skip", "1", "--limit", "1", "shop:1", "app"]);
    assert_eq!((names(&part, "uid"), &part["more"]), (vec!["b 7".to_owned()], &0.into()), "{part}");
    let _text = farm
        .command(&["images", "files", "shop:1", "/"])
        .run()
        .expect(0)
        .says(&["link -> app", "lrwxrwxrwx"]);
    for wrong in [&["shop:1", "/none"][..], &["shop:1", "/../etc"], &["shop:1", "--layer", "9"], &["none"]] {
        let status = farm.command(&[&["images", "files"], wrong].concat()).run().status;
        assert!(matches!(status, Some(1 | 2)), "{wrong:?}: {status:?}");
    }
}

#[test]
fn two_images_are_compared_by_weight() {
    let farm = Farm::new();
    let image = |large: usize, extra: &str| {
        Context::new("FROM scratch\nCOPY . /\n")
            .file("a", "a".repeat(large))
            .file("same/x", "x")
            .file(extra, "e")
    };
    build(&farm, &image(10, "old/one"), "shop:1");
    build(&farm, &image(5000, "new"), "shop:2");
    let found = json(&farm, &["diff", "--json", "shop:1", "shop:2"]);
    let rows: Vec<_> =
        found["differences"].as_array().unwrap().iter().map(|row| row["path"].clone()).collect();
    assert_eq!(rows[0], "/a", "{found}");
    assert_eq!((rows.contains(&"/new".into()), rows.contains(&"/old".into())), (true, true), "{found}");
    assert_eq!((&found["added"]["entries"], &found["deleted"]["entries"]), (&1.into(), &2.into()), "{found}");
    let _text =
        farm.command(&["diff", "shop:1", "shop:2"]).run().expect(0).says(&["C", "+4.99kB", "/a", "in all"]);
    let same = json(&farm, &["diff", "--json", "shop:1", "shop:1"]);
    assert_eq!(same["differences"], Value::Array(Vec::new()));
    let _one = farm.command(&["diff", "shop:1", "shop:9"]).run().expect(2).says(&["shop:9"]);
}

#[test]
fn shared_layers_are_counted_once() {
    let farm = Farm::new();
    for (name, own) in [("one:1", 100), ("two:1", 200)] {
        let context = Context::new("FROM scratch\nCOPY common /\nCOPY own /\n")
            .file("common", "c".repeat(1000))
            .file("own", "o".repeat(own));
        build(&farm, &context, name);
    }
    let _again = farm.command(&["tag", "one:1", "other:1"]).run().expect(0);
    let shared = json(&farm, &["images", "shared", "--json"]);
    assert_eq!((&shared["bytes"], &shared["bytes_apart"]), (&1300.into(), &2300.into()), "{shared}");
    assert_eq!(shared["images"].as_array().map(Vec::len), Some(2), "{shared}");
    assert_eq!(shared["layers"][0]["images"].as_array().map(Vec::len), Some(2), "{shared}");
    let own: Vec<_> =
        shared["images"].as_array().unwrap().iter().map(|image| image["own_bytes"].clone()).collect();
    assert_eq!(own, [100, 200], "{shared}");
}

#[test]
fn a_name_remembers_what_its_images_weighed() {
    let farm = Farm::new();
    for bytes in [100, 300, 300, 200] {
        let context = Context::new("FROM scratch\nCOPY f /\n").file("f", "f".repeat(bytes));
        build(&farm, &context, "shop:1");
    }
    let lines = farm.command(&["images", "trend", "--json", "shop:1"]).run().expect(0).json_lines();
    let sizes: Vec<_> = lines.iter().map(|point| point["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [100, 300, 200], "the same image twice is one");
    assert!(lines.iter().all(|point| point["build"].is_string()), "{lines:?}");
    let image = json(&farm, &["images", "--json"]);
    assert_eq!(image["trend"], serde_json::json!([100, 300, 200]));
    let bars = farm.command(&["images", "--format", "{{.Trend}}"]).run().expect(0).stdout;
    assert_eq!(bars, "▁█▄\n");
    let _text = farm.command(&["images", "trend", "shop:1"]).run().expect(0).says(&["NAMED", "-100B", "▁█▄"]);
}
