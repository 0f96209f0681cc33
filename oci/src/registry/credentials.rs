//! Credentials from Docker's `config.json` and credential helpers.
//!
//! The order is Docker's: a helper for the registry (`credHelpers`), the default helper (`credsStore`), then `auths`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::Error;

/// Proof of who asks.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Credential {
    /// Name and password, or a personal token in its place.
    Password {
        /// Account name.
        user: String,
        /// Its password.
        password: String,
    },
    /// An OAuth refresh token.
    IdentityToken(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// Where credentials are looked up. The file is read at each look-up: a login during a long build counts.
#[derive(Debug)]
pub(super) enum Credentials {
    /// Docker's `config.json`; none when there is no place for it.
    File(Option<PathBuf>),
    /// This one, for every registry.
    Given(Credential),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ConfigFile {
    auths: BTreeMap<String, AuthEntry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The user name with which a helper marks an identity token.
const IDENTITY_TOKEN_USER: &str = "<token>";
const MAX_HELPER_ANSWER: u64 = 1 << 20;

impl Credentials {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self::File(path)
    }

    /// When they were last written, where that can be known.
    pub(super) async fn written(&self) -> Option<SystemTime> {
        match self {
            Self::File(Some(path)) => tokio::fs::metadata(path).await.ok()?.modified().ok(),
            Self::File(None) | Self::Given(_) => None,
        }
    }

    /// The credential for `registry`, none when nobody logged in.
    pub(super) async fn of(&self, registry: &str, deadline: Duration) -> Result<Option<Credential>, Error> {
        let path = match self {
            Self::Given(credential) => return Ok(Some(credential.clone())),
            Self::File(None) => return Ok(None),
            Self::File(Some(path)) => path,
        };
        let config = read(path).await?;
        if let Some(helper) = config.helper(registry)
            && let Some(found) = ask(helper, registry, deadline).await?
        {
            return Ok(Some(found));
        }
        Ok(config.lookup(registry))
    }
}

impl ConfigFile {
    /// The helper that keeps the credentials of a registry.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.cred_helpers.get(host_of(registry)).or_else(|| self.cred_helpers.get(registry));
        own.or(Some(&self.creds_store)).map(String::as_str).filter(|helper| !helper.is_empty())
    }

    fn lookup(&self, registry: &str) -> Option<Credential> {
        let exact = self.auths.get(registry);
        let entry = exact.or_else(|| {
            let wanted = host_of(registry);
            self.auths.iter().find(|(key, _)| host_of(key) == wanted).map(|(_, entry)| entry)
        })?;
        entry.credential()
    }
}

impl AuthEntry {
    fn credential(&self) -> Option<Credential> {
        if !self.identitytoken.is_empty() {
            return Some(Credential::IdentityToken(self.identitytoken.clone()));
        }
        if !self.auth.is_empty() {
            let decoded = STANDARD.decode(self.auth.trim()).ok()?;
            let text = String::from_utf8(decoded).ok()?;
            let (user, password) = text.split_once(':')?;
            return Some(Credential::Password {
                user: user.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            });
        }
        (!self.username.is_empty())
            .then(|| Credential::Password { user: self.username.clone(), password: self.password.clone() })
    }
}

async fn read(path: &Path) -> Result<ConfigFile, Error> {
    match tokio::fs::read(path).await {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
            what: format!("`{}`", path.display()),
            reason: error.to_string(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ConfigFile::default()),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The host of a key, which may be an address: `https://host/v1/`.
pub(super) fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Runs `docker-credential-<helper> get`.
async fn ask(helper: &str, registry: &str, deadline: Duration) -> Result<Option<Credential>, Error> {
    let Some(answer) = speak(helper, "get", registry, registry.as_bytes(), deadline).await? else {
        return Ok(None);
    };
    let invalid = || Error::CredentialHelper {
        helper: format!("docker-credential-{helper}"),
        registry: registry.to_owned(),
        reason: "its answer is not valid JSON".to_owned(),
    };
    let answer: HelperAnswer = serde_json::from_slice(&answer).map_err(|_| invalid())?;
    Ok(Some(if answer.username == IDENTITY_TOKEN_USER {
        Credential::IdentityToken(answer.secret)
    } else {
        Credential::Password { user: answer.username, password: answer.secret }
    }))
}

/// Runs `docker-credential-<helper> <action>` and gives what it prints; none when it knows nothing of the registry.
pub(super) async fn speak(
    helper: &str,
    action: &str,
    registry: &str,
    input: &[u8],
    deadline: Duration,
) -> Result<Option<Vec<u8>>, Error> {
    let failed = |reason: String| Error::CredentialHelper {
        helper: format!("docker-credential-{helper}"),
        registry: registry.to_owned(),
        reason,
    };
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !helper.chars().all(safe) {
        return Err(failed("its name is not valid".to_owned()));
    }
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let talk = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read what it is asked closes the pipe; its answer counts.
            let _ = stdin.write_all(input).await;
        }
        let mut answer = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_HELPER_ANSWER).read_to_end(&mut answer).await?;
        }
        Ok::<_, io::Error>((answer, child.wait().await?))
    };
    let (answer, status) = tokio::time::timeout(deadline, talk)
        .await
        .map_err(|_| failed(format!("no answer within {} s", deadline.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&answer);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("it ended with {status}: {}", text.trim())));
    }
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> ConfigFile {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn auths_are_found_by_host_in_every_notation() {
        let auth = STANDARD.encode("me:se:cret");
        let config = config(&format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},"https://r.example":{{"username":"u","password":"p"}},"t.example":{{"identitytoken":"t"}}}}}}"#
        ));
        let password = |user: &str, password: &str| {
            Some(Credential::Password { user: user.into(), password: password.into() })
        };
        assert!(config.lookup("https://index.docker.io/v1/") == password("me", "se:cret"));
        assert!(config.lookup("r.example") == password("u", "p"));
        assert!(config.lookup("t.example") == Some(Credential::IdentityToken("t".into())));
        assert!(config.lookup("s.example").is_none());
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Credential::IdentityToken("hush".into())), "Credential(…)");
    }
}
