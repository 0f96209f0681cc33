//! The written encoding of records and trees, and what it is hashed under.
//!
//! The bytes of a record are the preimage of its [`DirectoryDigest`], so a store keeps bytes and verifies them by
//! hashing alone. The [`ContentDigest`] is taken from a second encoding that leaves out mtimes and names
//! subdirectories by their content digest. Decoding is strict: there is one encoding for a set of entries, and what
//! cannot be written to a file system is refused.
//!
//! Deliberately absent: a check that a subdirectory's sums and content digest are true. That needs its record; see
//! [`crate::walk::verify`].

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use farm_model::encoding::{Decoder, Encoder, Malformed, digest};
use farm_model::result::LayerRef;
use farm_model::{BlobDigest, ContentDigest, DirectoryDigest, LayerDigest};

use crate::path;
use crate::record::{
    Device, DeviceKind, Directory, DirectoryRef, Entry, File, Metadata, Mtime, Node, Symlink, Tree,
    xattr_is_kept,
};
use crate::records::Entries;

const RECORD_CONTEXT: &str = "farm tree directory record v1";
const RECORD_CONTENT_CONTEXT: &str = "farm tree directory content v1";
const LAYER_CONTEXT: &str = "farm tree layer v1";
const CONTENT_CONTEXT: &str = "farm tree content v1";

const WHITEOUT: u8 = 0;
const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const SYMLINK: u8 = 3;
const CHARACTER: u8 = 4;
const BLOCK: u8 = 5;
const FIFO: u8 = 6;

/// Longest value of an extended attribute: Linux's own limit.
const MAX_XATTR_VALUE: usize = 65_536;
const MAX_XATTR_NAME: usize = 255;

/// What an encoding is for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Purpose {
    /// Everything: what is stored.
    Record,
    /// Without mtimes: what keys see.
    Content,
}

/// Writes the record of `entries`.
pub fn encode(entries: &Entries) -> Vec<u8> {
    encode_for(entries, Purpose::Record).into_bytes()
}

/// Writes the record of `entries` and names it. What a [`crate::Records`] keeps.
pub fn seal(entries: &Entries) -> (DirectoryRef, Vec<u8>) {
    let bytes = encode(entries);
    let mut sum = DirectoryRef {
        digest: record_digest(&bytes),
        content: ContentDigest(encode_for(entries, Purpose::Content).digest(RECORD_CONTENT_CONTEXT)),
        entries: 0,
        bytes: 0,
        linked: 0,
        marks: 0,
        newest: Mtime::OLDEST,
    };
    for (name, entry) in entries {
        let Entry::Node(node) = entry else {
            sum.marks = sum.marks.saturating_add(1);
            continue;
        };
        sum.entries = sum.entries.saturating_add(1);
        sum.newest = sum.newest.max(node.metadata().mtime);
        match node {
            Node::Directory(Directory { record, opaque, .. }) => {
                sum.marks = sum.marks.saturating_add(record.marks).saturating_add(u64::from(*opaque));
                sum.entries = sum.entries.saturating_add(record.entries);
                sum.bytes = sum.bytes.saturating_add(record.bytes);
                sum.linked = sum.linked.saturating_add(record.linked);
                sum.newest = sum.newest.max(record.newest);
            }
            Node::File(file) => {
                let counts = file.hard_link.as_deref().is_none_or(|first| path::name(first) == &**name);
                sum.bytes = sum.bytes.saturating_add(if counts { file.blob.size } else { 0 });
                sum.linked = sum.linked.saturating_add(u64::from(file.hard_link.is_some()));
            }
            Node::Symlink(_) | Node::Device(_) => {}
        }
    }
    (sum, bytes)
}

/// The digest of a record's bytes.
pub fn record_digest(bytes: &[u8]) -> DirectoryDigest {
    DirectoryDigest(digest(RECORD_CONTEXT, bytes))
}

/// Reads a record. The caller has compared its digest; this refuses what no honest writer makes.
pub fn decode(bytes: &[u8]) -> Result<Entries, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let count = decoder.count()?;
    let mut entries = Entries::new();
    for _ in 0..count {
        let name = decoder.bytes()?;
        if !path::is_name(name) {
            return Err(decoder.malformed("a name is not one that a directory can hold"));
        }
        if entries.last_key_value().is_some_and(|(last, _)| **last >= *name) {
            return Err(decoder.malformed("its names are not sorted and unique"));
        }
        let entry = decode_entry(&mut decoder)?;
        entries.insert(name.into(), entry);
    }
    decoder.finish()?;
    Ok(entries)
}

