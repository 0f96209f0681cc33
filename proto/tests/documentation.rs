//! Every type, field and variant of a message says what it is. The compiler cannot hold us to it, since rkyv's derives
//! leave fields of their own undocumented in the same modules.

use std::fs;
use std::path::Path;

/// Lines of `text` that declare something public without a documentation comment above.
fn undocumented(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut documented = false;
    let mut in_public_type = false;
    for line in text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")) {
        let trimmed = line.trim_start();
        if trimmed.starts_with("///") {
            documented = true;
            continue;
        }
        if trimmed.starts_with("#[") {
            continue;
        }
        if line.starts_with("pub enum") || line.starts_with("pub struct") {
            in_public_type = line.ends_with('{');
        } else if line.starts_with('}') {
            in_public_type = false;
        }
        let named = trimmed.chars().next().is_some_and(char::is_alphabetic);
        let reexport = trimmed.starts_with("pub use") || trimmed.starts_with("pub mod");
        let declares = trimmed.starts_with("pub ") && !reexport || in_public_type && named;
        if declares && !documented {
            found.push(line);
        }
        documented = false;
    }
    found
}

#[test]
fn every_part_of_a_message_is_documented() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(undocumented(&text), Vec::<&str>::new(), "in {}", path.display());
        files += 1;
    }
    assert!(files > 5);
}

#[test]
fn what_is_missing_is_found() {
    let text =
        "/// A.\npub enum A {\n    /// B.\n    B {\n        c: u8,\n    },\n    D,\n}\npub fn e() {}\n";
    assert_eq!(undocumented(text), ["        c: u8,", "    D,", "pub fn e() {}"]);
}
