use farm_model::event::MissReason;
use serde_json::Value;

use super::lanes::lanes;
use super::samples::{build, id};
use super::*;

fn reason(reason: &MissReason) -> String {
    if let MissReason::Files { first, .. } = reason {
        return format!("{first} changed\nand more");
    }
    format!("{reason:?}")
}

fn page() -> String {
    let (build, log) = build();
    html(&Report { build: &build, log: &log, reason: &reason, version: "0" })
}

/// Names of the tags in the order in which they are.
fn tags(page: &str) -> Vec<String> {
    let pieces = page.split('<').skip(1);
    pieces
        .map(|piece| {
            piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/' || *c == '!').collect()
        })
        .collect()
}

#[test]
fn whatever_a_build_says_is_text_in_the_page() {
    let page = page();
    for markup in ["<script", "<b>", "<shop>", "<care>", "<it>", "\u{1b}"] {
        assert!(!page.contains(markup), "`{markup}` is in the page");
    }
    for text in
        ["&lt;script&gt;alert(1)", "not ok 2 &lt;b&gt;&amp;amp;&lt;/b&gt;", "a&amp;b.go changed<br>and more"]
    {
        assert!(page.contains(text), "`{text}` is not in the page");
    }
}

#[test]
fn the_page_needs_nothing_beside_itself() {
    let page = page();
    assert!(page.contains("default-src 'none'"));
    for outside in ["src=", "href=", "@import", "http:", "https:", "url(h"] {
        assert!(!page.contains(outside), "`{outside}` is in the page");
    }
    let known = [
        "!DOCTYPE", "html", "/html", "head", "/head", "meta", "title", "/title", "style", "/style", "body",
        "/body", "h1", "/h1", "h2", "/h2", "h3", "/h3", "p", "/p", "pre", "/pre", "code", "/code", "dl",
        "/dl", "dt", "dd", "div", "/div", "table", "/table", "tr", "/tr", "th", "td", "br", "span", "/span",
        "svg", "/svg", "line", "text", "/text", "rect", "/rect", "circle", "/circle", "path", "g", "/g",
        "defs", "/defs", "marker", "/marker",
    ];
    for tag in tags(&page) {
        assert!(known.contains(&tag.as_str()), "`{tag}` is no tag of ours");
    }
}

#[test]
fn the_page_tells_what_became_of_every_step() {
    let page = page();
    for text in [
        "What went wrong",
        "final 2/2",
        "exit code: 3",
        "w1 #1",
        "coordinator #1",
        ">cached<",
        ">deduplicated<",
        "the image",
        "discarded",
        "done once with build cdcdcdcdcdcdcdcd",
    ] {
        assert!(page.contains(text), "`{text}` is not in the page:\n{page}");
    }
    // What lies on the critical path is framed, in both timelines and in the graph.
    assert!(page.matches("critical\">").count() >= 6, "{page}");
}

#[test]
fn a_slot_does_one_step_at_a_time() {
    let (build, _) = build();
    for lane in lanes(&build) {
        assert!(lane.steps.windows(2).all(|pair| pair[0].2 <= pair[1].1), "{lane:?}");
    }
    let workers: Vec<_> = lanes(&build).into_iter().map(|lane| (lane.worker, lane.steps.len())).collect();
    let wanted = [("coordinator".to_owned(), 2), ("w1".to_owned(), 1), ("w2".to_owned(), 1)];
    assert_eq!(workers, wanted);
}

#[test]
fn the_trace_has_a_slice_for_each_step_and_arrows_that_bind() {
    let (build, _) = build();
    let trace = trace(&build);
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
    assert_eq!((of("X").len(), of("i").len()), (4, 1));
    let needed = build.step(id(2, 1)).unwrap();
    assert!(of("X").iter().any(|slice| slice["name"].as_str().unwrap().contains(&needed.planned.name)));
    assert_eq!((of("b").len(), of("e").len()), (2, 2));
    let inside = |flow: &Value| {
        of("X").iter().any(|slice| {
            let (start, long) = (slice["ts"].as_u64().unwrap(), slice["dur"].as_u64().unwrap());
            let at = flow["ts"].as_u64().unwrap();
            slice["pid"] == flow["pid"] && slice["tid"] == flow["tid"] && (start..=start + long).contains(&at)
        })
    };
    let (starts, ends) = (of("s"), of("f"));
    assert!(!starts.is_empty() && starts.len() == ends.len());
    for (start, end) in starts.into_iter().zip(ends) {
        assert!(inside(start) && inside(end), "{start} {end}");
        assert!(start["id"] == end["id"] && start["ts"].as_u64() <= end["ts"].as_u64());
    }
}

#[test]
fn a_build_of_which_nothing_is_known_has_a_page_too() {
    let (build, log) = (Build::default(), Log::default());
    let page = html(&Report { build: &build, log: &log, reason: &reason, version: "0" });
    assert!(page.contains("Nothing was done") && page.ends_with("</html>\n"));
    assert!(trace(&build)["traceEvents"].is_array());
}
