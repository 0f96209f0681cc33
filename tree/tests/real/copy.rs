//! `COPY` computed on records gives what the same rules give on a real file system.
//!
//! The reference resolves paths with the kernel's own `openat2` and works with the calls that a shell would: it shares
//! no code with what it checks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use farm_tree::mode::ModeChange;
use farm_tree::passwd::Owner;
use farm_tree::record::{Metadata, Mtime};
use farm_tree::select::Options;
use farm_tree::{Adjustment, Destination, MemoryRecords, Selection, copy, merge};
use proptest::prelude::*;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::{disk, require_root, trees};

fn refused(reason: &str) -> io::Error {
    io::Error::other(reason.to_owned())
}

/// A directory on disk that stands for a root.
struct Root {
    path: PathBuf,
}

impl Root {
    /// What `path` leads to inside the root, when it exists.
    fn open(&self, path: &str) -> io::Result<PathBuf> {
        let root = rustix::fs::open(&self.path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let path = if path.is_empty() { "." } else { path };
        let found = rustix::fs::openat2(root, path, OFlags::PATH, Mode::empty(), ResolveFlags::IN_ROOT)?;
        let found = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found)))?;
        Ok(found)
    }

    /// Where `path` leads; what does not exist comes to lie behind what does.
    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let mut path = path.trim_matches('/').to_owned();
        for _ in 0..50 {
            match self.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            let (count, base) = (0..parts.len())
                .rev()
                .find_map(|count| self.open(&parts[..count].join("/")).ok().map(|base| (count, base)))
                .unwrap();
            let next = base.join(parts[count]);
            let rest = parts[count + 1..].join("/");
            match fs::read_link(&next) {
                Ok(target) => {
                    let inside = base.strip_prefix(&self.path).unwrap().to_str().unwrap().to_owned();
                    let target = target.to_str().unwrap().to_owned();
                    let start = if target.starts_with('/') { String::new() } else { inside };
                    path = format!("{start}/{target}/{rest}");
                }
                Err(_) if next.symlink_metadata().is_ok() => return Err(refused("not a directory")),
                Err(_) if rest.is_empty() => return Ok(next),
                Err(_) => return Ok(next.join(rest)),
            }
        }
        Err(refused("too many links"))
    }
}

struct Reference<'a> {
    source: Root,
    target: Root,
    adjustment: &'a Adjustment,
    inodes: BTreeMap<u64, PathBuf>,
}

impl Reference<'_> {
    fn copy(&mut self, source: &str, destination: &str) -> io::Result<()> {
        self.inodes.clear();
        let from = self.source.open(source)?;
        let trimmed = destination.trim_end_matches('/');
        let needed = if destination.ends_with('/') {
            trimmed
        } else {
            trimmed.rsplit_once('/').map_or("", |(parent, _)| parent)
        };
        let needed = self.target.place(needed)?;
        self.make(&needed)?;
        let to = self.target.place(trimmed)?;
        if from.is_dir() {
            if to.symlink_metadata().is_ok() && !to.is_dir() {
                return Err(refused("a directory over a file"));
            }
            self.make(&to)?;
            return self.contents(&from, &to);
        }
        let name = source.rsplit('/').next().unwrap();
        let to = if to.is_dir() { to.join(name) } else { to };
        self.make(to.parent().unwrap())?;
        self.file(&from, &to, false)
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.make(path.parent().unwrap())?;
        fs::create_dir(path)?;
        let owner = self.adjustment.owner.unwrap_or_default();
        let mode = ModeChange::for_made_directories(self.adjustment.mode.as_ref());
        disk::apply(path, &Metadata { uid: owner.uid, gid: owner.gid, ..Metadata::plain(mode, Mtime(0)) });
        Ok(())
    }

    fn contents(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names: Vec<_> = fs::read_dir(from)?.map(|entry| entry.unwrap().file_name()).collect();
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        for name in names {
            let (from, to) = (from.join(&name), to.join(&name));
            if from.is_symlink() || !from.is_dir() {
                self.file(&from, &to, true)?;
                continue;
            }
            match to.symlink_metadata() {
                Ok(found) if !found.is_dir() => return Err(refused("a directory over a file")),
                Ok(_) => {}
                Err(_) => fs::create_dir(&to)?,
            }
            self.contents(&from, &to)?;
            self.stamp(&from, &to)?;
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path, links: bool) -> io::Result<()> {
        match to.symlink_metadata() {
            Ok(found) if found.is_dir() => return Err(refused("a file over a directory")),
            Ok(_) => fs::remove_file(to)?,
            Err(_) => {}
        }
        let found = from.symlink_metadata()?;
        if found.is_file() {
            if links && found.nlink() > 1 {
                if let Some(first) = self.inodes.get(&found.ino()) {
                    return fs::hard_link(first, to);
                }
                self.inodes.insert(found.ino(), to.to_owned());
            }
            fs::write(to, fs::read(from)?)?;
        } else if found.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
        } else {
            rustix::fs::mknodat(rustix::fs::CWD, to, rustix::fs::FileType::Fifo, Mode::empty(), 0)?;
        }
        self.stamp(from, to)
    }

    fn stamp(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut metadata = disk::metadata(from)?;
        if let Some(owner) = self.adjustment.owner {
            (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        }
        if let Some(ModeChange::Set(mode)) = self.adjustment.mode {
            metadata.mode = mode;
        }
        disk::apply(to, &metadata);
        Ok(())
    }
}

