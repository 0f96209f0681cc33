//! Image references in Docker's notation.

use std::fmt;
use std::str::FromStr;

use crate::OciDigest;

/// A normalised image reference: `busybox` is `docker.io/library/busybox:latest`.
///
/// Specification: the grammar of `distribution/reference`, as `docker pull` reads it.
#[derive(
    Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct Reference {
    /// Host and port of the registry, `docker.io` when none was given.
    pub registry: String,
    /// The repository below it, such as `library/busybox`.
    pub repository: String,
    /// The tag; `latest` when neither tag nor digest was given.
    pub tag: Option<String>,
    /// The digest of the manifest; where there is one, the tag is only a comment.
    pub digest: Option<OciDigest>,
}

/// A text that is no image reference.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct InvalidReference {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

const DEFAULT_REGISTRY: &str = "docker.io";
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

impl Reference {
    /// The name as a user would type it: without the default registry, its `library/` and `:latest`.
    pub fn familiar(&self) -> String {
        let mut name = self.name_familiar();
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }

    fn name_familiar(&self) -> String {
        if self.registry == DEFAULT_REGISTRY {
            let repository = &self.repository;
            return repository.strip_prefix("library/").unwrap_or(repository).to_owned();
        }
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag or digest that a registry is asked for.
    pub fn identifier(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |reason| InvalidReference { text: text.to_owned(), reason };
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| invalid("its digest is not `sha256:` and 64 hexadecimal digits"))?;
                (rest, Some(digest))
            }
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(invalid("its tag is empty, too long or has a character that tags cannot have"));
        }
        let (registry, path) = split_registry(name);
        if path.is_empty() || !path.split('/').all(valid_component) {
            return Err(invalid(
                "a repository is lower-case letters, digits and single separators `.`, `_`, `-`, `/`",
            ));
        }
        if !valid_registry(registry) {
            return Err(invalid("its registry is not a host name with an optional port"));
        }
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        if repository.len() > MAX_REPOSITORY {
            return Err(invalid("its repository is longer than 255 characters"));
        }
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (DEFAULT_REGISTRY, path),
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn valid_registry(registry: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    !registry.is_empty() && registry.bytes().all(allowed)
}

fn valid_tag(tag: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let rest = |byte: u8| first(byte) || matches!(byte, b'.' | b'-');
    tag.len() <= MAX_TAG && tag.bytes().next().is_some_and(first) && tag.bytes().all(rest)
}

/// Runs of letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    if !ends.is_some_and(|(first, last)| alphanumeric(*first) && alphanumeric(*last)) {
        return false;
    }
    component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn short_names_are_completed_as_docker_does() {
        assert_eq!(normal("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(normal("me/app:1"), "docker.io/me/app:1");
        assert_eq!(normal("localhost/app"), "localhost/app:latest");
        assert_eq!(normal("host:5000/a/b"), "host:5000/a/b:latest");
        assert_eq!(normal("index.docker.io/library/a"), "docker.io/library/a:latest");
    }

    #[test]
    fn a_digest_stands_without_a_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(normal(&format!("a@{digest}")), format!("docker.io/library/a@{digest}"));
        assert_eq!(normal(&format!("a:1@{digest}")), format!("docker.io/library/a:1@{digest}"));
    }

    #[test]
    fn names_that_no_registry_accepts_are_refused() {
        for text in ["", "A", "a//b", "a:", "a:b c", "-a", "a/", "a@sha256:1", "a:🙂", "h_st.x/a"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_familiar_form_drops_what_is_implied() {
        let familiar = |text: &str| text.parse::<Reference>().unwrap().familiar();
        assert_eq!(familiar("docker.io/library/busybox:1"), "busybox:1");
        assert_eq!(familiar("x.io/a"), "x.io/a:latest");
    }
}
