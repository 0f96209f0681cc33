//! The way out of each error, where there is one.

use std::io;

use super::{Error, Fault};

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Store(error) => error.hint()?,
            Self::Registry { registry, fault, .. } => return Some(fault.hint(registry)),
            Self::Push { registry, fault, .. } => return Some(fault.push_hint(registry)),
            Self::Login { registry, fault } => return Some(fault.login_hint(registry)),
            Self::AllFailed { attempts, .. } => {
                // The first is the mirror that the user chose.
                let first = attempts.first()?;
                return Some(first.fault.hint(&first.registry));
            }
            Self::Download { fault, .. } => download_hint(fault)?,
            Self::NoPlatform { .. } => "choose another platform with --platform, or another image",
            Self::NotInLayout { .. } => "the names in a layout are in its index.json",
            Self::Io { source, .. } => io_hint(source.kind())?,
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => UNTRUSTED,
            Self::Stream { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge => {
                "if it is meant to be that large, unpack it outside and copy the files"
            }
            Self::Stream { .. } => "the archive is damaged or incomplete",
            Self::MissingBaseBlob(_) => "pull the base image again, or load it from where it came",
            Self::TooLarge { .. } => {
                "what is that large is refused, because it may be meant to fill the disk"
            }
            Self::CredentialHelper { .. } => "credential helpers are named in Docker's `config.json`",
            Self::Tree(_)
            | Self::Malformed { .. }
            | Self::Archive { .. }
            | Self::Cancelled
            | Self::MissingLayer(_) => return None,
        };
        Some(text.to_owned())
    }
}

const UNTRUSTED: &str = "the server or a proxy on the way changed the bytes; do not trust them";

/// Docker Hub's registry, to which one logs in without naming it.
const HUB: &str = "registry-1.docker.io";

impl Fault {
    /// As [`Fault::hint`], where a push says something else.
    fn push_hint(&self, registry: &str) -> String {
        let text = match self {
            Self::Forbidden(_) | Self::Insufficient(_) => {
                "this account may not write to the repository; ask its owner, or log in as another user"
            }
            Self::NotFound(_) => {
                "check the spelling of the name; some registries want a repository to be made first"
            }
            Self::Status { status: 413, .. } => {
                "the registry, or a proxy before it, refuses bodies of this size; ask its owner to raise the limit"
            }
            Self::Status { status: 429, .. } => "the registry limits its rate; try again later",
            Self::Status { .. } | Self::Interrupted { .. } => {
                "the registry has a problem; push again later: what it has by now is not sent again"
            }
            Self::Content(_) => "the registry or a proxy on the way changes what it is sent; do not trust it",
            Self::Unauthorized(_) | Self::Refused(_) | Self::Connect(_) | Self::Protocol(_) => {
                return self.hint(registry);
            }
        };
        text.to_owned()
    }

    fn login_hint(&self, registry: &str) -> String {
        match self {
            Self::Unauthorized(_) | Self::Refused(_) => {
                "check user name and password; where two factors are asked for, a personal token takes the password's place"
                    .to_owned()
            }
            Self::Insufficient(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Status { .. }
            | Self::Connect(_)
            | Self::Interrupted { .. }
            | Self::Protocol(_)
            | Self::Content(_) => self.hint(registry),
        }
    }

    fn hint(&self, registry: &str) -> String {
        let text = match self {
            Self::Unauthorized(_) if registry == HUB => "log in with `farm login`",
            Self::Unauthorized(_) => return format!("log in with `farm login {registry}`"),
            Self::Refused(_) if registry == HUB => "log in again with `farm login`",
            Self::Refused(_) => return format!("log in again with `farm login {registry}`"),
            Self::Forbidden(_) | Self::Insufficient(_) => {
                "this account may not read the repository; ask its owner, or log in as another user"
            }
            Self::NotFound(_) => {
                "check the spelling of name and tag; a private repository may need `farm login`"
            }
            Self::Connect(_) => {
                return format!(
                    "check that `{registry}` is reachable, and the mirrors and `insecure` settings in farm.toml"
                );
            }
            Self::Status { status: 429, .. } => {
                "the registry limits its rate; log in, or configure a mirror in farm.toml"
            }
            Self::Status { .. } | Self::Interrupted { .. } => {
                "the registry has a problem; try again later, or configure a mirror"
            }
            Self::Protocol(_) => {
                return format!(
                    "check that `{registry}` is a registry; one without TLS needs `insecure = true` in farm.toml"
                );
            }
            Self::Content(_) => UNTRUSTED,
        };
        text.to_owned()
    }
}

fn download_hint(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::NotFound(_) => Some("check the address"),
        Fault::Connect(_) => Some("check the host name, the network and the proxy settings"),
        Fault::Unauthorized(_) | Fault::Refused(_) | Fault::Insufficient(_) | Fault::Forbidden(_) => {
            Some("`ADD` sends no credentials")
        }
        Fault::Status { .. } | Fault::Interrupted { .. } => Some("the server has a problem; try again later"),
        Fault::Protocol(_) | Fault::Content(_) => None,
    }
}

fn io_hint(kind: io::ErrorKind) -> Option<&'static str> {
    if kind == io::ErrorKind::StorageFull {
        Some("free some space on that file system")
    } else if kind == io::ErrorKind::PermissionDenied {
        Some("check the permissions of that path")
    } else {
        None
    }
}