fn any_source() -> impl Strategy<Value = String> {
    prop_oneof![4 => trees::any_path(), 1 => Just(".".to_owned())]
}

fn any_destination() -> impl Strategy<Value = String> {
    (trees::any_path(), prop::sample::select(&["", "/", "/new", "/new/deep/"][..]))
        .prop_map(|(path, tail)| format!("/{path}{tail}"))
}

fn any_adjustment() -> impl Strategy<Value = Adjustment> {
    let owner = prop::option::of((5..7_u32, 5..7_u32).prop_map(|(uid, gid)| Owner { uid, gid }));
    let mode =
        prop::option::weighted(0.3, prop::sample::select(&[0o750_u16, 0o4711][..]).prop_map(ModeChange::Set));
    (owner, mode).prop_map(|(owner, mode)| Adjustment { owner, mode })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_on_records_is_a_copy_on_disk(
        source in trees::any_steps(0),
        stage in trees::any_steps(1),
        sources in prop::collection::vec(any_source(), 1..3),
        destination in any_destination(),
        adjustment in any_adjustment(),
    ) {
        require_root();
        let records = MemoryRecords::new();
        let source = trees::build(&records, &source);
        let stage = trees::build(&records, &stage);

        let scratch = disk::scratch();
        let roots = ["source", "target"].map(|name| fs::canonicalize(scratch.path()).unwrap().join(name));
        for (root, tree) in roots.iter().zip([&source, &stage]) {
            fs::create_dir(root).unwrap();
            disk::write(&records, tree, root);
        }
        let [from, to] = roots.map(|path| Root { path });
        let mut reference = Reference { source: from, target: to, adjustment: &adjustment, inodes: BTreeMap::new() };
        let on_disk = sources.iter().try_for_each(|source| reference.copy(source, &destination));

        let mut selection = Selection::new(adjustment.clone());
        let on_records = sources
            .iter()
            .try_for_each(|written| selection.add_path(&records, &source, written, &Options::default()))
            .and_then(|()| {
                copy(&records, &stage, &selection, Destination { path: &destination, workdir: "/", link: false })
            });

        prop_assert_eq!(on_records.is_ok(), on_disk.is_ok(), "{:?} but on disk {:?}", on_records, on_disk);
        if let Ok(layer) = on_records {
            let merged = merge(&records, &stage, &layer).unwrap();
            let found = disk::scan(&records, &reference.target.path);
            prop_assert_eq!(trees::canonical(&records, &merged), trees::canonical(&records, &found));
        }
    }
}
