//! The rules of `COPY` one by one; `tests/copy.rs` compares them with a real file system.

use super::*;
use crate::glob::Patterns;
use crate::mode::ModeChange;
use crate::record::Mtime;
use crate::select::{Adjustment, Options};
use crate::test_support::{dir, file, link, linked, outline, tree};
use crate::{MemoryRecords, merge};

struct Case {
    records: MemoryRecords,
    source: Tree,
    stage: Tree,
    adjustment: Adjustment,
    options: Options,
}

impl Case {
    fn new(source: &[(&str, Node)], stage: &[(&str, Node)]) -> Self {
        let records = MemoryRecords::new();
        Self {
            source: tree(&records, source),
            stage: tree(&records, stage),
            records,
            adjustment: Adjustment::default(),
            options: Options::default(),
        }
    }

    fn layer(&self, sources: &[&str], path: &str) -> Result<Tree, Error> {
        let mut selection = Selection::new(self.adjustment.clone());
        for written in sources {
            selection.add_path(&self.records, &self.source, written, &self.options)?;
        }
        let destination = Destination { path, workdir: "/home", link: false };
        copy(&self.records, &self.stage, &selection, destination)
    }

    fn outline(&self, sources: &[&str], path: &str) -> Vec<String> {
        outline(&self.records, &self.layer(sources, path).unwrap())
    }

    fn metadata(&self, layer: &Tree, path: &str) -> Metadata {
        let merged = merge(&self.records, &self.stage, layer).unwrap();
        resolve(&self.records, &merged, path.as_bytes()).unwrap().node.unwrap().metadata().clone()
    }

    fn digest(&self, sources: &[&str]) -> farm_model::ContentDigest {
        let mut selection = Selection::new(self.adjustment.clone());
        for written in sources {
            selection.add_path(&self.records, &self.source, written, &self.options).unwrap();
        }
        selection.content_digest()
    }
}

