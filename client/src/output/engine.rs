//! Into a container engine: a docker archive, sent through the engine's socket as it comes (Docker Engine API, "Import
//! images").
//!
//! The engine answers with a line of JSON for each thing that it did; one of them may say that it failed, although the
//! status was good. An archive that breaks off ends the request without an end, so that the engine takes nothing of it.
//! Deliberately absent: engines over TCP and SSH, and deadlines, since an engine may unpack for minutes without a word.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::{Stream, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::Error;
use crate::output::parts::Part;

/// Without a version the engine takes it for the one that it knows best; nothing here differs between them.
const LOAD: &str = "/images/load?quiet=1";
/// Limit on one line of an answer.
const MAX_LINE: usize = 1 << 20;
/// What is shown of an answer that is not JSON.
const MAX_SHOWN: usize = 300;

/// Fails when no engine listens at `socket`.
pub fn check(socket: &Path) -> Result<(), Error> {
    std::os::unix::net::UnixStream::connect(socket).map(drop).map_err(|source| no_engine(socket, source))
}

/// Has the engine take the archive that comes; gives its bytes.
pub(super) async fn load(socket: PathBuf, coming: mpsc::Receiver<Part>) -> Result<u64, Error> {
    let stream = UnixStream::connect(&socket).await.map_err(|source| no_engine(&socket, source))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&socket, &error))?;
    let passed = Arc::new(Passed::default());
    let request = Request::post(LOAD)
        .header(HOST, "localhost")
        .header(USER_AGENT, concat!("farm/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/x-tar")
        .body(Box::pin(StreamBody::new(pieces(coming, Arc::clone(&passed)))))
        .expect("constant names and values make a request");
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&socket, &error))?;
        answer(&socket, response).await
    };
    let (mut exchange, mut connection) = (Box::pin(exchange), Box::pin(connection));
    // The connection does the work; what it read before it ended is still to be looked at.
    let answered = tokio::select! {
        biased;
        answered = &mut exchange => Some(answered),
        _ended = &mut connection => None,
    };
    drop(connection);
    let answered = match answered {
        Some(answered) => answered,
        None => exchange.await,
    };
    if passed.broke_off.load(Ordering::Relaxed) {
        // Why is the coordinator's to say.
        return Err(Error::Unfinished);
    }
    answered.map(|()| passed.bytes.load(Ordering::Relaxed))
}

/// What went into the request.
#[derive(Debug, Default)]
struct Passed {
    bytes: AtomicU64,
    broke_off: AtomicBool,
}

fn pieces(
    coming: mpsc::Receiver<Part>,
    passed: Arc<Passed>,
) -> impl Stream<Item = Result<Frame<Bytes>, Error>> {
    stream::try_unfold((coming, passed), |(mut coming, passed)| async move {
        match coming.recv().await {
            Some(Part::Bytes(bytes)) => {
                passed.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(Some((Frame::data(bytes.into()), (coming, passed))))
            }
            Some(Part::Done) => Ok(None),
            None => {
                passed.broke_off.store(true, Ordering::Relaxed);
                Err(Error::Unfinished)
            }
        }
    })
}

/// What engines say, each in its own words.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    error: Option<String>,
    message: Option<String>,
}

async fn answer(socket: &Path, response: Response<Incoming>) -> Result<(), Error> {
    let status = response.status();
    let mut body = response.into_body();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(socket, &error))?;
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
        // Only whole lines are read, except of a failure, which may have none.
        if status.is_success()
            && let Some(end) = rest.iter().rposition(|byte| *byte == b'\n')
        {
            read_lines(socket, &rest[..end])?;
            rest.drain(..=end);
        }
        if rest.len() > MAX_LINE {
            return Err(refused(socket, "it answers with something that is no list of messages"));
        }
    }
    if status.is_success() {
        read_lines(socket, &rest)
    } else {
        Err(refused(socket, &failure(status, &rest)))
    }
}

