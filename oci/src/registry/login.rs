//! `login` and `logout`: credentials that a registry takes, kept where Docker keeps them.
//!
//! What else the file holds stays as it is. Where a credential helper is configured the secret goes to it and to no file.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::auth::Access;
use super::credentials::{ConfigFile, Credential, Credentials, host_of, speak};
use super::{Client, RegistryConfig};
use crate::Error;
use crate::export::AtomicFile;

/// Docker Hub, as people and as references call it.
const HUB: &str = "docker.io";

/// Asks `registry` whether it takes this name and password, then keeps them in the file of `config`.
pub async fn login(config: RegistryConfig, registry: &str, user: &str, password: &str) -> Result<(), Error> {
    let (path, deadline) = (config.docker_config.clone(), config.timeouts.helper);
    let mut client = Client::new(config)?;
    let given = Credential::Password { user: user.to_owned(), password: password.to_owned() };
    client.credentials = Credentials::Given(given);
    let key = client.verify(registry).await?;
    let Some(path) = path else { return Ok(()) };
    let mut file = read(&path).await?;
    let entry = match parsed(&path, &file)?.helper(&key) {
        Some(helper) => {
            let secret = json!({ "ServerURL": key, "Username": user, "Secret": password }).to_string();
            speak(helper, "store", &key, secret.as_bytes(), deadline).await?;
            json!({})
        }
        None => json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }),
    };
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    if !auths.is_object() {
        *auths = json!({});
    }
    if let Some(auths) = auths.as_object_mut() {
        auths.insert(key, entry);
    }
    write(&path, &file)
}

/// Forgets what is kept for `registry`; says whether there was anything.
pub async fn logout(config: RegistryConfig, registry: &str) -> Result<bool, Error> {
    let Some(path) = config.docker_config.clone() else { return Ok(false) };
    let deadline = config.timeouts.helper;
    let client = Client::new(config)?;
    let endpoint = client.origin(&canonical(registry));
    let key = endpoint.credential_key().to_owned();
    let mut file = read(&path).await?;
    let mut found = false;
    if let Some(helper) = parsed(&path, &file)?.helper(&key) {
        found = speak(helper, "erase", &key, key.as_bytes(), deadline).await?.is_some();
    }
    if let Some(auths) = file.get_mut("auths").and_then(Value::as_object_mut) {
        let before = auths.len();
        auths.retain(|known, _| host_of(known) != host_of(&key));
        found |= auths.len() < before;
    }
    if found {
        write(&path, &file)?;
    }
    Ok(found)
}

/// The name under which references know a registry.
fn canonical(registry: &str) -> String {
    let host = host_of(registry);
    let hub = ["", HUB, "index.docker.io", "registry-1.docker.io"];
    if hub.contains(&host) { HUB.to_owned() } else { host.to_owned() }
}

impl Client {
    /// Fails unless the registry takes our credentials; gives the name under which they are kept.
    async fn verify(&self, registry: &str) -> Result<String, Error> {
        let endpoint = self.origin(&canonical(registry));
        let http = self.http(&endpoint);
        let answer =
            self.exchange(&endpoint, "", &Access::Login, &|base| http.get(format!("{base}/v2/"))).await;
        answer.map_err(|(fault, _)| Error::Login { registry: endpoint.name.clone(), fault })?;
        Ok(endpoint.credential_key().to_owned())
    }
}

async fn read(path: &Path) -> Result<Map<String, Value>, Error> {
    match tokio::fs::read(path).await {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| malformed(path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn parsed(path: &Path, file: &Map<String, Value>) -> Result<ConfigFile, Error> {
    serde_json::from_value(Value::Object(file.clone())).map_err(|error| malformed(path, &error))
}

fn malformed(path: &Path, error: &serde_json::Error) -> Error {
    Error::Malformed { what: format!("`{}`", path.display()), reason: error.to_string() }
}

/// Only its owner may read it.
fn write(path: &Path, file: &Map<String, Value>) -> Result<(), Error> {
    use std::io::Write as _;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    }
    let mut text = serde_json::to_vec_pretty(file).map_err(|error| malformed(path, &error))?;
    text.push(b'\n');
    let mut out = AtomicFile::create_private(path)?;
    out.write_all(&text).map_err(Error::io("write", path))?;
    out.commit()
}
