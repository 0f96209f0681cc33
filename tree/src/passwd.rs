//! Who a `USER` or a `--chown` means, by the stage's own `/etc/passwd` and `/etc/group`.
//!
//! The two differ: a process with a bare number gets that user's group or group 0, while `--chown` and `WORKDIR` give
//! a file of a bare number the group of the same number. `root` is 0 without being looked up. Broken lines are passed
//! over, as the C library does.

use crate::error::Error;

/// Where users are listed.
pub const PASSWD: &[u8] = b"etc/passwd";
/// Where groups are listed.
pub const GROUP: &[u8] = b"etc/group";
/// Longer account files are not read: no image has one, and a hostile one must not fill the memory.
pub const ACCOUNT_FILE_LIMIT: u64 = 16 << 20;

/// The largest id that is accepted.
const MAX_ID: u32 = i32::MAX as u32;

/// Who a process runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups, without `gid`, sorted.
    pub supplementary: Vec<u32>,
    /// Home directory; `/` when nobody says.
    pub home: String,
}

/// Who a file belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who a process runs as under `USER spec`; an empty `spec` is root. `passwd` and `group` are the files' bytes, empty
/// when there are none.
pub fn resolve_user(spec: &str, passwd: &[u8], group: &[u8]) -> Result<Identity, Error> {
    let (name, group_name) = split(spec)?;
    let name = if name.is_empty() { "0" } else { name };
    let number = number(name, spec)?;
    let users = users(passwd);
    let user = users.iter().find(|user| match number {
        // A name of digits wins over the id, as in the C library.
        Some(uid) => user.uid == uid || user.name == name,
        None => user.name == name,
    });
    let uid = match (user, number) {
        (Some(user), _) => user.uid,
        (None, Some(uid)) => uid,
        (None, None) if name == "root" => 0,
        (None, None) => return Err(unknown("user", name, "passwd")),
    };
    let groups = groups(group);
    let (gid, supplementary) = if let Some(name) = group_name {
        (group_id(name, spec, &groups)?, Vec::new())
    } else {
        let gid = user.map_or(0, |user| user.gid);
        let member = |entry: &&Group| user.is_some_and(|user| entry.members.contains(&user.name));
        let mut further: Vec<u32> = groups.iter().filter(member).map(|entry| entry.gid).collect();
        further.sort_unstable();
        further.dedup();
        further.retain(|further| *further != gid);
        (gid, further)
    };
    let home = user.map(|user| user.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(Identity { uid, gid, supplementary, home: home.to_owned() })
}

/// Who files get under `--chown=spec`, or the directories that `WORKDIR` makes under `USER spec`.
pub fn resolve_owner(spec: &str, passwd: &[u8], group: &[u8]) -> Result<Owner, Error> {
    let (name, group_name) = split(spec)?;
    let mut owner = match number(name, spec)? {
        Some(id) => Owner { uid: id, gid: id },
        None if name.is_empty() || name == "root" => Owner::default(),
        None => {
            let users = users(passwd);
            let user = users.iter().find(|user| user.name == name);
            let user = user.ok_or_else(|| unknown("user", name, "passwd"))?;
            Owner { uid: user.uid, gid: user.gid }
        }
    };
    if let Some(name) = group_name {
        owner.gid = group_id(name, spec, &groups(group))?;
    }
    Ok(owner)
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: Vec<&'a str>,
}

fn split(spec: &str) -> Result<(&str, Option<&str>), Error> {
    let (user, group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    if group.is_some_and(|group| group.contains(':')) || spec.contains('\0') {
        return Err(Error::InvalidUser(spec.to_owned()));
    }
    Ok((user, group))
}

/// The number that a text is; none when it is a name, an error when it is out of range.
fn number(text: &str, spec: &str) -> Result<Option<u32>, Error> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|id| *id <= MAX_ID);
    id.map(Some).ok_or_else(|| Error::InvalidUser(spec.to_owned()))
}

fn group_id(name: &str, spec: &str, groups: &[Group<'_>]) -> Result<u32, Error> {
    if let Some(id) = number(name, spec)? {
        return Ok(id);
    }
    match groups.iter().find(|group| group.name == name) {
        Some(group) => Ok(group.gid),
        None if name == "root" => Ok(0),
        None => Err(unknown("group", name, "group")),
    }
}

fn unknown(kind: &'static str, name: &str, file: &'static str) -> Error {
    Error::UnknownName { kind, name: name.to_owned(), file }
}

fn users(passwd: &[u8]) -> Vec<User<'_>> {
    lines::<6>(passwd)
        .filter_map(|[name, _, uid, gid, _, home]| {
            Some(User { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
        })
        .collect()
}

fn groups(group: &[u8]) -> Vec<Group<'_>> {
    lines::<4>(group)
        .filter_map(|[name, _, gid, members]| {
            Some(Group {
                name,
                gid: gid.parse().ok()?,
                members: members.split(',').filter(|member| !member.is_empty()).collect(),
            })
        })
        .collect()
}

/// The fields of every line that has some; those that are missing are empty.
fn lines<const N: usize>(file: &[u8]) -> impl Iterator<Item = [&str; N]> {
    file.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let mut fields = line.split(':');
        Some(std::array::from_fn(|_| fields.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken\n# comment\ndaemon:x:1:1::/:/bin/false\nfoo:x:1001:1001::/home/foo:/bin/sh\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root\nfoo:x:1001:\nmore:x:1002:foo,daemon\n";

    fn user(spec: &str) -> (u32, u32, Vec<u32>) {
        let found = resolve_user(spec, PASSWD, GROUP).unwrap();
        (found.uid, found.gid, found.supplementary)
    }

    fn owner(spec: &str) -> (u32, u32) {
        let found = resolve_owner(spec, PASSWD, GROUP).unwrap();
        (found.uid, found.gid)
    }

    #[test]
    fn a_process_gets_its_groups_unless_one_is_named() {
        assert_eq!(user(""), (0, 0, vec![10]));
        assert_eq!(user("root"), (0, 0, vec![10]));
        assert_eq!(user("foo"), (1001, 1001, vec![1002]));
        assert_eq!(user("1001"), (1001, 1001, vec![1002]));
        assert_eq!(user("foo:more"), (1001, 1002, vec![]));
        assert_eq!(user("foo:1001"), (1001, 1001, vec![]));
    }

    #[test]
    fn a_number_nobody_knows_is_taken_as_it_is() {
        assert_eq!(user("1234"), (1234, 0, vec![]));
        assert_eq!(user("1042:1043"), (1042, 1043, vec![]));
        assert_eq!(resolve_user("1234", b"", b"").unwrap().home, "/");
    }

    #[test]
    fn a_file_of_a_bare_number_gets_the_group_of_that_number() {
        assert_eq!(owner("1234"), (1234, 1234));
        assert_eq!(owner("1001:more"), (1001, 1002));
        assert_eq!(owner("foo"), (1001, 1001));
        assert_eq!(owner("root"), (0, 0));
        assert_eq!(owner(":7"), (0, 7));
    }

    #[test]
    fn names_nobody_knows_are_errors_that_say_so() {
        let error = resolve_user("bar", PASSWD, GROUP).unwrap_err().to_string();
        assert_eq!(error, "unable to find user `bar`: no matching entries in passwd file");
        assert!(resolve_owner("foo:bar", PASSWD, GROUP).is_err());
        assert!(resolve_user("root", b"", b"").is_ok(), "root needs no file");
        assert!(resolve_user("4294967296", PASSWD, GROUP).is_err());
        assert!(resolve_user("a:b:c", PASSWD, GROUP).is_err());
    }
}
