//! A network between a server and those who connect to it, which can fail.
//!
//! Owns: what is lost on the way. Never: changes what arrives.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// A port of its own that leads to a server's.
#[derive(Debug)]
pub struct Network {
    port: u16,
    line: Arc<Line>,
}

#[derive(Debug, Default)]
struct Line {
    is_deaf: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Network {
    /// One that leads to this server, `ws://host:port`.
    pub fn to(server: &str) -> Self {
        let server = server.trim_start_matches("ws://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let line = Arc::new(Line::default());
        let accepting = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(server) = TcpStream::connect(&server) {
                    accepting.carry(client, server);
                }
            }
        });
        Self { port, line }
    }

    /// What clients connect to instead of the server.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// From now on nothing arrives that the server says.
    pub fn lose_answers(&self) {
        self.line.is_deaf.store(true, SeqCst);
    }

    /// Every connection ends. Those that are made later work.
    pub fn cut(&self) {
        for stream in self.line.streams.lock().expect("a lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.line.is_deaf.store(false, SeqCst);
    }
}

impl Line {
    fn carry(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let same = |stream: &TcpStream| stream.try_clone().expect("share a socket");
        self.streams.lock().expect("a lock").extend([same(&client), same(&server)]);
        let (up, down) = ((same(&client), same(&server)), (server, client));
        thread::spawn(move || pass(up, || false));
        let line = Arc::clone(self);
        thread::spawn(move || pass(down, || line.is_deaf.load(SeqCst)));
    }
}

/// Carries bytes one way until an end is gone.
fn pass((mut from, mut to): (TcpStream, TcpStream), is_lost: impl Fn() -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if !is_lost() && to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