impl DirectoryRef {
    /// Names `entries`.
    pub fn of(entries: &Entries) -> Self {
        seal(entries).0
    }

    /// The record with no entries. Every [`crate::Records`] has it, put or not.
    pub fn empty() -> Self {
        static EMPTY: OnceLock<DirectoryRef> = OnceLock::new();
        *EMPTY.get_or_init(|| Self::of(&Entries::new()))
    }
}

impl Tree {
    /// Identity of the tree as a layer, mtimes included.
    pub fn layer_digest(&self) -> LayerDigest {
        LayerDigest(digest(LAYER_CONTEXT, &self.encode()))
    }

    /// Identity of the tree without mtimes.
    pub fn content_digest(&self) -> ContentDigest {
        let mut encoder = Encoder::new();
        directory(&mut encoder, &self.root, Purpose::Content);
        ContentDigest(encoder.digest(CONTENT_CONTEXT))
    }

    /// Both identities.
    pub fn layer_ref(&self) -> LayerRef {
        LayerRef { digest: self.layer_digest(), content: self.content_digest() }
    }

    /// Writes the root directory: the preimage of the layer digest.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        directory(&mut encoder, &self.root, Purpose::Record);
        encoder.into_bytes()
    }

    /// Reads what [`Tree::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let root = decode_directory(&mut decoder)?;
        decoder.finish()?;
        Ok(Self { root })
    }
}

impl Node {
    /// Writes everything but mtimes, for digests of what is not a record.
    pub(crate) fn encode_content(&self, encoder: &mut Encoder) {
        node(encoder, self, Purpose::Content);
    }
}

fn encode_for(entries: &Entries, purpose: Purpose) -> Encoder {
    let mut encoder = Encoder::new();
    encoder.list(entries, |encoder, (name, entry)| {
        encoder.bytes(name);
        match entry {
            Entry::Whiteout => {
                encoder.u8(WHITEOUT);
            }
            Entry::Node(value) => node(encoder, value, purpose),
        }
    });
    encoder
}

fn node(encoder: &mut Encoder, value: &Node, purpose: Purpose) {
    match value {
        Node::Directory(value) => {
            encoder.u8(DIRECTORY);
            directory(encoder, value, purpose);
        }
        Node::File(file) => {
            encoder.u8(FILE);
            metadata(encoder, &file.metadata, purpose);
            encoder.raw(&file.blob.hash).u64(file.blob.size);
            encoder.option(file.hard_link.as_deref(), |encoder, first| {
                encoder.bytes(first);
            });
        }
        Node::Symlink(symlink) => {
            encoder.u8(SYMLINK);
            metadata(encoder, &symlink.metadata, purpose);
            encoder.bytes(&symlink.target);
        }
        Node::Device(Device { metadata: data, kind }) => {
            let (tag, numbers) = match *kind {
                DeviceKind::Character { major, minor } => (CHARACTER, Some((major, minor))),
                DeviceKind::Block { major, minor } => (BLOCK, Some((major, minor))),
                DeviceKind::Fifo => (FIFO, None),
            };
            encoder.u8(tag);
            metadata(encoder, data, purpose);
            if let Some((major, minor)) = numbers {
                encoder.u32(major).u32(minor);
            }
        }
    }
}

fn directory(encoder: &mut Encoder, value: &Directory, purpose: Purpose) {
    metadata(encoder, &value.metadata, purpose);
    encoder.u8(u8::from(value.opaque));
    if purpose == Purpose::Record {
        encoder.raw(value.record.digest.as_bytes());
    }
    encoder.raw(value.record.content.as_bytes());
    if purpose == Purpose::Record {
        let record = &value.record;
        encoder.u64(record.entries).u64(record.bytes).u64(record.linked).u64(record.marks);
        encoder.i64(record.newest.0);
    }
}

fn metadata(encoder: &mut Encoder, value: &Metadata, purpose: Purpose) {
    encoder.u32(value.mode.into()).u32(value.uid).u32(value.gid);
    if purpose == Purpose::Record {
        encoder.i64(value.mtime.0);
    }
    encoder.list(&value.xattrs, |encoder, (name, value)| {
        encoder.bytes(name).bytes(value);
    });
}