fn message(result: Result<Tree, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_file_is_named_by_the_destination_or_put_into_it() {
    let case = Case::new(&[("d/f", file("1"))], &[("opt", dir(0o755)), ("old", file("2"))]);
    assert_eq!(case.outline(&["d/f"], "/new"), ["new 1"]);
    assert_eq!(case.outline(&["d/f"], "/new/"), ["new/", "new/f 1"]);
    assert_eq!(case.outline(&["d/f"], "/opt"), ["opt/", "opt/f 1"]);
    assert_eq!(case.outline(&["d/f"], "/old"), ["old 1"]);
    assert_eq!(case.outline(&["d/f"], "x/y"), ["home/", "home/x/", "home/x/y 1"]);
    assert_eq!(case.outline(&["d/f"], "."), ["home/", "home/f 1"]);
    assert_eq!(case.outline(&["d/f"], ""), ["home/", "home/f 1"]);
    assert_eq!(case.outline(&["d/f"], "../f2"), ["f2 1"]);
}

#[test]
fn of_a_directory_the_contents_are_copied_and_merged() {
    let case = Case::new(&[("d/s/f", file("1")), ("d/g", file("2"))], &[("opt/s/old", file("3"))]);
    for written in ["d", "/d/", "./d/.", "d/"] {
        assert_eq!(case.outline(&[written], "/opt"), ["opt/", "opt/g 2", "opt/s/", "opt/s/f 1"], "{written}");
    }
    assert_eq!(case.outline(&["d", "d/s"], "/n/"), ["n/", "n/f 1", "n/g 2", "n/s/", "n/s/f 1"]);
}

#[test]
fn links_at_the_destination_are_followed_inside_the_root() {
    let stage = [
        ("usr/bin/sh", file("2")),
        ("bin", link("/usr/bin")),
        ("to", link("../new/place")),
        ("f", link("usr/bin/sh")),
    ];
    let case = Case::new(&[("f", file("1")), ("d/f", file("1"))], &stage);
    assert_eq!(case.outline(&["f"], "/bin/"), ["usr/", "usr/bin/", "usr/bin/f 1"]);
    assert_eq!(case.outline(&["d"], "/bin"), ["usr/", "usr/bin/", "usr/bin/f 1"]);
    assert_eq!(case.outline(&["f"], "/to"), ["new/", "new/place 1"]);
    assert_eq!(case.outline(&["f"], "/to/"), ["new/", "new/place/", "new/place/f 1"]);
    assert_eq!(case.outline(&["f"], "/f"), ["usr/", "usr/bin/", "usr/bin/sh 1"]);
    assert_eq!(case.outline(&["d"], "/"), ["f 1"], "a link inside a destination directory is replaced");
}

#[test]
fn sources_that_are_links_are_followed_but_links_inside_them_are_kept() {
    let source = [
        ("foo", link("bar")),
        ("bar", file("1")),
        ("s/l", link("../d")),
        ("d/f", file("2")),
        ("d/k", link("f")),
    ];
    let case = Case::new(&source, &[]);
    assert_eq!(case.outline(&["foo"], "/"), ["foo 1"]);
    assert_eq!(case.outline(&["s/l"], "/x"), ["x/", "x/f 2", "x/k -> f"]);
    assert_eq!(case.outline(&["s"], "/x"), ["x/", "x/l -> ../d"]);
    assert_eq!(case.outline(&["s/l/f"], "/x/"), ["x/", "x/f 2"]);
}

#[test]
fn wildcards_take_one_component_each() {
    let source = [("a/x.go", file("1")), ("b/y.go", file("2")), ("b/c/z.go", file("3")), ("q*", file("4"))];
    let case = Case::new(&source, &[]);
    assert_eq!(case.outline(&["*/*.go"], "/o/"), ["o/", "o/x.go 1", "o/y.go 2"]);
    assert_eq!(case.outline(&["b/*"], "/o/"), ["o/", "o/y.go 2", "o/z.go 3"]);
    assert_eq!(case.outline(&["q\\*"], "/o/"), ["o/", "o/q* 4"]);
    assert!(case.outline(&["none*"], "/o/").is_empty());
    assert!(message(case.layer(&["none"], "/o/")).contains("\"/none\": not found"));
    assert!(message(case.layer(&["a/x.go/y"], "/o/")).contains("a/x.go/y"));
}

#[test]
fn directories_and_files_do_not_replace_each_other() {
    let case = Case::new(
        &[("d/x/f", file("1")), ("e/x", file("2"))],
        &[("o/x", file("3")), ("p/x", dir(0o755)), ("l/x", link("/p"))],
    );
    assert!(message(case.layer(&["d"], "/o")).contains("`/o/x`"));
    assert!(message(case.layer(&["e"], "/p")).contains("`/p/x`"));
    assert!(message(case.layer(&["d"], "/l")).contains("`/l/x`"), "a link to a directory is not one");
    assert!(message(case.layer(&["e/x"], "/o/x/y")).contains("not a directory"));
    assert!(message(case.layer(&["d"], "/o/x")).contains("`/o/x`"));
}

#[test]
fn made_directories_belong_to_the_new_owner_and_have_an_octal_mode() {
    let mut case = Case::new(&[("f", file("1")), ("d/s/g", file("2"))], &[("old", dir(0o700))]);
    case.adjustment.owner = Some(Owner { uid: 7, gid: 8 });
    let layer = case.layer(&["f"], "/a/b/f").unwrap();
    for path in ["a", "a/b", "a/b/f"] {
        let found = case.metadata(&layer, path);
        assert_eq!((found.uid, found.gid, found.mtime), (7, 8, Mtime(1_000)), "{path}");
    }
    assert_eq!(case.metadata(&layer, "a").mode, 0o755);
    case.adjustment.mode = Some(ModeChange::Set(0o770));
    let layer = case.layer(&["f"], "/a/f").unwrap();
    assert_eq!(case.metadata(&layer, "a").mode, 0o770);
    case.adjustment.mode = Some(ModeChange::parse("go+w").unwrap());
    let layer = case.layer(&["d"], "/old/n").unwrap();
    assert_eq!(case.metadata(&layer, "old/n").mode, 0o755);
    assert_eq!(case.metadata(&layer, "old/n/s/g").mode, 0o666);
    let old = case.metadata(&layer, "old");
    assert_eq!((old.mode, old.uid), (0o700, 0), "what exists is left alone");
}

#[test]
fn an_existing_subdirectory_gets_the_metadata_of_its_source_but_not_the_destination() {
    let case = Case::new(
        &[("d", dir(0o711)), ("d/s", dir(0o711)), ("d/s/f", file("1"))],
        &[("o", dir(0o700)), ("o/s", dir(0o700))],
    );
    let layer = case.layer(&["d"], "/o").unwrap();
    assert_eq!(case.metadata(&layer, "o").mode, 0o700);
    assert_eq!(case.metadata(&layer, "o/s").mode, 0o711);
}

#[test]
fn exclusions_are_relative_to_each_source_directory() {
    let source =
        [("d/a.txt", file("1")), ("d/s/a.txt", file("2")), ("d/s/b", file("3")), ("d/e/x", file("4"))];
    let mut case = Case::new(&source, &[]);
    case.options.exclude = Patterns::new(["*.txt", "e"]).unwrap();
    assert_eq!(case.outline(&["d"], "/o"), ["o/", "o/s/", "o/s/a.txt 2", "o/s/b 3"]);
    assert_eq!(case.outline(&["d/a.txt"], "/o/"), ["o/", "o/a.txt 1"], "a file as a source is not excluded");
    case.options.exclude = Patterns::new(["s", "!s/b"]).unwrap();
    assert_eq!(case.outline(&["d"], "/o"), ["o/", "o/a.txt 1", "o/e/", "o/e/x 4", "o/s/", "o/s/b 3"]);
}

#[test]
fn parents_are_kept_below_the_pivot() {
    let source = [("x/a", file("1")), ("x/y/a", file("2")), ("x/y/b", file("3")), ("x/z/a", file("4"))];
    let mut case = Case::new(&source, &[("p/x", dir(0o700))]);
    case.options.parents = true;
    assert_eq!(
        case.outline(&["./x/y/a", "x/z"], "/n/"),
        ["n/", "n/x/", "n/x/y/", "n/x/y/a 2", "n/x/z/", "n/x/z/a 4"]
    );
    assert_eq!(case.outline(&["x/./y/a"], "/n/"), ["n/", "n/y/", "n/y/a 2"]);
    assert_eq!(case.outline(&["x/./**/a"], "/n/"), ["n/", "n/a 1", "n/y/", "n/y/a 2", "n/z/", "n/z/a 4"]);
    assert_eq!(case.outline(&["x/./none*"], "/n/"), ["n/"]);
    assert!(message(case.layer(&["x/none"], "/n/")).contains("x/none"));
    assert!(case.layer(&["./"], "/n/").is_err() && case.layer(&["x/./"], "/n/").is_err());
    let layer = case.layer(&["x/y/a"], "/p/").unwrap();
    assert_eq!(case.metadata(&layer, "p/x").mode, 0o755, "a parent that exists gets the mode only");
}

#[test]
fn hard_links_are_elected_again_among_what_is_selected() {
    let source = [("a/1", linked("1", "a/1")), ("b/2", linked("1", "a/1")), ("b/3", linked("1", "a/1"))];
    let mut case = Case::new(&source, &[]);
    assert_eq!(case.outline(&["b"], "/o"), ["o/", "o/2 1 = o/2", "o/3 1 = o/2"]);
    assert_eq!(
        case.outline(&["."], "/o"),
        ["o/", "o/a/", "o/a/1 1 = o/a/1", "o/b/", "o/b/2 1 = o/a/1", "o/b/3 1 = o/a/1"]
    );
    assert_eq!(case.outline(&["a"], "/o"), ["o/", "o/1 1"]);
    assert_eq!(case.outline(&["b/2", "b/3"], "/o/"), ["o/", "o/2 1", "o/3 1"]);
    case.options.exclude = Patterns::new(["b/2", "a"]).unwrap();
    assert_eq!(case.outline(&["/"], "/o"), ["o/", "o/b/", "o/b/3 1"]);
}

#[test]
fn a_copy_by_link_does_not_look_at_the_stage() {
    let case = Case::new(&[("f", file("1"))], &[("bin", link("usr/bin")), ("usr/bin/x", file("2"))]);
    let mut selection = Selection::new(Adjustment::default());
    selection.add_path(&case.records, &case.source, "f", &Options::default()).unwrap();
    let destination = Destination { path: "/bin/", workdir: "/", link: true };
    let layer = copy(&case.records, &case.stage, &selection, destination).unwrap();
    assert_eq!(outline(&case.records, &layer), ["bin/", "bin/f 1"]);
}

#[test]
fn an_untouched_subtree_is_copied_without_being_read() {
    let case = Case::new(&[("d/s/t/f", file("1"))], &[]);
    let before = case.records.len();
    let layer = case.layer(&["d"], "/o").unwrap();
    assert_eq!(case.records.len(), before + 1, "the layer's root is new; `/o` is a record that exists");
    assert_eq!(layer.root.record.bytes, 1);
}

#[test]
fn the_digest_of_a_selection_sees_what_is_taken_and_nothing_else() {
    let base = [("d/f", file("1")), ("d/g", file("2")), ("other", file("3"))];
    let digest = |nodes: &[(&str, Node)], sources: &[&str]| Case::new(nodes, &[]).digest(sources);
    let mut touched = file("1");
    touched.metadata_mut().mtime = Mtime(5);
    let same = [("d/f", touched), ("d/g", file("2")), ("more", file("4")), ("d", dir(0o700))];
    assert_eq!(digest(&base, &["d"]), digest(&same, &["d"]));
    assert_ne!(digest(&base, &["d"]), digest(&base, &["d/f"]));
    assert_ne!(digest(&base, &["d/f"]), digest(&base, &["d/g"]));
    assert_ne!(digest(&base, &["d", "other"]), digest(&base, &["other", "d"]));
    let mut case = Case::new(&base, &[]);
    let plain = case.digest(&["d"]);
    case.adjustment.mode = Some(ModeChange::Set(0o600));
    assert_ne!(plain, case.digest(&["d"]));
    let mut case = Case::new(&base, &[]);
    case.options.exclude = Patterns::new(["g"]).unwrap();
    assert_eq!(case.digest(&["d"]), digest(&[("d/f", file("1"))], &["d"]));
}

#[test]
fn a_working_directory_is_made_once_through_links() {
    let records = MemoryRecords::new();
    let stage = tree(&records, &[("a", dir(0o700)), ("l", link("a")), ("f", file("1"))]);
    let owner = Owner { uid: 5, gid: 6 };
    let layer = workdir(&records, &stage, "/l/b/c", owner).unwrap().unwrap();
    assert_eq!(outline(&records, &layer), ["a/", "a/b/", "a/b/c/"]);
    let merged = merge(&records, &stage, &layer).unwrap();
    let made = resolve(&records, &merged, b"a/b").unwrap().node.unwrap();
    let expected = Metadata { uid: 5, gid: 6, ..Metadata::plain(0o755, Mtime(1_000)) };
    assert_eq!(*made.metadata(), expected);
    assert_eq!(workdir(&records, &stage, "/l", owner).unwrap(), None);
    assert_eq!(workdir(&records, &stage, "/", owner).unwrap(), None);
    assert!(workdir(&records, &stage, "/f/x", owner).is_err());
    assert!(workdir(&records, &stage, "/f", owner).is_err());
}

#[test]
fn an_archive_replaces_what_is_in_the_way_and_goes_through_links_it_does_not_list() {
    let stage = [
        ("d/dir/old", file("2")),
        ("d/file", file("2")),
        ("d/lib", link("usr/lib")),
        ("d/usr/lib/x", file("2")),
        ("d/ln", link("usr")),
    ];
    let case = Case::new(&[("x.tar", file("5"))], &stage);
    let mut archive = crate::TreeBuilder::default();
    for (path, node) in [
        ("dir", file("1")),
        ("file/new", file("1")),
        ("lib/so", linked("3", "ln/t")),
        ("ln", dir(0o700)),
        ("ln/t", linked("3", "ln/t")),
    ] {
        archive.insert(path.as_bytes(), node).unwrap();
    }
    archive.insert(b"file", dir(0o755)).unwrap();
    let implied = archive.implied();
    assert_eq!(implied, [b"lib".to_vec()].into());
    let archive = archive.finish(&case.records).unwrap();
    let mut selection = Selection::new(Adjustment { owner: Some(Owner { uid: 9, gid: 9 }), mode: None });
    selection.add_path(&case.records, &case.source, "x.tar", &Options::default()).unwrap();
    selection.unpack(0, archive, implied);
    let destination = Destination { path: "/d", workdir: "/", link: false };
    let layer = copy(&case.records, &case.stage, &selection, destination).unwrap();
    let expected = [
        "d/",
        "d/dir 1",
        "d/file/",
        "d/file/new 1",
        "d/ln/",
        "d/ln/t 3 = d/ln/t",
        "d/usr/",
        "d/usr/lib/",
        "d/usr/lib/so 3 = d/ln/t",
    ];
    assert_eq!(outline(&case.records, &layer), expected);
    assert_eq!(case.metadata(&layer, "d/ln").uid, 9);
    assert_eq!(case.metadata(&layer, "d/usr").uid, 0);
}

#[test]
fn the_deepest_tree_is_copied_and_a_deeper_one_refused() {
    let path = vec!["d"; path::MAX_DEPTH - 2].join("/");
    let source = [(format!("{path}/a"), linked("1", "x")), (format!("{path}/b"), linked("1", "x"))];
    let source: Vec<(&str, Node)> = source.iter().map(|(path, node)| (path.as_str(), node.clone())).collect();
    let mut case = Case::new(&source, &[]);
    case.adjustment.mode = Some(ModeChange::Set(0o700));
    let layer = case.layer(&["/"], "/o").unwrap();
    let merged = merge(&case.records, &case.stage, &layer).unwrap();
    assert_eq!(merged.root.record.linked, 2);
    assert_eq!(crate::normalise(&case.records, &case.stage, &layer).unwrap(), Some(layer));
    assert!(case.layer(&["/"], "/o/p/q").is_err());
}

#[test]
fn a_large_directory_is_merged_in_linear_time() {
    let names: Vec<String> = (0..50_000).map(|number| format!("d/{number}")).collect();
    let nodes: Vec<(&str, Node)> = names.iter().map(|name| (name.as_str(), file("1"))).collect();
    let mut case = Case::new(&nodes, &nodes);
    case.adjustment.mode = Some(ModeChange::Set(0o600));
    let start = std::time::Instant::now();
    let layer = case.layer(&["."], "/").unwrap();
    assert_eq!(layer.root.record.entries, 50_001);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
