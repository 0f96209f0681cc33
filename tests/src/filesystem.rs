//! The root file system that a stack of layer tars adds up to, as an ordinary unpacker would see it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::rc::Rc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::image::hex;

/// Bigger contents are compared by digest only.
const TEXT_LIMIT: usize = 4096;
const XATTR_PREFIX: &str = "SCHILY.xattr.";
/// What container runtimes write over, so that no image can be held to it.
const IGNORED: &[&str] = &[
    "proc",
    "sys",
    "dev",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/hostname",
    "run/.containerenv",
    ".dockerenv",
];

/// Paths without a leading slash. Two paths that share an `Rc` are one inode.
#[derive(Clone, Debug, Default)]
pub struct Filesystem {
    entries: BTreeMap<String, Rc<Inode>>,
}

/// What one path is.
#[derive(Debug)]
pub struct Inode {
    /// Type, owner, mode and content in the words of an `expect.json`.
    pub view: Map<String, Value>,
    /// Seconds since 1970.
    pub mtime: u64,
    /// The bytes of a regular file.
    pub bytes: Vec<u8>,
}

/// What a build added to or took from its base.
#[derive(Debug)]
pub struct Delta {
    /// New or different entries.
    pub changed: BTreeMap<String, Map<String, Value>>,
    /// Paths of the base that are gone, without what lay below a path that is gone.
    pub absent: BTreeSet<String>,
}

impl Filesystem {
    /// Puts a layer on top, whiteouts first, because they mean the layers below.
    pub fn apply(&mut self, layer: &[u8]) -> Result<(), String> {
        for name in names(layer)? {
            let (parent, base) = split(&name);
            if base == ".wh..wh..opq" {
                self.remove_below(parent);
            } else if let Some(hidden) = base.strip_prefix(".wh.") {
                let hidden = join(parent, hidden);
                self.remove_below(&hidden);
                self.entries.remove(&hidden);
            }
        }
        for entry in tar::Archive::new(layer).entries().map_err(text)? {
            self.put(entry.map_err(text)?)?;
        }
        Ok(())
    }

    /// Every path with its inode.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Inode)> {
        self.entries.iter().map(|(path, inode)| (path.as_str(), inode.as_ref()))
    }

    /// The inode at a path without a leading slash.
    pub fn inode(&self, path: &str) -> Option<&Inode> {
        self.entries.get(path).map(Rc::as_ref)
    }

    /// A file's text, or a panic that names what is there instead.
    pub fn text(&self, path: &str) -> String {
        let paths = || self.entries.keys().cloned().collect::<Vec<_>>().join(" ");
        let inode =
            self.inode(path).unwrap_or_else(|| panic!("no /{path} in the image; it has: {}", paths()));
        String::from_utf8(inode.bytes.clone()).unwrap_or_else(|_| panic!("/{path} is not text"))
    }

    /// What differs from `base`, times left out.
    pub fn since(&self, base: &Self) -> Delta {
        let (old, new) = (base.views(), self.views());
        let compared = |path: &str| !path.is_empty() && !ignored(path);
        let gone: BTreeSet<_> =
            old.keys().filter(|path| compared(path) && !new.contains_key(*path)).cloned().collect();
        let absent = gone.iter().filter(|path| !gone.contains(split(path).0)).cloned().collect();
        let changed =
            new.into_iter().filter(|(path, view)| compared(path) && old.get(path) != Some(view)).collect();
        Delta { changed, absent }
    }

    /// Every entry's view; members of a group of hard links list the group.
    fn views(&self) -> BTreeMap<String, Map<String, Value>> {
        let mut groups: BTreeMap<*const Inode, Vec<&String>> = BTreeMap::new();
        for (path, inode) in &self.entries {
            groups.entry(Rc::as_ptr(inode)).or_default().push(path);
        }
        let with_links = |inode: &Rc<Inode>| {
            let mut view = inode.view.clone();
            let group = &groups[&Rc::as_ptr(inode)];
            if group.len() > 1 && view["type"] == "file" {
                view.insert("hardlinks".to_owned(), json!(group));
            }
            view
        };
        self.entries.iter().map(|(path, inode)| (path.clone(), with_links(inode))).collect()
    }

    fn put<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), String> {
        let name = normal(&entry.path_bytes());
        if split(&name).1.starts_with(".wh.") {
            return Ok(());
        }
        let inode = if entry.header().entry_type() == EntryType::Link {
            let target = normal(&entry.link_name_bytes().ok_or("a hard link without a target")?);
            let found = self.entries.get(&target).cloned();
            found.ok_or_else(|| format!("/{name} is a hard link to /{target}, which no layer has"))?
        } else {
            Rc::new(inode(&mut entry)?)
        };
        if inode.view["type"] != "dir" {
            self.remove_below(&name);
        }
        self.entries.insert(name, inode);
        Ok(())
    }

    fn remove_below(&mut self, directory: &str) {
        if directory.is_empty() {
            self.entries.retain(|path, _| path.is_empty());
            return;
        }
        let prefix = format!("{directory}/");
        let below: Vec<_> = self
            .entries
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        for path in below {
            self.entries.remove(&path);
        }
    }
}

