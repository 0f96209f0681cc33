//! The HTTP underneath: clients, requests with retries, and what their failures mean.

use std::sync::{Once, OnceLock};
use std::time::Duration;

use farm_model::Reference;
use reqwest::header::{ACCEPT, AUTHORIZATION, RANGE, RETRY_AFTER, USER_AGENT};
use reqwest::{NoProxy, Proxy, RequestBuilder, Response, StatusCode};

use super::auth::{Access, Proof};
use super::{Client, Endpoint};
use crate::Error;
use crate::error::{Detail, Fault, SILENCE};

/// Deadlines and retries.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For name resolution, connection and TLS handshake together.
    pub connect: Duration,
    /// For the next byte of an answer.
    pub idle: Duration,
    /// How often a request is repeated after a transient failure.
    pub retries: u32,
    /// Pause before the first repetition; it doubles each time.
    pub backoff: Duration,
    /// For a credential helper's answer.
    pub helper: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            retries: 3,
            backoff: Duration::from_millis(250),
            helper: Duration::from_secs(30),
        }
    }
}

/// Proxies as in the usual environment variables, which this crate never reads itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxies {
    /// For `http` addresses.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas. Loopback always is.
    pub no_proxy: Option<String>,
}

/// Whose certificates are accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    /// Those that the machine's authorities vouch for.
    Verified,
    /// Everybody's.
    Anybody,
}

const MAX_REDIRECTS: usize = 10;
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
const MAX_ERROR_BODY: u64 = 64 << 10;
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Clients without a deadline for answers, made when they are first needed: each reads the machine's certificates.
#[derive(Debug, Default)]
pub(super) struct Uploading {
    secure: OnceLock<reqwest::Client>,
    insecure: OnceLock<reqwest::Client>,
}

/// An HTTP client that reads no environment.
pub(crate) fn build_client(
    proxies: &Proxies,
    timeouts: &Timeouts,
    trust: Trust,
) -> Result<reqwest::Client, Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another crate of the process may have installed the same provider before.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let invalid = |error: reqwest::Error| Error::Malformed {
        what: "the HTTP client's settings".to_owned(),
        reason: chain(&error),
    };
    let direct = format!("localhost,127.0.0.0/8,::1,{}", proxies.no_proxy.as_deref().unwrap_or_default());
    let mut builder = reqwest::Client::builder()
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.idle)
        .redirect(reqwest::redirect::Policy::limited(MAX_REDIRECTS))
        .danger_accept_invalid_certs(trust == Trust::Anybody)
        .no_proxy();
    if let Some(address) = proxies.http.as_deref().filter(|address| !address.is_empty()) {
        builder =
            builder.proxy(Proxy::http(address).map_err(invalid)?.no_proxy(NoProxy::from_string(&direct)));
    }
    if let Some(address) = proxies.https.as_deref().filter(|address| !address.is_empty()) {
        builder =
            builder.proxy(Proxy::https(address).map_err(invalid)?.no_proxy(NoProxy::from_string(&direct)));
    }
    builder.build().map_err(invalid)
}

impl Client {
    pub(crate) fn http(&self, endpoint: &Endpoint) -> &reqwest::Client {
        if endpoint.insecure { &self.insecure } else { &self.secure }
    }

    /// A client for requests with long bodies: its deadline for an answer does not run while a body is on its way.
    /// Whoever uses it watches the body.
    pub(crate) fn uploader(&self, endpoint: &Endpoint) -> Result<&reqwest::Client, Error> {
        let (cell, trust) = if endpoint.insecure {
            (&self.uploading.insecure, Trust::Anybody)
        } else {
            (&self.uploading.secure, Trust::Verified)
        };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let timeouts = Timeouts { idle: NEVER, ..self.config.timeouts.clone() };
        let client = build_client(&self.config.proxies, &timeouts, trust)?;
        Ok(cell.get_or_init(|| client))
    }

