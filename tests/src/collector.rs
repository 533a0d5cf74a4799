//! Who receives traces, as far as HTTP goes.
//!
//! Owns: taking one request of an OTLP exporter and saying yes. Never: reads what is in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Takes requests on a port of its own and hands on their bodies, for as long as the process lives; gives the port.
pub fn start(mut receive: impl FnMut(Vec<u8>) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            receive(take(stream));
        }
    });
    port
}

/// Reads one request and says yes; gives its body.
fn take(stream: TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    let mut first = String::new();
    reader.read_line(&mut first).expect("a request");
    assert!(first.starts_with("POST /v1/traces HTTP/1.1"), "{first}");
    while reader.read_line(&mut line).expect("a header") > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    reader.get_mut().write_all(answer.as_bytes()).expect("answer");
    body
}
