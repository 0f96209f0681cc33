//! Who a command runs as: `USER` looked up in the stage's own `/etc/passwd` and `/etc/group`.

use farm_store::Store;
use farm_tree::passwd::{self, Identity};
use farm_tree::{Tree, resolve};

use crate::error::Error;

/// Longer account files are not read: no image has one, and a hostile one must not fill the memory.
const LONGEST_FILE: u64 = 16 << 20;

/// Resolves `user[:group]` against the merged tree of the stage.
pub(crate) fn identify(store: &Store, merged: &Tree, user: &str) -> Result<Identity, Error> {
    let passwd = account_file(store, merged, "etc/passwd")?;
    let group = account_file(store, merged, "etc/group")?;
    Ok(passwd::resolve_user(user, &passwd, &group)?)
}

fn account_file(store: &Store, merged: &Tree, path: &str) -> Result<Vec<u8>, Error> {
    let found = match resolve::resolve(store, merged, path.as_bytes()) {
        Ok(found) => found,
        Err(farm_tree::Error::NotADirectory(_) | farm_tree::Error::TooManyLinks(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    match found.node.as_ref().and_then(farm_tree::Node::as_file) {
        None => Ok(Vec::new()),
        Some(file) => Ok(store.read_blob(&file.blob, LONGEST_FILE)?),
    }
}
