//! Who a command runs as: `USER` looked up in the stage's own `/etc/passwd` and `/etc/group`.

use farm_store::Store;
use farm_tree::Tree;
use farm_tree::passwd::{self, ACCOUNT_FILE_LIMIT, Identity};

use crate::error::Error;

/// Resolves `user[:group]` against the merged tree of the stage.
pub(crate) fn identify(store: &Store, merged: &Tree, user: &str) -> Result<Identity, Error> {
    let passwd = store.read_file(merged, passwd::PASSWD, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
    let group = store.read_file(merged, passwd::GROUP, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
    Ok(passwd::resolve_user(user, &passwd, &group)?)
}
