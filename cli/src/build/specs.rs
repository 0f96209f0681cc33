//! The small languages inside option values: secrets, agents, sizes, limits, hosts, contexts.

use std::path::PathBuf;

use farm_client::SecretSource;
use farm_model::Reference;
use farm_model::op::{Network, Ulimit};
use farm_proto::Secret;
use farm_proto::client::NamedContext;

use crate::failure::Failure;

/// Splits `name=value`, naming the option in the error.
pub(super) fn pair<'a>(option: &str, text: &'a str) -> Result<(&'a str, &'a str), Failure> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(Failure::usage(format!("`{option} {text}`: expected NAME=VALUE"))),
    }
}

/// `--build-arg`: without a value the client's environment is asked; an unset variable gives nothing.
pub(super) fn build_arg(text: &str) -> Result<Option<(String, String)>, Failure> {
    match text.split_once('=') {
        Some(("", _)) => Err(Failure::usage(format!("`--build-arg {text}`: the name is empty"))),
        Some((name, value)) => Ok(Some((name.to_owned(), value.to_owned()))),
        None => Ok(std::env::var(text).ok().map(|value| (text.to_owned(), value))),
    }
}

/// `--label NAME[=VALUE]`.
pub(super) fn label(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("", _) => Err(Failure::usage(format!("`--label {text}`: the name is empty"))),
        (name, value) => Ok((name.to_owned(), value.to_owned())),
    }
}

/// `--secret id=ID[,src=FILE|,env=NAME][,type=file|env]`.
pub(super) fn secret(text: &str) -> Result<(String, SecretSource), Failure> {
    let invalid = |reason: &str| Failure::usage(format!("`--secret {text}`: {reason}"));
    let (mut id, mut src, mut env, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let (name, value) = field.split_once('=').ok_or_else(|| invalid("expected NAME=VALUE fields"))?;
        match name {
            "id" => id = Some(value),
            "src" | "source" => src = Some(value),
            "env" => env = Some(value),
            "type" => kind = Some(value),
            other => {
                return Err(invalid(&format!("unknown field `{other}`; there are id, src, env and type")));
            }
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| invalid("`id` is missing"))?;
    if let Some(other) = kind.filter(|kind| !matches!(*kind, "file" | "env")) {
        return Err(invalid(&format!("type `{other}` is not supported; there are file and env")));
    }
    let source = match (src, env, kind) {
        (Some(_), Some(_), _) => return Err(invalid("`src` and `env` exclude each other")),
        (Some(name), None, Some("env")) | (None, Some(name), _) => variable(name),
        (Some(path), None, _) => SecretSource::File(PathBuf::from(path)),
        (None, None, Some("file")) => SecretSource::File(PathBuf::from(id)),
        (None, None, _) => variable(id),
    };
    if let SecretSource::File(path) = &source {
        std::fs::metadata(path)
            .map_err(|error| invalid(&format!("cannot read `{}`: {error}", path.display())))?;
    }
    Ok((id.to_owned(), source))
}

fn variable(name: &str) -> SecretSource {
    let value = std::env::var_os(name).map(|value| Secret::new(value.into_encoded_bytes()));
    SecretSource::Variable { name: name.to_owned(), value }
}

/// `--ssh default|ID[=SOCKET]`; without a socket `SSH_AUTH_SOCK` is used.
pub(super) fn ssh(text: &str) -> Result<(String, PathBuf), Failure> {
    let (id, socket) = text.split_once('=').map_or((text, None), |(id, socket)| (id, Some(socket)));
    let socket =
        socket.map(PathBuf::from).or_else(|| crate::paths::variable("SSH_AUTH_SOCK")).ok_or_else(|| {
            Failure::usage(format!("`--ssh {text}`: no socket is given and SSH_AUTH_SOCK is not set"))
                .with_hint(Some("start an agent with `eval $(ssh-agent)` or give its socket as `ID=SOCKET`"))
        })?;
    match std::fs::metadata(&socket) {
        Ok(_) => Ok((id.to_owned(), socket)),
        Err(error) => {
            Err(Failure::usage(format!("`--ssh {text}`: no agent at `{}`: {error}", socket.display())))
        }
    }
}

/// A size in bytes with an optional binary suffix, as in `64m`.
pub(super) fn size(option: &str, text: &str) -> Result<u64, Failure> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'k', 'm', 'g', 't', 'i']);
    let shift = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => 64,
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1_u64.checked_shl(shift)?));
    bytes.ok_or_else(|| {
        Failure::usage(format!("`{option} {text}`: expected a number of bytes with k, m or g"))
    })
}

