//! Who gets in, and who is cut off.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use openrtc_control_api::Problem;
use openrtc_supervisor::cli::client::{Client, ClientError};
use openrtc_supervisor::cli::exit::{CliError, Exit};
use openrtc_supervisor::cli::find::Candidate;

use crate::harness::{DEADLINE, Server};

/// Sends bytes and reads until the server closes.
fn exchange(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

async fn exchanged(server: &Server, bytes: impl Into<Vec<u8>>) -> String {
    let (socket, bytes) = (server.socket.clone(), bytes.into());
    tokio::task::spawn_blocking(move || exchange(&socket, &bytes)).await.unwrap()
}

/// Asks with the token.
pub(crate) async fn asked(server: &Server, method: &str, path: &str) -> String {
    let token = server.token();
    exchanged(server, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")).await
}

fn problem(answer: &str) -> Problem {
    assert!(answer.to_lowercase().contains("content-type: application/problem+json"), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let server = Server::start();
    let token = server.token();
    let mut wrong = token.clone();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    for authorization in ["", &format!("Authorization: Bearer {wrong}\r\n"), &format!("Authorization: {token}\r\n")] {
        for path in ["/v1/snapshot", "/v1/no-such", "/"] {
            let answer = exchanged(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{authorization} {path}: {answer}");
            assert_eq!(problem(&answer).reason, "unauthorized");
        }
    }
    let good = format!("GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert!(exchanged(&server, good).await.starts_with("HTTP/1.1 200"));
    // Whether we are well is no secret.
    assert!(exchanged(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_whether_or_not_it_says_so() {
    let server = Server::start();
    let head = format!("POST /v1/dispatch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", server.token());
    let said = exchanged(&server, format!("{head}Content-Length: 262145\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    assert_eq!(problem(&said).reason, "body_too_large");

    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let unsaid = exchanged(&server, format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(5))).await;
    assert!(unsaid.starts_with("HTTP/1.1 413"), "{unsaid}");

    // One byte less is read, and then is no JSON.
    let at_cap = exchanged(&server, format!("{head}Content-Length: 262144\r\n\r\n{}", " ".repeat(262_144))).await;
    assert!(at_cap.starts_with("HTTP/1.1 400"), "{at_cap}");
}

#[tokio::test]
async fn a_client_that_dawdles_is_cut_off_and_holds_up_nobody() {
    let server = Server::start();
    let head = format!("POST /v1/dispatch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", server.token());
    let start = Instant::now();
    let (silent, half_head, half_body, meanwhile) = tokio::join!(
        exchanged(&server, ""),
        exchanged(&server, "GET /v1/snap"),
        exchanged(&server, format!("{head}Content-Length: 100\r\n\r\n{{")),
        async {
            let _: serde_json::Value = server.client().get("/v1/snapshot").await.unwrap();
            start.elapsed()
        },
    );
    assert!(start.elapsed() < DEADLINE, "nobody was cut off");
    assert!(meanwhile.as_secs() < 4, "{meanwhile:?}");
    assert!(!silent.contains("200") && !half_head.contains("200"), "{silent}{half_head}");
    assert!(half_body.starts_with("HTTP/1.1 408"), "{half_body}");
    assert_eq!(problem(&half_body).reason, "body_timeout");
}

#[tokio::test]
async fn a_peer_of_another_uid_is_refused_even_with_the_token_in_hand() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: only root can become another user");
        return;
    }
    let server = Server::start();
    // Undo by hand what would keep it out before it is asked who it is.
    for (path, mode) in [(server.home.path(), 0o711), (&server.home.path().join("run"), 0o711), (&server.socket, 0o666)]
    {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let request = format!("GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", server.token());
    let (socket, top) = (server.socket.clone(), server.top.clone());
    let asked = tokio::task::spawn_blocking(move || {
        as_nobody(move || (exchange(&socket, request.as_bytes()), UnixStream::connect(top).map(drop)))
    });
    let (answer, top) = asked.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(problem(&answer).reason, "permission_denied");
    assert!(top.is_err(), "top.sock is 0600");
}

/// On a thread of its own, as a user without rights.
fn as_nobody<R: Send + 'static>(act: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = std::thread::spawn(|| {
        let nobody = rustix::process::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        act()
    });
    thread.join().unwrap()
}

#[tokio::test]
async fn permission_denied_is_told_from_unreachable() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: only root can become another user");
        return;
    }
    let server = Server::start();
    let path = server.socket.clone();
    let found = as_nobody(move || Client::find(vec![Candidate { path, why: "test" }]).map(drop));
    let error = CliError::from(found.unwrap_err());
    assert!(matches!(&error, CliError::Client(ClientError::PermissionDenied { owner, .. }) if owner == "root"));
    assert_eq!(error.exit(), Exit::Failure);
    assert!(error.to_string().contains("run as root"), "{error}");
}

#[tokio::test]
async fn unreachable_names_every_place_that_was_tried() {
    let home = tempfile::tempdir().unwrap();
    let stale = home.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let places = vec![
        Candidate { path: home.path().join("none/control.sock"), why: "root's default" },
        Candidate { path: stale.clone(), why: "$XDG_RUNTIME_DIR" },
    ];
    let error = CliError::from(Client::find(places).unwrap_err());
    assert_eq!(error.exit(), Exit::Unreachable);
    let text = error.to_string();
    for part in
        ["none/control.sock (root's default): No such file", "stale.sock ($XDG_RUNTIME_DIR): Connection refused"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_supervisor_without_its_token_says_which_file_is_missing() {
    let server = Server::start();
    let client = server.client();
    std::fs::remove_file(server.socket.with_file_name("control.token")).unwrap();
    let error = client.get::<serde_json::Value>("/v1/snapshot").await.unwrap_err();
    assert!(error.to_string().contains("control.token"), "{error}");
    assert_eq!(error.exit(), Exit::Failure);
}

#[tokio::test]
async fn a_rejection_says_when_to_come_back_in_whole_seconds() {
    let server = Server::start();
    let body = r#"{"room":"r","tenant":"full"}"#;
    let head = format!("POST /v1/dispatch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", server.token());
    let answer = exchanged(&server, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 3\r\n"), "{answer}");
    assert_eq!(problem(&answer).retry_after_s, Some(2.5));
}
