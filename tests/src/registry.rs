//! Registries for tests: Debian's `docker-registry`, a line to it that is cut, and an HTTP server inside the test that
//! misbehaves on request.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::farm::Farm;
use crate::image::digest_of;
use crate::layout::Blobs;

/// A real registry on loopback; ends with its value.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: String,
    root: tempfile::TempDir,
}

impl Registry {
    /// One that everybody may write to, and that every process of `farm` reaches.
    pub fn for_farm(farm: &Farm) -> Self {
        let registry = Self::start("");
        farm.reach(&registry.address);
        registry
    }

    /// One that asks for this user and password; the password's bcrypt is htpasswd's to make.
    pub fn with_password(farm: &Farm, htpasswd: &str) -> Self {
        let registry = Self::start(htpasswd);
        farm.reach(&registry.address);
        registry
    }

    fn start(htpasswd: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut yaml = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            root.path().display()
        );
        if !htpasswd.is_empty() {
            let file = root.path().join("htpasswd");
            std::fs::write(&file, htpasswd).expect("a file in a temporary directory");
            let _infallible = writeln!(yaml, "auth: {{htpasswd: {{realm: test, path: {}}}}}", file.display());
        }
        let file = root.path().join("registry.yml");
        std::fs::write(&file, yaml).expect("a file in a temporary directory");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`docker-registry` is installed");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let address = lines.find_map(|line| {
            let (_, rest) = line.ok()?.split_once("listening on ").map(|(a, b)| (a.len(), b.to_owned()))?;
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
            Some(rest[..end.unwrap_or(rest.len())].to_owned())
        });
        // Whoever logs must be read, or it blocks.
        thread::spawn(move || lines.for_each(drop));
        let address = address.expect("the registry says where it listens");
        Self { child, address, root }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name of an image in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Where it keeps what it was sent.
    pub fn data(&self) -> std::path::PathBuf {
        self.root.path().join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A line to a server that breaks as soon as this many bytes went towards it, until it is mended.
#[derive(Debug)]
pub struct Line {
    address: String,
    left: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Line {
    /// Leads to `target`; takes `bytes` before it breaks for good.
    pub fn to(target: &str, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let (left, sent) = (Arc::new(AtomicU64::new(bytes)), Arc::new(AtomicU64::new(0)));
        let (budget, count, target) = (Arc::clone(&left), Arc::clone(&sent), target.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (budget, count, target) = (Arc::clone(&budget), Arc::clone(&count), target.clone());
                thread::spawn(move || carry(&stream, &target, &budget, &count));
            }
        });
        Self { address, left, sent }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on it holds.
    pub fn mend(&self) {
        self.left.store(u64::MAX, Ordering::SeqCst);
        self.sent.store(0, Ordering::SeqCst);
    }

    /// Bytes that went towards the server since it was mended.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn carry(near: &TcpStream, target: &str, left: &AtomicU64, sent: &AtomicU64) {
    let Ok(far) = TcpStream::connect(target) else { return };
    if let (Ok(mut from), Ok(mut to)) = (far.try_clone(), near.try_clone()) {
        thread::spawn(move || std::io::copy(&mut from, &mut to).map(|_| to.shutdown(Shutdown::Both)));
    }
    let (mut from, mut to, mut piece) = (near, &far, [0; 16 << 10]);
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            let after = left.saturating_sub(count as u64);
            (left > 0).then_some(if left == u64::MAX { left } else { after })
        });
        if taken.is_err() || to.write_all(&piece[..count]).is_err() {
            break;
        }
        sent.fetch_add(count as u64, Ordering::SeqCst);
    }
    let _gone = near.shutdown(Shutdown::Both);
    let _gone = far.shutdown(Shutdown::Both);
}

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
