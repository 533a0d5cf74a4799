//! The smallest HTTP client that can be used a thousand times at once.
//!
//! Owns: one request, one answer, over the control socket or a port. Never: part of the product.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Posts `body` to `path`; gives the status and the object that came back.
pub fn post(runtime_dir: &Path, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let token = fs::read_to_string(runtime_dir.join("control.token"))?;
    let body = body.to_string();
    let mut socket = UnixStream::connect(runtime_dir.join("control.sock"))?;
    // In one piece: who is refused by the head alone may find the socket closed before the next.
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        token.trim(),
        body.len()
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Gets `path` from a port of this machine, with these header lines; gives the status and the body.
pub fn get(port: u16, path: &str, more: &str) -> std::io::Result<(u16, String)> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n{more}\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
