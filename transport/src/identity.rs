//! Who a peer is, as its certificate says: a URI among the subject's alternative names, `farm://ROLE/NAME?scope=SCOPE`.
//!
//! The same text is never written in two ways, so that two certificates name the same peer exactly when their URIs are
//! equal bytes.

use std::fmt;
use std::str::FromStr;

use farm_model::Scope;

/// What a peer is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Asks for builds.
    Client,
    /// Only looks.
    Viewer,
    /// Runs steps.
    Worker,
    /// Decides.
    Coordinator,
}

impl Role {
    const ALL: [Self; 4] = [Self::Client, Self::Viewer, Self::Worker, Self::Coordinator];

    /// The role as a certificate names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Viewer => "viewer",
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
        }
    }

    /// Whether a peer of this role is ever dialled.
    pub(crate) fn listens(self) -> bool {
        match self {
            Self::Worker | Self::Coordinator => true,
            Self::Client | Self::Viewer => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| InvalidIdentity::Role(text.to_owned()))
    }
}

/// Who somebody is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// What it is.
    pub role: Role,
    /// Its name among those of its role: 1 to 64 letters, digits, `.`, `_`, `-` or `@`.
    pub name: String,
    /// The trust domain it writes to.
    pub scope: Scope,
}

/// Why a text names nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidIdentity {
    /// It has another form.
    #[error("`{0}` is not of the form farm://ROLE/NAME?scope=SCOPE")]
    Form(String),
    /// There is no such role.
    #[error("`{0}` is no role: expected client, viewer, worker or coordinator")]
    Role(String),
    /// Nobody can have that name.
    #[error("`{0}` is no name: expected 1 to 64 letters, digits, `.`, `_`, `-` or `@`")]
    Name(String),
    /// There can be no such scope.
    #[error(transparent)]
    Scope(#[from] farm_model::scope::InvalidScope),
}

const SCHEME: &str = "farm://";
const SCOPE: &str = "?scope=";
const MAX_NAME: usize = 64;

impl Identity {
    /// An identity, when `name` can be a name.
    pub fn new(role: Role, name: &str, scope: Scope) -> Result<Self, InvalidIdentity> {
        check_name(name)?;
        Ok(Self { role, name: name.to_owned(), scope })
    }

    /// The URI that a certificate holds.
    pub fn uri(&self) -> Result<String, InvalidIdentity> {
        check_name(&self.name)?;
        Ok(format!("{SCHEME}{}/{}{SCOPE}{}", self.role, self.name, self.scope))
    }

    /// Reads what [`Identity::uri`] wrote.
    pub fn from_uri(uri: &str) -> Result<Self, InvalidIdentity> {
        let parts = uri
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.split_once(SCOPE))
            .and_then(|(peer, scope)| Some((peer.split_once('/')?, scope)));
        let Some(((role, name), scope)) = parts else {
            return Err(InvalidIdentity::Form(uri.to_owned()));
        };
        Self::new(role.parse()?, name, scope.parse()?)
    }
}

fn check_name(name: &str) -> Result<(), InvalidIdentity> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        return Err(InvalidIdentity::Name(name.to_owned()));
    }
    Ok(())
}

/// `worker w1`, as messages name a peer.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.role, self.name)
    }
}

/// Whom a dialler expects to find.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expected {
    /// What it has to be.
    pub role: Role,
    /// What it has to be called; anything when there is none.
    pub name: Option<String>,
}

impl Expected {
    /// Anybody of a role.
    pub fn any(role: Role) -> Self {
        Self { role, name: None }
    }

    /// One peer.
    pub fn named(role: Role, name: &str) -> Self {
        Self { role, name: Some(name.to_owned()) }
    }

    /// Whether `identity` is whom one expects.
    pub fn accepts(&self, identity: &Identity) -> bool {
        self.role == identity.role && self.name.as_ref().is_none_or(|name| *name == identity.name)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "a {}", self.role),
            Some(name) => write!(f, "{} `{name}`", self.role),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_round_trips_through_its_uri() {
        for role in Role::ALL {
            let identity = Identity::new(role, "me@host-1.x", "pr-123".parse().unwrap()).unwrap();
            assert_eq!(Identity::from_uri(&identity.uri().unwrap()), Ok(identity));
        }
        let worker = Identity::new(Role::Worker, "w1", Scope::main()).unwrap();
        assert_eq!(worker.uri().unwrap(), "farm://worker/w1?scope=main");
    }

    #[test]
    fn other_uris_name_nobody() {
        for uri in [
            "",
            "farm://worker/w1",
            "farm://worker?scope=main",
            "farm://worker/?scope=main",
            "farm://worker/a/b?scope=main",
            "farm://Worker/w1?scope=main",
            "farm://root/w1?scope=main",
            "farm://worker/w1?scope=",
            "farm://worker/w1?scope=main&scope=other",
            "farm://worker/w1?scope=main#x",
            "farm://worker/w%31?scope=main",
            "https://worker/w1?scope=main",
        ] {
            assert!(Identity::from_uri(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_name_is_expected_only_when_it_is_given() {
        let w1 = Identity::new(Role::Worker, "w1", Scope::main()).unwrap();
        assert!(Expected::any(Role::Worker).accepts(&w1));
        assert!(Expected::named(Role::Worker, "w1").accepts(&w1));
        assert!(!Expected::named(Role::Worker, "w2").accepts(&w1));
        assert!(!Expected::named(Role::Coordinator, "w1").accepts(&w1));
    }
}
