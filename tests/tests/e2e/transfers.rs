//! Images that come and go without a build, and builds that push: against the registry of Debian's `docker-registry`.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::registry::Registry;
use serde_json::Value;

fn context() -> Context {
    Context::new("FROM busybox\nRUN echo made > /made\nCOPY f /\nCMD [\"/bin/cat\", \"/f\"]\n")
        .file("f", "from the context\n")
}

#[test]
fn a_build_pushes_and_its_image_comes_back() {
    let farm = Farm::new();
    let registry = Registry::for_farm(&farm);
    let (name, metadata, archive) =
        (registry.name("team/app:1"), farm.scratch("meta.json"), farm.scratch("image.tar"));
    let (file, output) = (metadata.to_str().unwrap(), format!("type=docker,dest={}", archive.display()));
    let context = context();
    let path = context.path().to_str().unwrap();
    let words = ["build", "-q", "-t", &name, "--push", "-o", &output, "--metadata-file", file, path];
    let id = farm.command(&words).run().expect(0).stdout.trim().to_owned();
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.config.digest"], id);
    assert_eq!(metadata["image.name"], name);
    assert!(archive.metadata().unwrap().len() > 10_000);

    // Another repository takes the layers from the first; the digest is that of the build.
    let other = registry.name("other/app:2");
    let pushed = farm.command(&["push", &name, &other]).run().expect(0);
    assert!(pushed.log.contains("3 mounted"), "{}", pushed.log);
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    assert_eq!(pushed.stdout.trim(), format!("{other}@{digest}"));

    let _removed = farm.command(&["rmi", &name]).run().expect(0);
    let _pulled = farm.command(&["pull", &other]).run().expect(0);
    let ran = farm.command(&["run", &other]).run().expect(0);
    assert_eq!(ran.stdout, "from the context\n");
    // What was pulled leaves as it came.
    let third = registry.name("third/app:3");
    let pushed = farm.command(&["push", &other, &third]).run().expect(0);
    assert_eq!(pushed.stdout.trim(), format!("{third}@{digest}"));
}

#[test]
fn an_image_is_saved_and_loaded() {
    let farm = Farm::new();
    let archive = farm.scratch("image.tar");
    let (file, context) = (archive.to_str().unwrap(), context());
    let _built = farm.command(&["build", "-t", "shop:1", context.path().to_str().unwrap()]).run().expect(0);
    let _saved = farm.command(&["save", "shop:1", "-o", file]).run().expect(0);
    let _removed = farm.command(&["rmi", "shop:1"]).run().expect(0);
    let loaded = farm.command(&["load", "-i", file]).run().expect(0);
    assert_eq!(loaded.stdout, "loaded shop:1\n");
    assert_eq!(farm.command(&["run", "shop:1"]).run().expect(0).stdout, "from the context\n");
    // A stage builds on it.
    let above = Context::new("FROM shop:1\nRUN cat /made /f > /both\n");
    assert_eq!(farm.build(above.path()).run().expect(0).files().text("both"), "made\nfrom the context\n");

    let mut half = std::fs::read(&archive).unwrap();
    half.truncate(half.len() / 2);
    let outcome = farm.command(&["load"]).stdin(half).run();
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    let missing = farm.scratch("missing.tar");
    let outcome = farm.command(&["save", "nosuch", "-o", missing.to_str().unwrap()]).run();
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    assert!(!missing.exists());
}

#[test]
fn what_cannot_be_pushed_is_said() {
    let farm = Farm::new();
    let context = context();
    let path = context.path().to_str().unwrap();
    let _nameless = farm.command(&["build", "--push", path]).run().expect(2).says(&["no name", "--tag"]);
    let _nobody = farm
        .command(&["build", "-t", "127.0.0.1:9/a:1", "--push", path])
        .run()
        .expect(3)
        .says(&["push `127.0.0.1:9/a:1`", "connection failed"]);
    let _unknown = farm.command(&["push", "nosuch"]).run().expect(2).says(&["nosuch"]);
}

#[test]
fn several_images_travel_in_one_archive_and_one_without_a_name_by_its_id() {
    let farm = Farm::new();
    let contexts = ["1", "2", "3"]
        .map(|text| Context::new("FROM busybox\nCOPY f /\nCMD [\"cat\", \"/f\"]\n").file("f", text));
    for (context, name) in contexts.iter().zip(["one:1", "two:1", "three:1"]) {
        let _built = farm.command(&["build", "-t", name, context.path().to_str().unwrap()]).run().expect(0);
    }
    let _tagged = farm.command(&["tag", "one:1", "uno:1"]).run().expect(0);
    let images = farm.command(&["images", "--json", "three"]).run().expect(0);
    let id = serde_json::from_str::<Value>(&images.stdout).unwrap()["id"].as_str().unwrap().to_owned();
    for format in ["docker", "oci"] {
        let archive = farm.scratch(&format!("{format}.tar"));
        let file = archive.to_str().unwrap();
        let words = ["save", "--format", format, "-o", file, "one:1", "two:1", "uno:1", &id];
        let _saved = farm.command(&words).run().expect(0);
        let _removed = farm.command(&["rmi", "one:1", "two:1", "uno:1", "three:1"]).run().expect(0);
        let loaded = farm.command(&["load", "-i", file]).run().expect(0);
        let names: Vec<&str> =
            loaded.stdout.lines().filter_map(|line| line.strip_prefix("loaded ")).collect();
        assert_eq!(names[..3], ["one:1", "uno:1", "two:1"], "{}", loaded.log);
        assert!(names[3].starts_with("sha256:") && names.len() == 4, "{}", loaded.log);
        for (name, expected) in [("one:1", "1"), ("uno:1", "1"), ("two:1", "2"), (names[3], "3")] {
            assert_eq!(farm.command(&["run", name]).run().expect(0).stdout, expected, "{name}");
        }
        let listed = farm.command(&["images"]).run().expect(0);
        assert!(listed.stdout.contains("<none>"), "{}", listed.log);
        let _tagged = farm.command(&["tag", names[3], "three:1"]).run().expect(0);
        let _removed = farm.command(&["rmi", names[3]]).run();
        let _built =
            farm.command(&["build", "-t", "three:1", contexts[2].path().to_str().unwrap()]).run().expect(0);
    }
}
