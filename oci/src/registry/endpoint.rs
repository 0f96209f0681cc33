//! Which hosts serve a reference, and how they are addressed.

use farm_model::Reference;

use super::Client;
use crate::Error;
use crate::error::Fault;

/// Where Docker Hub's registry really is.
const HUB: &str = "registry-1.docker.io";

/// One host that may have a repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// Host and port, for requests and messages.
    pub(crate) name: String,
    /// Path in front of the repository; empty or ending in a slash.
    prefix: String,
    /// `http` or `https`, when the configuration says so.
    scheme: Option<&'static str>,
    /// Whether plain HTTP and unknown certificates are accepted.
    pub(crate) insecure: bool,
}

impl Endpoint {
    fn parse(text: &str, insecure: impl Fn(&str) -> bool) -> Self {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some((_, rest)) => (Some("https"), rest),
            None => (None, text),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/').trim_start_matches("v2");
        let prefix = prefix.trim_matches('/');
        Self {
            name: host.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            scheme,
            insecure: scheme == Some("http") || insecure(host) || is_loopback(host),
        }
    }

    pub(super) fn error(&self, reference: &Reference, fault: Fault) -> Error {
        Error::Registry { registry: self.name.clone(), reference: reference.familiar(), fault }
    }

    /// The repository as this host names it.
    pub(crate) fn repository(&self, reference: &Reference) -> String {
        format!("{}{}", self.prefix, reference.repository)
    }

    /// The name under which Docker's configuration keeps the credentials.
    pub(super) fn credential_key(&self) -> &str {
        if self.name == HUB { "https://index.docker.io/v1/" } else { &self.name }
    }
}

impl Client {
    /// Mirrors in order, then the registry itself.
    pub(super) fn endpoints(&self, reference: &Reference) -> Vec<Endpoint> {
        let insecure =
            |host: &str| self.config.registries.get(host).is_some_and(|registry| registry.insecure);
        let settings = self.config.registries.get(&reference.registry);
        let mirrors = settings.map(|settings| &settings.mirrors[..]).unwrap_or_default();
        mirrors
            .iter()
            .map(|mirror| Endpoint::parse(mirror, insecure))
            .chain([self.origin(&reference.registry)])
            .collect()
    }

    /// The registry itself: nobody writes to mirrors.
    pub(crate) fn origin(&self, registry: &str) -> Endpoint {
        let own = if registry == "docker.io" { HUB } else { registry };
        let insecure = self.config.registries.get(registry).is_some_and(|settings| settings.insecure);
        Endpoint::parse(own, |_| insecure)
    }

    /// `http://host` or `https://host`. An insecure host is asked once which it speaks; without credentials, since
    /// nobody may be listening in on the answer but anybody on the question.
    pub(crate) async fn base(&self, endpoint: &Endpoint) -> Result<String, Fault> {
        if let Some(scheme) = endpoint.scheme {
            return Ok(format!("{scheme}://{}", endpoint.name));
        }
        if !endpoint.insecure {
            return Ok(format!("https://{}", endpoint.name));
        }
        if let Some(base) = self.bases.lock().await.get(&endpoint.name) {
            return Ok(base.clone());
        }
        let base = self.probe(endpoint).await?;
        self.bases.lock().await.insert(endpoint.name.clone(), base.clone());
        Ok(base)
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<String, Fault> {
        let plain = format!("http://{}", endpoint.name);
        // A TLS server answers plain HTTP with 400, or hangs up.
        match self.insecure.get(format!("{plain}/v2/")).send().await {
            Ok(answer) if answer.status().as_u16() != 400 => return Ok(plain),
            Err(error) if error.is_connect() || error.is_timeout() => return Err(super::fault_of(&error)),
            Ok(_) | Err(_) => {}
        }
        let tls = format!("https://{}", endpoint.name);
        match self.insecure.get(format!("{tls}/v2/")).send().await {
            Ok(_) => Ok(tls),
            Err(_) => Ok(plain),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Registry, RegistryConfig};

    fn client() -> Client {
        let mut config = RegistryConfig::default();
        config.registries.insert(
            "docker.io".into(),
            Registry {
                mirrors: vec!["127.0.0.1:5000".into(), "https://m.example/hub/".into()],
                insecure: false,
            },
        );
        config.registries.insert("r.example".into(), Registry { mirrors: vec![], insecure: true });
        Client::new(config).unwrap()
    }

    #[test]
    fn mirrors_come_before_the_registry() {
        let reference = "busybox".parse().unwrap();
        let endpoints = client().endpoints(&reference);
        let names: Vec<_> =
            endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.insecure)).collect();
        assert_eq!(names, [("127.0.0.1:5000", true), ("m.example", false), ("registry-1.docker.io", false)]);
        assert_eq!(endpoints[1].repository(&reference), "hub/library/busybox");
        assert_eq!(endpoints[2].credential_key(), "https://index.docker.io/v1/");
    }

    #[test]
    fn only_configured_and_loopback_hosts_are_insecure() {
        let insecure = |name: &str| client().endpoints(&format!("{name}/a").parse().unwrap())[0].insecure;
        assert!(insecure("r.example"));
        assert!(insecure("localhost:5000"));
        assert!(!insecure("s.example"));
        assert!(is_loopback("[::1]:5000"));
    }
}