fn names(layer: &[u8]) -> Result<Vec<String>, String> {
    let mut archive = tar::Archive::new(layer);
    archive.entries().map_err(text)?.map(|entry| Ok(normal(&entry.map_err(text)?.path_bytes()))).collect()
}

fn inode<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Inode, String> {
    let mut view = Map::new();
    let xattrs = xattrs(entry)?;
    let header = entry.header().clone();
    view.insert("uid".to_owned(), json!(header.uid().map_err(text)?));
    view.insert("gid".to_owned(), json!(header.gid().map_err(text)?));
    view.insert("mode".to_owned(), json!(format!("{:04o}", header.mode().map_err(text)? & 0o7777)));
    if !xattrs.is_empty() {
        view.insert("xattrs".to_owned(), Value::Object(xattrs));
    }
    let mut bytes = Vec::new();
    let kind = kind_of(header.entry_type());
    if kind == "symlink" {
        view.remove("mode");
        let target = entry.link_name_bytes().ok_or("a symlink without a target")?;
        view.insert("linkname".to_owned(), json!(String::from_utf8_lossy(&target)));
    }
    if kind == "file" {
        entry.read_to_end(&mut bytes).map_err(text)?;
        view.insert("sha256".to_owned(), json!(hex(&Sha256::digest(&bytes))));
        if let Ok(content) = std::str::from_utf8(&bytes)
            && content.len() <= TEXT_LIMIT
        {
            view.insert("text".to_owned(), json!(content));
        }
    }
    if matches!(kind, "char" | "block") {
        let number = |part: Result<Option<u32>, std::io::Error>| part.ok().flatten().unwrap_or_default();
        view.insert("dev".to_owned(), json!([number(header.device_major()), number(header.device_minor())]));
    }
    view.insert("type".to_owned(), json!(kind));
    Ok(Inode { view, mtime: header.mtime().map_err(text)?, bytes })
}

fn kind_of(kind: EntryType) -> &'static str {
    let named = [
        (EntryType::Directory, "dir"),
        (EntryType::Symlink, "symlink"),
        (EntryType::Char, "char"),
        (EntryType::Block, "block"),
        (EntryType::Fifo, "fifo"),
    ];
    named.iter().find(|(known, _)| *known == kind).map_or("file", |(_, name)| name)
}

/// Values that are not text are written as `hex:…`.
fn xattrs<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Map<String, Value>, String> {
    let mut found = Map::new();
    for extension in entry.pax_extensions().map_err(text)?.into_iter().flatten() {
        let extension = extension.map_err(text)?;
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR_PREFIX)) else {
            continue;
        };
        let value =
            extension.value().map_or_else(|_| format!("hex:{}", hex(extension.value_bytes())), str::to_owned);
        found.insert(name.to_owned(), json!(value));
    }
    Ok(found)
}

fn normal(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

fn ignored(path: &str) -> bool {
    IGNORED.iter().any(|top| path == *top || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/')))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layer;

    fn stack(layers: &[Layer]) -> Filesystem {
        let mut filesystem = Filesystem::default();
        for layer in layers {
            filesystem.apply(&layer.bytes()).unwrap();
        }
        filesystem
    }

    #[test]
    fn a_whiteout_removes_what_lies_below_it() {
        let lower = Layer::new().directory("d").file("d/a", "1").file("d.txt", "2");
        let files = stack(&[lower, Layer::new().file(".wh.d", "")]);
        assert_eq!(files.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["d.txt"]);
    }

    #[test]
    fn an_opaque_mark_keeps_what_its_own_layer_adds() {
        let upper = Layer::new().directory("d").file("d/new", "2").file("d/.wh..wh..opq", "");
        let files = stack(&[Layer::new().directory("d").file("d/old", "1"), upper]);
        assert_eq!(files.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["d", "d/new"]);
    }

    #[test]
    fn a_file_that_replaces_a_directory_takes_its_children_along() {
        let files = stack(&[Layer::new().directory("d").file("d/a", "1"), Layer::new().file("d", "2")]);
        assert_eq!(files.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["d"]);
    }

    #[test]
    fn the_difference_names_changed_and_absent_paths() {
        let base =
            stack(&[Layer::new().directory("gone").file("gone/a", "1").file("same", "1").file("other", "1")]);
        let next = stack(&[Layer::new().file("same", "1").file("other", "2").file("etc/hosts", "ignored")]);
        let delta = next.since(&base);
        assert_eq!(delta.changed.keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!(delta.absent.into_iter().collect::<Vec<_>>(), ["gone"]);
    }

    #[test]
    fn hard_links_are_one_inode_and_list_each_other() {
        let files = stack(&[Layer::new().file("a", "1").hard_link("b", "a").file("c", "1")]);
        let delta = files.since(&Filesystem::default());
        assert_eq!(delta.changed["b"]["hardlinks"], json!(["a", "b"]));
        assert!(!delta.changed["c"].contains_key("hardlinks"));
    }

    #[test]
    fn a_hard_link_to_nothing_is_an_error() {
        assert!(Filesystem::default().apply(&Layer::new().hard_link("b", "a").bytes()).is_err());
    }
}