fn read_lines(socket: &Path, lines: &[u8]) -> Result<(), Error> {
    for line in lines.split(|byte| *byte == b'\n') {
        // What it says besides is for people.
        let said: Line = serde_json::from_slice(line).unwrap_or_default();
        if let Some(error) = said.error {
            return Err(refused(socket, &error));
        }
    }
    Ok(())
}

fn failure(status: StatusCode, body: &[u8]) -> String {
    let said: Line = serde_json::from_slice(body).unwrap_or_default();
    said.message.or(said.error).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        format!("status {status} {}", text.trim()).trim_end().to_owned()
    })
}

fn refused(socket: &Path, reason: &str) -> Error {
    let reason = reason.trim().chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    Error::EngineRefused { socket: socket.to_owned(), reason }
}

fn broken(socket: &Path, error: &hyper::Error) -> Error {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    refused(socket, &format!("{error}{cause}"))
}

fn no_engine(socket: &Path, source: std::io::Error) -> Error {
    Error::NoEngine { socket: socket.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// An engine that takes one request and answers with these bytes; gives the request.
    fn engine(directory: &Path, answer: &'static str) -> (PathBuf, std::thread::JoinHandle<Vec<u8>>) {
        let socket = directory.join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"\r\n0\r\n\r\n") {
                match stream.read(&mut piece).unwrap() {
                    0 => return request,
                    count => request.extend_from_slice(&piece[..count]),
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        };
        (socket, std::thread::spawn(serve))
    }

    fn send(socket: &Path, parts: Vec<Part>) -> Result<u64, Error> {
        let (sender, coming) = mpsc::channel(parts.len());
        for part in parts {
            sender.try_send(part).unwrap();
        }
        drop(sender);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(load(socket.to_owned(), coming))
    }

    fn whole() -> Vec<Part> {
        vec![Part::Bytes(b"arch".to_vec()), Part::Bytes(b"ive".to_vec()), Part::Done]
    }

    #[test]
    fn the_archive_is_sent_as_it_comes_and_its_end_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"stream\":\"Loaded image: a:1\\n\"}\n";
        let (socket, engine) = engine(directory.path(), answer);
        assert_eq!(send(&socket, whole()).unwrap(), 7);
        let request = String::from_utf8(engine.join().unwrap()).unwrap();
        assert!(request.starts_with("POST /images/load?quiet=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\n4\r\narch\r\n3\r\nive\r\n0\r\n"), "{request}");
    }

    #[test]
    fn an_error_inside_of_a_good_answer_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"stream\":\"x\"}\n{\"errorDetail\":{},\"error\":\"no space left\"}";
        let (socket, _engine) = engine(directory.path(), answer);
        let error = send(&socket, whole()).unwrap_err().to_string();
        assert!(error.contains("no space left") && error.contains("engine.sock"), "{error}");
    }

    #[test]
    fn a_bad_status_is_an_error_in_the_engine_s_words() {
        for answer in [
            "HTTP/1.1 500 Oops\r\nContent-Length: 21\r\n\r\n{\"message\":\"all bad\"}",
            "HTTP/1.1 500 Oops\r\nContent-Length: 7\r\n\r\nall bad",
        ] {
            let directory = tempfile::tempdir().unwrap();
            let (socket, _engine) = engine(directory.path(), answer);
            let error = send(&socket, whole()).unwrap_err().to_string();
            assert!(error.contains("all bad"), "{error}");
        }
    }

    #[test]
    fn an_archive_that_breaks_off_is_not_ended() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, engine) = engine(directory.path(), "");
        let error = send(&socket, vec![Part::Bytes(b"half".to_vec())]).unwrap_err();
        assert!(matches!(error, Error::Unfinished), "{error}");
        assert!(!engine.join().unwrap().ends_with(b"0\r\n\r\n"));
    }

    #[test]
    fn nobody_at_the_socket_is_an_error_with_a_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("none.sock");
        let error = check(&socket).unwrap_err();
        assert!(error.to_string().contains("none.sock"), "{error}");
        assert!(error.hint().unwrap().contains("DOCKER_HOST"));
        assert!(send(&socket, whole()).is_err());
    }
}
