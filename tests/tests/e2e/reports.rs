//! `farm report`: a build as a page and as a trace.

use std::fs;

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use serde_json::Value;

fn context() -> Context {
    Context::new(
        "FROM busybox AS tools\nRUN echo '<b>bold</b>' > /tool\nFROM busybox AS other\nRUN echo other > /other\nFROM busybox\nCOPY --from=tools /tool /\nCOPY --from=other /other /\n",
    )
}

#[test]
fn a_build_is_a_page_that_needs_nothing_beside_itself() {
    let farm = Farm::new();
    let _built = farm.command(&["build", "-t", "shop:1"]).argument(context().path()).run().expect(0);
    let page = farm.root().join("page.html");
    let trace = farm.root().join("trace.json");
    let words = ["report", "shop:1", "-o", page.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
    let _written = farm.command(&words).run().expect(0);
    let text = fs::read_to_string(&page).unwrap();
    for part in
        ["<!DOCTYPE html>", "Timeline by worker", "Graph", "Cache", "Sizes", "&lt;b&gt;bold", "tools 1/1"]
    {
        assert!(text.contains(part), "`{part}` is not in the page");
    }
    for outside in ["<b>", "<script", "http:", "https:", "src="] {
        assert!(!text.contains(outside), "`{outside}` is in the page");
    }
    let trace: Value = serde_json::from_str(&fs::read_to_string(&trace).unwrap()).unwrap();
    let slices = |event: &&Value| event["ph"] == "X" && event["dur"].as_u64() > Some(0);
    assert_eq!(trace["traceEvents"].as_array().unwrap().iter().filter(slices).count(), 4, "{trace}");
    let printed = farm.command(&["report", "-o", "-"]).run().expect(0).stdout;
    assert!(printed.ends_with("</html>\n"));
    let _none = farm.command(&["report", "no-such-build"]).run().expect(2).says(&["no-such-build"]);
}

#[test]
fn the_page_of_a_failed_build_shows_the_end_of_the_log() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN echo last words '&' '<i>' && exit 3\n");
    let _failed = farm.command(&["build"]).argument(context.path()).run().expect(1);
    let page = farm.command(&["report", "-o", "-"]).run().expect(0).stdout;
    for part in ["What went wrong", "last words &amp; &lt;i&gt;", "exit code: 3"] {
        assert!(page.contains(part), "`{part}` is not in the page:\n{page}");
    }
}
