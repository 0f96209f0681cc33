//! Single files of a tree, read whole: account files of an image, say.

use farm_tree::{Node, Tree, resolve};

use crate::{Error, Store};

impl Store {
    /// The bytes of the regular file that a process in `tree` finds at `path`, symbolic links followed; none when there is
    /// no such file. One of more than `limit` bytes is refused.
    pub fn read_file(&self, tree: &Tree, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let found = match resolve::resolve(self, tree, path) {
            Ok(found) => found,
            Err(farm_tree::Error::NotADirectory(_) | farm_tree::Error::TooManyLinks(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let file = found.node.as_ref().and_then(Node::as_file);
        file.map(|file| self.read_blob(&file.blob, limit)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use farm_tree::{File, Metadata, Mtime, Symlink, TreeBuilder};

    use super::*;

    #[test]
    fn a_file_is_found_through_links_and_never_outside() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let blob = store.ingest(&mut b"root:x:0:0::/:\n".as_slice(), None).unwrap();
        let metadata = Metadata::plain(0o644, Mtime(0));
        let link = |target: &[u8]| {
            Node::Symlink(Symlink { metadata: Metadata::plain(0o777, Mtime(0)), target: target.to_vec() })
        };
        let mut builder = TreeBuilder::default();
        builder.insert(b"usr/etc/passwd", Node::File(File { metadata, blob, hard_link: None })).unwrap();
        builder.insert(b"etc", link(b"/../usr/etc")).unwrap();
        builder.insert(b"circle", link(b"circle")).unwrap();
        let tree = builder.finish(&store).unwrap();
        let read = |path: &[u8], limit| store.read_file(&tree, path, limit);
        assert_eq!(read(b"etc/passwd", 100).unwrap().unwrap(), b"root:x:0:0::/:\n");
        assert!(read(b"etc/group", 100).unwrap().is_none());
        assert!(read(b"usr/etc", 100).unwrap().is_none(), "a directory has no bytes");
        assert!(read(b"circle/x", 100).unwrap().is_none());
        assert!(matches!(read(b"etc/passwd", 3), Err(Error::TooLarge { limit: 3 })));
    }
}
