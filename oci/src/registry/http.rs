//! The HTTP underneath: clients, requests with retries, and what their failures mean.

use std::sync::Once;
use std::time::Duration;

use farm_model::Reference;
use reqwest::header::{ACCEPT, AUTHORIZATION, RANGE, RETRY_AFTER, USER_AGENT};
use reqwest::{NoProxy, Proxy, Response, StatusCode};

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
            idle: Duration::from_secs(45),
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
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
const MAX_ERROR_BODY: u64 = 64 << 10;

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
    pub(super) fn http(&self, endpoint: &Endpoint) -> &reqwest::Client {
        if endpoint.insecure { &self.insecure } else { &self.secure }
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
    ) -> Result<Response, (Fault, Option<Duration>)> {
        let plain = |fault| (fault, None);
        let base = self.base(endpoint).await.map_err(plain)?;
        let repository = endpoint.repository(reference);
        let url = format!("{base}/v2/{repository}/{path}");
        let mut authorization = self.tokens.lock().await.cached(&endpoint.name, &repository);
        let mut challenged = false;
        loop {
            let mut request =
                self.http(endpoint).get(&url).header(ACCEPT, accept).header(USER_AGENT, agent());
            if let Some(value) = &authorization {
                request = request.header(AUTHORIZATION, value);
            }
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            let response = request.send().await.map_err(|error| plain(fault_of(&error)))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && !challenged {
                challenged = true;
                let value =
                    self.authenticate(endpoint, &repository, &base, &response).await.map_err(plain)?;
                if let Some(value) = value {
                    authorization = Some(value);
                    continue;
                }
            }
            return Err(fault_of_status(response).await);
        }
    }
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

pub(crate) async fn fault_of_status(response: Response) -> (Fault, Option<Duration>) {
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