/// `--ulimit NAME=SOFT[:HARD]`; -1 is unlimited.
pub(super) fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let invalid = || Failure::usage(format!("`--ulimit {text}`: expected NAME=SOFT[:HARD]"));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        digits => digits.parse().map_err(|_| invalid()),
    };
    let (name, limits) = pair("--ulimit", text)?;
    if farm_executor::Resource::from_name(name).is_none() {
        return Err(Failure::usage(format!("`--ulimit {text}`: `{name}` is not a limit that Linux has")));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let ulimit = Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? };
    if ulimit.soft > ulimit.hard {
        return Err(Failure::usage(format!("`--ulimit {text}`: the soft limit exceeds the hard one")));
    }
    Ok(ulimit)
}

/// `--add-host NAME:ADDRESS` or `NAME=ADDRESS`.
pub(super) fn host(text: &str) -> Result<(String, String), Failure> {
    let invalid = || Failure::usage(format!("`--add-host {text}`: expected NAME:ADDRESS with an IP address"));
    let (name, address) = text.split_once(['=', ':']).ok_or_else(invalid)?;
    if address == "host-gateway" {
        return Err(Failure::usage(format!("`--add-host {text}`: `host-gateway` is not supported"))
            .with_hint(Some("steps cannot reach the host's own addresses; `--network host` lets them")));
    }
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().map_err(|_| invalid())?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(invalid());
    }
    Ok((name.to_owned(), bare.to_owned()))
}

/// `--network`.
pub(super) fn network(text: &str) -> Result<Network, Failure> {
    match text {
        "default" | "" | "sandbox" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => Err(Failure::usage(format!("`--network {other}`: expected default, none or host"))),
    }
}

/// `--build-context NAME=SOURCE`: the context, and the directory when it is one.
pub(super) fn context(text: &str) -> Result<(String, NamedContext, Option<PathBuf>), Failure> {
    let (name, source) = pair("--build-context", text)?;
    let name = name.to_owned();
    if let Some(reference) = source.strip_prefix("docker-image://") {
        let reference = reference
            .parse::<Reference>()
            .map_err(|error| Failure::usage(format!("`--build-context {text}`: {error}")))?;
        return Ok((name, NamedContext::Image(reference), None));
    }
    if let Some(layout) = source.strip_prefix("oci-layout://") {
        return Ok((name, oci_layout(text, layout)?, None));
    }
    if let Some((scheme, _)) = source.split_once("://") {
        return Err(Failure::usage(format!("`--build-context {text}`: `{scheme}://` is not supported"))
            .with_hint(Some("give a directory, `oci-layout://PATH[:TAG]` or `docker-image://NAME`")));
    }
    Ok((name, NamedContext::Local, Some(PathBuf::from(source))))
}

/// `PATH[:TAG][@DIGEST]`.
fn oci_layout(text: &str, layout: &str) -> Result<NamedContext, Failure> {
    let (path, reference) = match layout.split_once('@') {
        Some((rest, digest)) => (rest.split_once(':').map_or(rest, |(path, _)| path), Some(digest)),
        None => layout.rsplit_once(':').map_or((layout, None), |(path, tag)| (path, Some(tag))),
    };
    let path = std::fs::canonicalize(path).map_err(|error| {
        Failure::usage(format!("`--build-context {text}`: cannot read `{path}`: {error}"))
    })?;
    let path = path.into_os_string().into_string().map_err(|path| {
        Failure::usage(format!("`--build-context {text}`: `{}` is not UTF-8", path.to_string_lossy()))
    })?;
    Ok(NamedContext::OciLayout { path, reference: reference.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_suffixes() {
        assert_eq!(size("--shm-size", "64m").unwrap(), 64 << 20);
        assert_eq!(size("--shm-size", "1g").unwrap(), 1 << 30);
        assert_eq!(size("--shm-size", "17").unwrap(), 17);
        assert!(size("--shm-size", "m").is_err());
        assert!(size("--shm-size", "99999999999999g").is_err());
    }

    #[test]
    fn a_secret_names_one_source() {
        assert_eq!(
            secret("id=a,src=/proc/version").unwrap().1,
            SecretSource::File(PathBuf::from("/proc/version"))
        );
        let unset = SecretSource::Variable { name: "FARM_NO_SUCH".to_owned(), value: None };
        assert_eq!(secret("id=a,env=FARM_NO_SUCH").unwrap().1, unset);
        assert!(secret("id=a,src=/x,env=B").is_err());
        assert!(secret("id=a,src=/no/such/file").is_err());
        assert!(secret("id=a,type=bogus").is_err());
        assert!(secret("src=/x").is_err());
        assert!(secret("id=a,bogus=1").is_err());
    }

    #[test]
    fn limits_and_hosts_are_checked() {
        assert_eq!(ulimit("nofile=10:20").unwrap().hard, 20);
        assert!(ulimit("nofile=20:10").is_err());
        assert!(ulimit("bogus=1").is_err());
        assert_eq!(host("a:10.0.0.1").unwrap(), ("a".to_owned(), "10.0.0.1".to_owned()));
        assert_eq!(host("a=[::1]").unwrap().1, "::1");
        assert!(host("a:nowhere").is_err());
        assert!(host("a:host-gateway").is_err());
        assert!(label("=x").is_err());
    }
}