    /// GETs `/v2/<repository>/<path>` from byte `offset` on; authenticates when asked to, repeats transient failures.
    pub(super) async fn get(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        path: &str,
        accept: &str,
        offset: u64,
    ) -> Result<Response, Fault> {
        let mut attempt = 0;
        loop {
            let (fault, pause) = match self.get_once(endpoint, reference, path, accept, offset).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            if !fault.is_transient() || attempt >= self.config.timeouts.retries {
                return Err(fault);
            }
            let pause = pause.unwrap_or_else(|| self.backoff(attempt)).min(MAX_RETRY_AFTER);
            tracing::debug!(registry = endpoint.name, %fault, ?pause, "request is repeated");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn get_once(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        path: &str,
        accept: &str,
        offset: u64,
    ) -> Result<Response, Failure> {
        let repository = endpoint.repository(reference);
        let request = |base: &str| {
            let url = format!("{base}/v2/{repository}/{path}");
            let request = self.http(endpoint).get(&url).header(ACCEPT, accept);
            if offset > 0 { request.header(RANGE, format!("bytes={offset}-")) } else { request }
        };
        self.exchange(endpoint, &repository, &Access::Pull, &request).await
    }

    /// Sends what `request` makes for a base address, once more when the registry asks who we are. The answer is a
    /// success.
    pub(crate) async fn exchange(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        access: &Access,
        request: &(dyn Fn(&str) -> RequestBuilder + Sync),
    ) -> Result<Response, Failure> {
        let plain = |fault| (fault, None);
        let base = self.base(endpoint).await.map_err(plain)?;
        let written = self.credentials.written().await;
        let mut authorization = {
            let mut tokens = self.tokens.lock().await;
            tokens.renew(written);
            tokens.cached(&endpoint.name, repository, access)
        };
        let mut proof = None;
        loop {
            let (client, request) = request(&base).header(USER_AGENT, agent()).build_split();
            let mut request = request.map_err(|error| plain(fault_of(&error)))?;
            // An upload may continue at another host, which has no business with our credentials.
            if let Some(value) = authorization.as_ref().filter(|_| same_origin(request.url(), &base)) {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            let response = client.execute(request).await.map_err(|error| plain(fault_of(&error)))?;
            if response.status().is_success() {
                return Ok(response);
            }
            if response.status() == StatusCode::UNAUTHORIZED && proof.is_none() {
                let answer = self.authenticate(endpoint, repository, &base, access, &response).await;
                if let Some((value, by)) = answer.map_err(plain)? {
                    authorization = Some(value);
                    proof = Some(by);
                    continue;
                }
            }
            let (fault, pause) = fault_of_status(response).await;
            return Err((refused(fault, proof), pause));
        }
    }
}

/// A fault, and how long the server wants to be left alone.
pub(crate) type Failure = (Fault, Option<Duration>);

/// What a second `401` means, after the first was answered with `proof`.
fn refused(fault: Fault, proof: Option<Proof>) -> Fault {
    match (fault, proof) {
        (Fault::Unauthorized(detail), Some(Proof::Password)) => Fault::Refused(detail),
        (Fault::Unauthorized(detail), Some(Proof::Token)) => Fault::Insufficient(detail),
        (fault, _) => fault,
    }
}

fn same_origin(url: &reqwest::Url, base: &str) -> bool {
    reqwest::Url::parse(base).is_ok_and(|base| base.origin() == url.origin())
}

pub(crate) fn agent() -> &'static str {
    concat!("farm/", env!("CARGO_PKG_VERSION"))
}

/// The whole body, unless it is longer than `limit`.
pub(crate) async fn body_limited(mut response: Response, limit: u64) -> Result<Vec<u8>, Fault> {
    let too_large = || Fault::Content(format!("the answer is larger than {limit} bytes"));
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() as u64 + chunk.len() as u64 > limit => return Err(too_large()),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err(interrupted(&error, body.len() as u64)),
        }
    }
}

pub(crate) async fn fault_of_status(response: Response) -> Failure {
    let status = response.status();
    let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = body_limited(response, MAX_ERROR_BODY).await.unwrap_or_default();
    let detail = Detail(error_message(&body));
    let fault = match status.as_u16() {
        401 => Fault::Unauthorized(detail),
        403 => Fault::Forbidden(detail),
        404 => Fault::NotFound(detail),
        status => Fault::Status { status, detail },
    };
    (fault, pause.map(Duration::from_secs))
}

/// The messages of an error body in the distribution-spec's form, cleaned for a terminal.
pub(super) fn error_message(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return String::new();
    };
    let text = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(|text| text.as_str()).map(str::to_owned)
    };
    let errors = value.get("errors").and_then(serde_json::Value::as_array);
    let messages: Vec<_> = match errors {
        Some(errors) => errors
            .iter()
            .filter_map(|error| text(error, "message").or_else(|| text(error, "code")))
            .take(3)
            .collect(),
        None => text(&value, "message").or_else(|| text(&value, "details")).into_iter().collect(),
    };
    let clean: String = messages.join(", ").chars().filter(|c| !c.is_control()).take(300).collect();
    clean
}

/// What a request that gave no answer means.
pub(crate) fn fault_of(error: &reqwest::Error) -> Fault {
    if error.is_connect() {
        return Fault::Connect(chain(error));
    }
    if error.is_builder() || error.is_redirect() {
        return Fault::Protocol(chain(error));
    }
    interrupted(error, 0)
}

pub(crate) fn interrupted(error: &reqwest::Error, received: u64) -> Fault {
    let reason = if error.is_timeout() { SILENCE.to_owned() } else { chain(error) };
    Fault::Interrupted { received, reason }
}

/// The innermost causes of an error: reqwest's own message repeats the whole address.
fn chain(error: &dyn std::error::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() {
        causes.push(error.to_string());
    }
    // Each layer of a client repeats the one below; the last two say everything.
    let tail = causes.len().saturating_sub(2);
    let mut tail = causes.split_off(tail);
    tail.dedup();
    tail.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_read_and_cleaned() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no \u001b[31mway"},{"code":"X"}]}"#;
        assert_eq!(error_message(body), "no [31mway, X");
        assert_eq!(error_message(b"<html>"), "");
        assert_eq!(
            error_message(br#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
    }
}
