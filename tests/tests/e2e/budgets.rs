//! What an image may weigh: over its budget a build fails, says what makes it heavy, and leaves nothing.

use farm_tests::context::Context;
use farm_tests::farm::{Build, Farm};

/// An image with a file of so many bytes and a small one.
fn shop(bytes: usize) -> Context {
    Context::new("FROM scratch\nCOPY small /\nCOPY app /opt/app\n")
        .file("small", "s".repeat(100))
        .file("app/large", "x".repeat(bytes))
}

fn build<'a>(farm: &'a Farm, context: &Context, words: &[&str]) -> Build<'a> {
    farm.command(&[&["build", "-t", "shop:1"], words].concat()).argument(context.path())
}

fn size(farm: &Farm) -> String {
    farm.command(&["images", "--format", "{{.Size}}"]).run().expect(0).stdout
}

#[test]
fn an_image_over_its_size_fails_the_build_with_a_table_of_blame() {
    let farm = Farm::new();
    let _fits = build(&farm, &shop(1000), &["--max-size", "1.1kB"]).run().expect(0);
    let archive = farm.root().join("too-large.tar");
    let output = format!("type=oci,dest={}", archive.display());
    for progress in ["plain", "tty"] {
        let words = ["--max-size", "2kB", "--progress", progress, "-o", &output];
        let failed = build(&farm, &shop(5000), &words).run().expect(1).says(&[
            "too large: 5.10kB unpacked, 3.10kB more than `--max-size 2.00kB`",
            "5.00kB  COPY app /opt/app",
            "/opt/app/large",
            "hint:",
            "raise `--max-size`",
        ]);
        let table = &failed.log[failed.log.find("too large").unwrap()..];
        let place = |text: &str| table.find(text).unwrap();
        assert!(place("COPY app") < place("COPY small"), "the heaviest layer comes first:\n{}", failed.log);
    }
    assert!(!archive.exists(), "a result was written over the budget");
    assert_eq!(size(&farm), "1.10kB\n", "the name moved over the budget");
    let raw = build(&farm, &shop(5000), &["--max-size", "2kB", "--progress", "rawjson"]).run().expect(1);
    assert!(raw.log.contains("too large"), "{}", raw.log);
}

#[test]
fn an_image_that_grew_too_much_fails_the_build_and_says_where() {
    let farm = Farm::new();
    let growth = |context: &Context, growth: &str| build(&farm, context, &["--max-growth", growth]).run();
    let _first = growth(&shop(1000), "1%").expect(0).says(&["no image", "to compare with"]);
    let _small = growth(&shop(1010), "1%").expect(0);
    let _large = growth(&shop(1500), "10%").expect(1).says(&[
        "grew too much",
        "`--max-growth 10%` allows 111B",
        "+490B",
        "COPY app /opt/app",
        "/opt/app/large",
    ]);
    assert_eq!(size(&farm), "1.11kB\n");
    let _bytes = growth(&shop(1500), "489B").expect(1);
    let _enough = growth(&shop(1500), "490B").expect(0);
    let _smaller = growth(&shop(10), "0%").expect(0);
}

#[test]
fn a_layer_is_blamed_for_what_the_image_shows_of_it() {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox\nRUN mkdir -p /var/cache/apt /opt && head -c 900000 /dev/urandom > /var/cache/apt/x && head -c 100000 /dev/urandom > /opt/y\nRUN rm /opt/y\n",
    );
    let failed = build(&farm, &context, &["--max-size", "100k"]).run().expect(1).says(&[
        "base image:",
        "900kB  RUN",
        "/var/cache/apt",
        "--mount=type=cache,target=/var/cache/apt",
    ]);
    let table = &failed.log[failed.log.find("too large").unwrap()..];
    assert!(!table.contains("  /opt/y\n"), "a file that is deleted is blamed:\n{table}");
}

#[test]
fn a_budget_that_means_nothing_is_refused_before_anything_is_built() {
    let farm = Farm::new();
    let context = shop(10);
    for wrong in [
        &["--max-size", "much"][..],
        &["--max-size", "-1"],
        &["--max-growth", "5parsecs"],
        &["--max-growth", "%"],
    ] {
        let _refused = build(&farm, &context, wrong).run().expect(2);
    }
    let unnamed = farm.command(&["build", "--max-growth", "5%"]).argument(context.path()).run();
    let _told = unnamed.expect(2).says(&["--tag"]);
}
