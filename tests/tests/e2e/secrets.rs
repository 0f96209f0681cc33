//! Secrets: usable in a step, and nowhere afterwards.

use farm_tests::context::Context;
use farm_tests::farm::Farm;

const VALUE: &str = "hunter2-correct-horse-battery";

fn nothing_holds_it(farm: &Farm) {
    for file in farm.kept_files() {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes());
        assert!(!found, "the secret is in {}", file.display());
    }
}

#[test]
fn a_secret_of_a_file_and_of_the_environment_reach_the_step_and_nothing_else() {
    let farm = Farm::new();
    let file = farm.scratch("token");
    std::fs::write(&file, VALUE).unwrap();
    let context = Context::new(
        "FROM busybox\n\
         RUN --mount=type=secret,id=file sha256sum < /run/secrets/file > /a\n\
         RUN --mount=type=secret,id=env,env=TOKEN printf %s \"$TOKEN\" | sha256sum > /b\n",
    );
    let outcome = farm
        .build(context.path())
        .option("--secret", format!("id=file,src={}", file.display()))
        .option("--secret", "id=env,env=FROM_HERE")
        .env("FROM_HERE", VALUE)
        .run()
        .expect(0);
    let files = outcome.files();
    assert_eq!(files.text("a"), files.text("b"));
    assert!(files.inode("run/secrets/file").is_none(), "the mount's target is in the image");
    assert!(!outcome.log.contains(VALUE));
    let image = std::fs::read(outcome.archive().unwrap()).unwrap();
    assert!(
        !image.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()),
        "the secret is in the image"
    );
    nothing_holds_it(&farm);
}

#[test]
fn a_printed_secret_is_masked_in_the_log() {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox\nRUN --mount=type=secret,id=s echo \"begin $(cat /run/secrets/s) end\" && exit 1\n",
    );
    let outcome =
        farm.build(context.path()).option("--secret", "id=s,env=TOKEN").env("TOKEN", VALUE).run().expect(1);
    assert!(outcome.log.contains("begin "), "{}", outcome.log);
    assert!(!outcome.log.contains(VALUE), "{}", outcome.log);
    nothing_holds_it(&farm);
}

#[test]
fn a_layer_that_contains_a_secret_is_warned_about() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN --mount=type=secret,id=s cp /run/secrets/s /leaked\n");
    let outcome =
        farm.build(context.path()).option("--secret", "id=s,env=TOKEN").env("TOKEN", VALUE).run().expect(0);
    let outcome = outcome.says(&["warning", "leaked"]);
    assert!(!outcome.log.contains(VALUE), "{}", outcome.log);
}

#[test]
fn a_secret_source_that_is_missing_is_named() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN --mount=type=secret,id=s true\n");
    let outcome = farm
        .build(context.path())
        .option("--secret", "id=s,src=/no/such/file")
        .run()
        .says(&["/no/such/file"]);
    assert!([Some(1), Some(2), Some(3)].contains(&outcome.status), "{}", outcome.log);
}
