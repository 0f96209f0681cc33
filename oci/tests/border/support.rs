//! What several tests need: a store, tars with any header, other people's programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use farm_model::OciDigest;
use farm_oci::resolved::sha256;
use farm_oci::unpack::{Unpacked, unpack_archive, unpack_layer};
use farm_oci::{Cancel, Error, Limits};
use farm_store::Store;
use farm_tree::resolve::lookup;
use farm_tree::{Node, Tree};

/// A store in a directory of its own.
pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        Self { store, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn layer(&self, tar: &[u8], below: &Tree) -> Result<Tree, Error> {
        self.layer_with(tar, sha256(tar), below, &Limits::default())
    }

    pub(crate) fn layer_with(
        &self,
        bytes: &[u8],
        diff_id: OciDigest,
        below: &Tree,
        limits: &Limits,
    ) -> Result<Tree, Error> {
        let (layer, tree) =
            unpack_layer(bytes, "the layer", diff_id, below, &self.store, limits, Cancel::default())?;
        assert_eq!(layer, tree.layer_ref());
        Ok(tree)
    }

    pub(crate) fn archive(&self, bytes: &[u8]) -> Result<Option<Unpacked>, Error> {
        unpack_archive(bytes, "the archive", &self.store, &Limits::default(), Cancel::default())
    }

    pub(crate) fn node(&self, tree: &Tree, path: &str) -> Option<Node> {
        lookup(&self.store, tree, path.as_bytes()).unwrap().node
    }

    pub(crate) fn text(&self, tree: &Tree, path: &str) -> String {
        let node = self.node(tree, path).unwrap_or_else(|| panic!("`{path}` is missing"));
        let file = node.as_file().unwrap_or_else(|| panic!("`{path}` is a {}", node.kind()));
        String::from_utf8(self.store.read_blob(&file.blob, 1 << 20).unwrap()).unwrap()
    }
}

/// Writes tars of which a decent program would be ashamed.
#[derive(Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn header(&mut self, kind: u8, path: &[u8], link: &[u8], size: u64) -> &mut Self {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(7);
        header.set_size(size);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header.as_old_mut().linkflag = [kind];
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(&mut self, path: &str, text: &str) -> &mut Self {
        self.header(b'0', path.as_bytes(), b"", text.len() as u64).data(text.as_bytes())
    }

    pub(crate) fn dir(&mut self, path: &str) -> &mut Self {
        self.header(b'5', path.as_bytes(), b"", 0)
    }

    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.header(b'2', path.as_bytes(), target.as_bytes(), 0)
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.header(b'1', path.as_bytes(), target.as_bytes(), 0)
    }

    /// A PAX header for the next entry.
    pub(crate) fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..9).find(|digits| (rest + digits).to_string().len() == *digits).unwrap() + rest;
            write!(body, "{length} {key}=").unwrap();
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.header(b'x', b"pax", b"", body.len() as u64).data(&body)
    }

    pub(crate) fn done(&mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        std::mem::take(&mut self.0)
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Runs a program of a Debian package, which must be installed.
pub(crate) fn run(package: &str, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`{program}` is needed: apt-get install {package} ({error})"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