fn decode_entry(decoder: &mut Decoder<'_>) -> Result<Entry, Malformed> {
    let node = match decoder.u8()? {
        WHITEOUT => return Ok(Entry::Whiteout),
        DIRECTORY => Node::Directory(decode_directory(decoder)?),
        FILE => Node::File(decode_file(decoder)?),
        SYMLINK => Node::Symlink(decode_symlink(decoder)?),
        tag @ (CHARACTER | BLOCK) => {
            let metadata = decode_metadata(decoder)?;
            let (major, minor) = (decoder.u32()?, decoder.u32()?);
            let kind = if tag == CHARACTER {
                DeviceKind::Character { major, minor }
            } else {
                DeviceKind::Block { major, minor }
            };
            Node::Device(Device { metadata, kind })
        }
        FIFO => Node::Device(Device { metadata: decode_metadata(decoder)?, kind: DeviceKind::Fifo }),
        _ => return Err(decoder.malformed("an entry is of an unknown kind")),
    };
    Ok(Entry::Node(node))
}

fn decode_directory(decoder: &mut Decoder<'_>) -> Result<Directory, Malformed> {
    let metadata = decode_metadata(decoder)?;
    let opaque = match decoder.u8()? {
        0 => false,
        1 => true,
        _ => return Err(decoder.malformed("an opaque mark is neither 0 nor 1")),
    };
    let record = DirectoryRef {
        digest: DirectoryDigest(decoder.array()?),
        content: ContentDigest(decoder.array()?),
        entries: decoder.u64()?,
        bytes: decoder.u64()?,
        linked: decoder.u64()?,
        marks: decoder.u64()?,
        newest: Mtime(decoder.i64()?),
    };
    Ok(Directory { metadata, opaque, record })
}

fn decode_file(decoder: &mut Decoder<'_>) -> Result<File, Malformed> {
    let metadata = decode_metadata(decoder)?;
    let blob = BlobDigest { hash: decoder.array()?, size: decoder.u64()? };
    let hard_link = decoder.option(Decoder::bytes)?;
    if hard_link.is_some_and(|first| !path::is_relative(first)) {
        return Err(decoder.malformed("a hard link is not a path inside the tree"));
    }
    Ok(File { metadata, blob, hard_link: hard_link.map(Arc::from) })
}

fn decode_symlink(decoder: &mut Decoder<'_>) -> Result<Symlink, Malformed> {
    let metadata = decode_metadata(decoder)?;
    let target = decoder.bytes()?;
    if target.is_empty() || target.len() >= path::MAX_PATH || target.contains(&0) {
        return Err(decoder.malformed("the target of a symbolic link is not one that a file system can hold"));
    }
    if metadata.mode != 0o777 {
        return Err(decoder.malformed("a symbolic link has a mode of its own"));
    }
    Ok(Symlink { metadata, target: target.to_vec() })
}

