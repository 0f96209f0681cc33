//! Answers to `401`: Basic, and Docker's token protocol ("Token Authentication Specification" of distribution).

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::credentials::Credential;
use super::http::{agent, fault_of_status};
use super::{Client, Endpoint, body_limited, fault_of};
use crate::error::{Detail, Fault};

const MAX_TOKEN_ANSWER: u64 = 1 << 20;

/// What a token is to allow.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Access {
    /// To be known, and nothing else.
    Login,
    /// To read the repository.
    Pull,
    /// To write it as well.
    Push,
    /// To write it, and to read another repository of the same registry.
    Mount {
        /// The other repository.
        from: String,
    },
}

/// How a challenge was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Proof {
    /// With nothing that says who asks.
    Nobody,
    /// With name and password.
    Password,
    /// With a token that was issued for credentials just now.
    Token,
}

/// `Authorization` headers that worked, by endpoint, repository and what they allow.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    known: BTreeMap<(String, String, Access), HeaderValue>,
    /// When the credentials were written that they were had for.
    of: Option<SystemTime>,
}

impl Tokens {
    /// Forgets everything when the credentials were written at another time: somebody else may have logged in.
    pub(super) fn renew(&mut self, of: Option<SystemTime>) {
        if self.of != of {
            self.of = of;
            self.known.clear();
        }
    }

    pub(super) fn cached(&self, endpoint: &str, repository: &str, access: &Access) -> Option<HeaderValue> {
        self.known.get(&(endpoint.to_owned(), repository.to_owned(), access.clone())).cloned()
    }
}

impl Access {
    /// The scopes to ask a token server for. What the challenge names is enough to read, but says less than a push needs.
    fn scopes(&self, repository: &str, challenged: Option<&str>) -> Vec<String> {
        let push = format!("repository:{repository}:pull,push");
        match self {
            Self::Login => Vec::new(),
            Self::Pull => {
                vec![challenged.map_or_else(|| format!("repository:{repository}:pull"), str::to_owned)]
            }
            Self::Push => vec![push],
            Self::Mount { from } => vec![push, format!("repository:{from}:pull")],
        }
    }
}

/// One `WWW-Authenticate` challenge.
#[derive(Debug, Eq, PartialEq)]
struct Challenge {
    /// Lower case.
    scheme: String,
    /// Parameters by lower-case name.
    parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Client {
    /// The header that answers the challenge of `response`; none when there is nothing to answer with.
    pub(super) async fn authenticate(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        base: &str,
        access: &Access,
        response: &Response,
    ) -> Result<Option<(HeaderValue, Proof)>, Fault> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges: Vec<_> =
            headers.iter().filter_map(|value| value.to_str().ok()).flat_map(parse_challenges).collect();
        let key = (endpoint.name.clone(), repository.to_owned(), access.clone());
        // A token that was refused has expired.
        self.tokens.lock().await.known.remove(&key);
        let credential = self.credentials.of(endpoint.credential_key(), self.config.timeouts.helper).await;
        let credential = credential.map_err(|error| Fault::Unauthorized(Detail(error.to_string())))?;
        let answer = if let Some(bearer) = challenges.iter().find(|challenge| challenge.scheme == "bearer") {
            let challenged = bearer.parameters.get("scope").map(String::as_str);
            let scopes = access.scopes(repository, challenged);
            let token = self.token(endpoint, &scopes, base, bearer, credential.as_ref()).await?;
            let proof = if credential.is_some() { Proof::Token } else { Proof::Nobody };
            secret_header(&format!("Bearer {token}")).map(|value| (value, proof))
        } else if let (Some(_), Some(Credential::Password { user, password })) =
            (challenges.iter().find(|challenge| challenge.scheme == "basic"), &credential)
        {
            secret_header(&basic(user, password)).map(|value| (value, Proof::Password))
        } else {
            None
        };
        if let Some((value, _)) = &answer {
            self.tokens.lock().await.known.insert(key, value.clone());
        }
        Ok(answer)
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        scopes: &[String],
        base: &str,
        challenge: &Challenge,
        credential: Option<&Credential>,
    ) -> Result<String, Fault> {
        let parameter = |name: &str| challenge.parameters.get(name).map(String::as_str);
        let realm =
            parameter("realm").ok_or_else(|| Fault::Protocol("its challenge names no realm".to_owned()))?;
        if credential.is_some() && base.starts_with("https:") && !realm.starts_with("https:") {
            return Err(Fault::Protocol(format!("it wants credentials to be sent unencrypted to `{realm}`")));
        }
        let service = parameter("service").unwrap_or_default();
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query = format!("service={}", encode(service));
        for scope in scopes {
            query.push_str("&scope=");
            query.push_str(&encode(scope));
        }
        let http = self.http(endpoint);
        let request = match credential {
            Some(Credential::IdentityToken(token)) => {
                // In a form there is one scope, with spaces in it.
                let form = format!(
                    "grant_type=refresh_token&client_id=farm&service={}&scope={}&refresh_token={}",
                    encode(service),
                    encode(&scopes.join(" ")),
                    encode(token)
                );
                http.post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            Some(Credential::Password { user, password }) => {
                let separator = if realm.contains('?') { '&' } else { '?' };
                http.get(format!("{realm}{separator}{query}")).basic_auth(user, Some(password))
            }
            None => {
                let separator = if realm.contains('?') { '&' } else { '?' };
                http.get(format!("{realm}{separator}{query}"))
            }
        };
        let response = request.header(USER_AGENT, agent()).send().await.map_err(|error| fault_of(&error))?;
        if !response.status().is_success() {
            let fault = fault_of_status(response).await.0;
            // The registry would say 401; what the token server says is no more precise. A refresh token that has expired
            // is a bad request.
            return Err(match (fault, credential) {
                (Fault::Forbidden(detail) | Fault::Unauthorized(detail), None) => Fault::Unauthorized(detail),
                (Fault::Forbidden(detail) | Fault::Unauthorized(detail), Some(_))
                | (Fault::Status { status: 400, detail }, Some(Credential::IdentityToken(_))) => {
                    Fault::Refused(detail)
                }
                (fault, _) => fault,
            });
        }
        let body = body_limited(response, MAX_TOKEN_ANSWER).await?;
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|error| Fault::Protocol(format!("its token server's answer is not valid: {error}")))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| Fault::Protocol("its token server's answer holds no token".to_owned()))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn secret_header(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Splits a `WWW-Authenticate` value: `Scheme key="value",key=value, Scheme …` (RFC 9110, section 11.6.1).
fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches(' ');
        if let Some(value) = after.strip_prefix('=') {
            let (value, remaining) = parse_value(value.trim_start());
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.insert(word.to_ascii_lowercase(), value);
            }
            rest = remaining;
        } else {
            challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    challenges
}

/// A token or quoted string at the start of `text`, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn challenges_are_parsed() {
        let header = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push", Basic realm=x"#;
        let challenges = parse_challenges(header);
        assert_eq!(challenges.len(), 2);
        assert_eq!(challenges[0].scheme, "bearer");
        assert_eq!(challenges[0].parameters["scope"], "repository:a/b:pull,push");
        assert_eq!(challenges[1].parameters["realm"], "x");
    }

    proptest! {
        #[test]
        fn any_challenge_terminates(header in "\\PC{0,80}") {
            let _ = parse_challenges(&header);
        }

        #[test]
        fn any_punctuation_terminates(header in "[ ,=\"a\\\\]{0,40}") {
            let _ = parse_challenges(&header);
        }
    }
}
