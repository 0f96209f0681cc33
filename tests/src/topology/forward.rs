//! Makes a service on our own loopback appear on the loopback of a namespace, under the same address.
//!
//! So a reference such as `127.0.0.1:5000/image` means the same registry to every process of a farm, and no configuration
//! has to be rewritten.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::network::Namespace;

/// Forwards connections as long as it lives.
#[derive(Debug)]
pub struct Forwarder {
    listener: Arc<TcpListener>,
    accepting: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Listens on `address` inside `namespace`, and connects to the same address here.
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self, String> {
        let listener = Arc::new(namespace.listen(address)?);
        let accepted = Arc::clone(&listener);
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = accepted.accept() {
                thread::spawn(move || forward(&stream, address));
            }
        });
        Ok(Self { listener, accepting: Some(accepting) })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Ends the call that waits for the next connection.
        let _ended = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _panicked = accepting.join();
        }
    }
}

/// Copies both ways until both ends are done. Whoever hangs up does so on both sides.
fn forward(near: &TcpStream, address: SocketAddr) {
    let Ok(far) = TcpStream::connect(address) else { return };
    thread::scope(|scope| {
        scope.spawn(|| copy(near, &far));
        copy(&far, near);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _broken = io::copy(&mut from, &mut to);
    let _closed = to.shutdown(Shutdown::Write);
}
