//! The smallest HTTP client that can be used a thousand times at once.
//!
//! Owns: one request, one answer, over the control socket. Never: part of the product.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// Posts `body` to `path`; gives the status and the object that came back.
pub fn post(runtime_dir: &Path, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let token = fs::read_to_string(runtime_dir.join("control.token"))?;
    let body = body.to_string();
    let mut socket = UnixStream::connect(runtime_dir.join("control.sock"))?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        token.trim(),
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
