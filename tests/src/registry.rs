//! A registry that misbehaves on request: an HTTP server on loopback inside the test.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::image::digest_of;
use crate::layout::Blobs;

/// What the server sends for one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status with headers and body, complete.
    Whole(u16, Vec<(String, String)>, Vec<u8>),
    /// Announces the whole body, sends only this many bytes and hangs up.
    CutAfter(usize, Vec<u8>),
}

/// A server that lives as long as the test process.
#[derive(Debug)]
pub struct FakeRegistry {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeRegistry {
    /// Answers every request by `handler`, which is given the path with its query.
    pub fn start(handler: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (handler, log) = (Arc::new(handler), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                thread::spawn(move || serve(&stream, handler.as_ref(), &log));
            }
        });
        Self { address, requests }
    }

    /// Serves one image under every name and tag; `change` may replace the answer for a path.
    pub fn serving(image: Blobs, change: impl Fn(&str, Answer) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(move |path| change(path, usual_answer(&image, path)))
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The paths that were asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// The part of a farm.toml that lets builds speak plain HTTP to this server.
    pub fn configuration(&self) -> String {
        format!("[registry.\"{}\"]\ninsecure = true\n", self.address)
    }
}

/// A status with a short text.
pub fn status(code: u16) -> Answer {
    Answer::Whole(
        code,
        Vec::new(),
        format!("{{\"errors\":[{{\"code\":\"TEST\",\"message\":\"status {code}\"}}]}}").into_bytes(),
    )
}

/// What a registry answers that holds one image under every name and tag.
pub fn usual_answer(image: &Blobs, path: &str) -> Answer {
    let manifest = || {
        let headers = [
            ("Content-Type", "application/vnd.oci.image.manifest.v1+json".to_owned()),
            ("Docker-Content-Digest", digest_of(&image.manifest)),
        ];
        Answer::Whole(
            200,
            headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            image.manifest.clone(),
        )
    };
    if path.trim_end_matches('/') == "/v2" {
        return Answer::Whole(200, Vec::new(), b"{}".to_vec());
    }
    if path.contains("/manifests/") {
        return manifest();
    }
    let found = image.blobs.iter().find(|(digest, _)| path.ends_with(&format!("/blobs/{digest}")));
    found.map_or_else(|| status(404), |(_, bytes)| Answer::Whole(200, Vec::new(), bytes.clone()))
}

fn serve(stream: &TcpStream, handler: &dyn Fn(&str) -> Answer, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(request)) = lines.next() else { return };
    let mut words = request.split_whitespace();
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    // The headers say nothing that matters here, but a client may object to an answer before it has sent them.
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    if let Ok(mut log) = log.lock() {
        log.push(path.clone());
    }
    let (code, headers, body, sent) = match handler(&path) {
        Answer::Whole(code, headers, body) => {
            let sent = body.len();
            (code, headers, body, sent)
        }
        Answer::CutAfter(sent, body) => (200, Vec::new(), body, sent),
    };
    let mut head = format!("HTTP/1.1 {code} Test\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let mut stream = stream;
    let _ = stream.write_all((head + "\r\n").as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&body[..sent]);
    }
    let _ = stream.flush();
}
