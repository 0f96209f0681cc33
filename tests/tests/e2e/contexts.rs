//! Named contexts of every kind.

use farm_tests::context::Context;
use farm_tests::farm::{Farm, base_layout};

#[test]
fn an_oci_layout_is_a_base_and_a_source() {
    let farm = Farm::new();
    let layout = base_layout("busybox");
    let context = Context::new(
        "FROM layout AS b\nRUN echo ran > /x\nFROM scratch\nCOPY --from=b /x /\nCOPY --from=layout /etc/group /\n",
    );
    let outcome = farm
        .build(context.path())
        .option("--build-context", format!("layout=oci-layout://{}:latest", layout.display()))
        .run()
        .expect(0);
    assert_eq!(outcome.files().text("x"), "ran\n");
    assert!(outcome.files().text("group").contains("root:"));
}

#[test]
fn a_layout_that_is_none_is_an_error_that_names_it() {
    let farm = Farm::new();
    let context = Context::new("FROM layout\n");
    let place = farm.scratch("no-layout");
    let outcome = farm
        .build(context.path())
        .option("--build-context", format!("layout=oci-layout://{}", place.display()))
        .run();
    let outcome = outcome.says(&["no-layout"]);
    assert_eq!(outcome.status, Some(2), "{}", outcome.log);
}

#[test]
fn a_missing_directory_is_an_error_of_usage() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\nCOPY --from=other . /\n");
    let outcome = farm
        .build(context.path())
        .option("--build-context", "other=/no/such/dir")
        .run()
        .says(&["/no/such/dir"]);
    assert_eq!(outcome.status, Some(2), "{}", outcome.log);
}

#[test]
fn a_context_may_hold_twenty_thousand_files() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\nCOPY many /many\n");
    for number in 0..20_000 {
        context.write(&format!("many/{}/{number}", number % 100), format!("{number}"));
    }
    let outcome = farm.build(context.path()).run().expect(0);
    assert_eq!(outcome.files().iter().filter(|(path, _)| path.matches('/').count() == 2).count(), 20_000);
}