fn decode_metadata(decoder: &mut Decoder<'_>) -> Result<Metadata, Malformed> {
    let mode = u16::try_from(decoder.u32()?).ok().filter(|mode| *mode <= 0o7777);
    let mode = mode.ok_or_else(|| decoder.malformed("a mode has unknown bits"))?;
    let (uid, gid, mtime) = (decoder.u32()?, decoder.u32()?, Mtime(decoder.i64()?));
    let mut xattrs = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for _ in 0..decoder.count()? {
        let (name, value) = (decoder.bytes()?, decoder.bytes()?);
        if name.len() > MAX_XATTR_NAME
            || value.len() > MAX_XATTR_VALUE
            || name.contains(&0)
            || !xattr_is_kept(name)
        {
            return Err(decoder.malformed("an extended attribute is not one that a tree keeps"));
        }
        if xattrs.last_key_value().is_some_and(|(last, _)| last.as_slice() >= name) {
            return Err(decoder.malformed("its extended attributes are not sorted and unique"));
        }
        xattrs.insert(name.to_vec(), value.to_vec());
    }
    Ok(Metadata { mode, uid, gid, mtime, xattrs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryRecords;
    use crate::test_support::{dir, file, link, linked, tree};

    fn sample() -> (MemoryRecords, Tree) {
        let records = MemoryRecords::new();
        let mut capable = file("4");
        let value = b"\x01\0\0\x02".to_vec();
        capable.metadata_mut().xattrs.insert(b"security.capability".to_vec(), value);
        let fifo =
            Node::Device(Device { metadata: Metadata::plain(0o600, Mtime(3)), kind: DeviceKind::Fifo });
        let kind = DeviceKind::Character { major: 1, minor: 3 };
        let null = Node::Device(Device { metadata: Metadata::plain(0o666, Mtime(3)), kind });
        let nodes = [
            ("etc/passwd", file("1")),
            ("bin", link("usr/bin")),
            ("usr/bin/a", linked("2", "usr/bin/a")),
            ("usr/bin/b", linked("2", "usr/bin/a")),
            ("usr/bin/ping", capable),
            ("tmp", dir(0o1777)),
            ("run/pipe", fifo),
            ("dev/null", null),
        ];
        let tree = tree(&records, &nodes);
        (records, tree)
    }

    #[test]
    fn digests_are_pinned() {
        let changed = "a change of layout needs new context strings";
        let empty = DirectoryRef::empty();
        assert_eq!(
            empty.digest.to_string(),
            "7cd4d50c1ae6c60c0a143e100d4e5bfd6c38526add2b080e7d67b7ae225aae45",
            "{changed}"
        );
        assert_eq!(
            empty.content.to_string(),
            "656aaa8d37d5ea2fdbfc506bd8626ad687d318a68e31711fbbbc3ace4e32e2c3",
            "{changed}"
        );
        let (_, tree) = sample();
        assert_eq!(
            tree.root.record.digest.to_string(),
            "db24edbfc37f7f1fe4726351d0806d705c6326b23cce5e165b2384c1bd9d2a6d",
            "{changed}"
        );
        assert_eq!(
            tree.layer_digest().to_string(),
            "c9e51f4678a3a2dd42bbc1992e2079c238012550f3e7023b42ace4b10492d3d6",
            "{changed}"
        );
        assert_eq!(
            tree.content_digest().to_string(),
            "c00e642067e80805c9b3f9dd2a7bfbf562e6b8fb5d3078071c0f5321fa73c417",
            "{changed}"
        );
    }

    #[test]
    fn the_layout_is_pinned() {
        let mut node = file("1");
        node.metadata_mut().mtime = Mtime(-1);
        let entries: Entries =
            [(Arc::from(*b"f"), Entry::Node(node)), (Arc::from(*b"w"), Entry::Whiteout)].into();
        let mut expected = Vec::new();
        expected.extend(b"\x02\0\0\0\0\0\0\0"); // entries
        expected.extend(b"\x01\0\0\0\0\0\0\0f\x02"); // name, kind
        expected.extend(b"\xa4\x01\0\0\0\0\0\0\0\0\0\0"); // mode, uid, gid
        expected.extend([0xff; 8]); // mtime
        expected.extend([0; 8]); // extended attributes
        expected.extend(BlobDigest::of(b"1").hash);
        expected.extend(b"\x01\0\0\0\0\0\0\0\0"); // size, no hard link
        expected.extend(b"\x01\0\0\0\0\0\0\0w\0");
        assert_eq!(encode(&entries), expected);
    }

    #[test]
    fn sums_count_what_is_below() {
        let (_, tree) = sample();
        let record = tree.root.record;
        assert_eq!((record.entries, record.bytes, record.linked, record.marks), (13, 3, 2, 0));
        assert_eq!(record.newest, Mtime(1_000));
    }

    #[test]
    fn the_metadata_of_the_root_counts_but_not_its_mtime() {
        let (_, tree) = sample();
        let mut touched = tree.clone();
        touched.root.metadata.mtime = Mtime(77);
        assert_eq!(touched.content_digest(), tree.content_digest());
        assert_ne!(touched.layer_digest(), tree.layer_digest());
        touched.root.metadata.mode = 0o700;
        assert_ne!(touched.content_digest(), tree.content_digest());
    }

    #[test]
    fn what_no_honest_writer_makes_is_refused() {
        let one = |name: &[u8], node: Node| encode(&[(Arc::from(name), Entry::Node(node))].into());
        for name in [b"".as_slice(), b".", b"..", b"a/b", b"a\0", &[b'x'; 256]] {
            assert!(decode(&one(name, file("1"))).is_err(), "{}", name.escape_ascii());
        }
        for attribute in ["user.overlay.opaque", "trusted.overlay.opaque", "security.selinux", "user."] {
            let mut node = file("1");
            node.metadata_mut().xattrs.insert(attribute.into(), Vec::new());
            assert!(decode(&one(b"f", node)).is_err(), "{attribute}");
        }
        for first in ["", "/a", "a//b", "../a", "a/."] {
            assert!(decode(&one(b"f", linked("1", first))).is_err(), "{first}");
        }
        let mut node = file("1");
        node.metadata_mut().mode = 0o10_000;
        assert!(decode(&one(b"f", node)).is_err());
        assert!(decode(&one(b"l", link(""))).is_err());
        let mut unsorted =
            encode(&[(Arc::from(*b"a"), Entry::Whiteout), (Arc::from(*b"b"), Entry::Whiteout)].into());
        unsorted.swap(16, 26);
        assert!(decode(&unsorted).is_err());
    }
}
