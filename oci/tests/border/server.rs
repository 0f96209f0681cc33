//! A small HTTP server on loopback that misbehaves as it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One request, headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// What came of the body.
    pub(crate) body: Vec<u8>,
}

/// One answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Hang up after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Keep silent for so long before the body.
    pub(crate) pause: Duration,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![], body: body.into(), cut: None, pause: Duration::ZERO }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Says how many bytes of a body are taken before the server hangs up without an answer.
type Intake = dyn Fn(&Request) -> Option<u64> + Send + Sync;
type Handler = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// A server on loopback that ends with its value.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `handler` gets the request and how often its path was asked for before.
    pub(crate) fn new(handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::hanging_up(handler, |_| None)
    }

    /// A server that takes only a part of some bodies, as `intake` says. The handler sees that part.
    pub(crate) fn hanging_up(
        handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
        intake: impl Fn(&Request) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let handler: Arc<Handler> = Arc::new(handler);
        let intake: Arc<Intake> = Arc::new(intake);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (handler, intake, log) = (Arc::clone(&handler), Arc::clone(&intake), Arc::clone(&log));
                std::thread::spawn(move || serve(stream.unwrap(), &*handler, &*intake, &log));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn asked(&self, part: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.path.contains(part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        self.thread.take().map(JoinHandle::join);
    }
}

/// One request a connection.
fn serve(mut stream: TcpStream, handler: &Handler, intake: &Intake, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut request = Request { method, path, headers, body: Vec::new() };
    let taken = intake(&request);
    let _ = reader.take(taken.unwrap_or(length)).read_to_end(&mut request.body);
    let before = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|known| known.path == request.path).count();
        log.push(request.clone());
        before
    };
    let answer = handler(&request, before);
    if taken.is_some() {
        return;
    }
    let mut head = format!(
        "HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if request.method == "HEAD" {
        let _ = stream.write_all(format!("{head}\r\n").as_bytes());
        return;
    }
    let body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    std::thread::sleep(answer.pause);
    let _ = stream.write_all(body);
}
