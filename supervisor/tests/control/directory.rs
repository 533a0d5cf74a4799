//! The runtime directory: what is made in it, and which one is refused.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use openrtc_supervisor::control::{Control, ControlError, DirError, LockError};

use crate::harness::{Server, settings};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn dir_error(refused: Result<Control, ControlError>) -> DirError {
    match refused.expect_err("the directory must be refused") {
        ControlError::RuntimeDir(LockError::Directory(error)) | ControlError::Socket(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

#[tokio::test]
async fn everything_made_is_ours_alone_and_goes_at_the_end() {
    let mut server = Server::start();
    let run = server.home.path().join("run");
    assert_eq!(mode(&run), 0o700);
    for name in ["control.sock", "top.sock", "control.token", "supervisor.lock"] {
        assert_eq!(mode(&run.join(name)), 0o600, "{name}");
    }
    let token = server.token();
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");

    server.stop().await;
    let mut left: Vec<_> = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["supervisor.lock"]);
}

#[tokio::test]
async fn each_start_has_a_token_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let control = Control::open(&settings(&home)).unwrap();
        tokens.push(std::fs::read_to_string(control.token_file()).unwrap());
    }
    assert_ne!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_symbolic_link_is_refused_even_with_a_slash_at_its_end() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("real")).unwrap();
    symlink(home.path().join("real"), home.path().join("run")).unwrap();
    let mut settings = settings(&home);
    assert!(matches!(dir_error(Control::open(&settings)), DirError::NotADirectory { .. }));
    settings.runtime_dir = home.path().join("run/");
    assert!(matches!(dir_error(Control::open(&settings)), DirError::NotADirectory { .. }));
    assert_eq!(std::fs::read_dir(home.path().join("real")).unwrap().count(), 0);

    symlink("/nowhere", home.path().join("dangling")).unwrap();
    settings.runtime_dir = home.path().join("dangling");
    assert!(matches!(dir_error(Control::open(&settings)), DirError::NotADirectory { .. }));
}

#[tokio::test]
async fn a_directory_that_others_use_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("somebody's"), b"").unwrap();
    std::fs::set_permissions(&run, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(matches!(dir_error(Control::open(&settings(&home))), DirError::Shared { mode: 0o755, .. }));
    assert_eq!(mode(&run), 0o755);

    std::fs::remove_file(run.join("somebody's")).unwrap();
    drop(Control::open(&settings(&home)).unwrap());
    assert_eq!(mode(&run), 0o700);
    // It holds our lock now, so it is ours whatever its mode.
    std::fs::set_permissions(&run, PermissionsExt::from_mode(0o755)).unwrap();
    drop(Control::open(&settings(&home)).unwrap());
    assert_eq!(mode(&run), 0o700);
}

#[tokio::test]
async fn a_directory_of_another_owner_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: only root can make a directory of another owner");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::os::unix::fs::chown(&run, Some(12_345), None).unwrap();
    assert!(matches!(dir_error(Control::open(&settings(&home))), DirError::Foreign { owner: 12_345, ours: 0, .. }));
}

#[tokio::test]
async fn a_second_supervisor_is_told_whose_the_directory_is() {
    let home = tempfile::tempdir().unwrap();
    let first = Control::open(&settings(&home)).unwrap();
    let token = std::fs::read_to_string(first.token_file()).unwrap();
    let refused = Control::open(&settings(&home)).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(matches!(&refused, ControlError::RuntimeDir(LockError::Taken { pid: holder, .. }) if *holder == pid));
    let text = refused.to_string();
    assert!(text.contains(&pid) && text.contains("shutdown") && text.contains("runtime_dir"), "{text}");
    // The first is unharmed.
    assert!(first.socket().exists());
    assert_eq!(std::fs::read_to_string(first.token_file()).unwrap(), token);
    drop(first);
    drop(Control::open(&settings(&home)).unwrap());
}

#[tokio::test]
async fn a_dead_predecessors_socket_is_replaced_and_a_file_is_not() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    drop(Control::open(&settings(&home)).unwrap());
    // As SIGKILL leaves it.
    drop(std::os::unix::net::UnixListener::bind(run.join("control.sock")).unwrap());
    std::fs::write(run.join("control.token"), b"old").unwrap();
    let control = Control::open(&settings(&home)).unwrap();
    assert!(std::os::unix::net::UnixStream::connect(control.socket()).is_ok());
    assert_eq!(mode(&control.token_file()), 0o600);
    drop(control);

    std::fs::write(run.join("control.sock"), b"precious").unwrap();
    assert!(matches!(dir_error(Control::open(&settings(&home))), DirError::NotASocket { .. }));
    assert_eq!(std::fs::read(run.join("control.sock")).unwrap(), b"precious");
}

#[tokio::test]
async fn a_runtime_directory_may_be_deeper_than_a_sockets_address() {
    let home = tempfile::tempdir().unwrap();
    let mut settings = settings(&home);
    settings.runtime_dir = home.path().join("d".repeat(120)).join("run");
    let control = Control::open(&settings).unwrap();
    assert!(control.socket().as_os_str().len() > 108 && control.socket().exists());
}

#[tokio::test]
async fn a_socket_elsewhere_gets_a_private_directory_too() {
    let home = tempfile::tempdir().unwrap();
    let mut settings = settings(&home);
    settings.top_socket = Some(home.path().join("openrtc-0/top.sock"));
    let control = Control::open(&settings).unwrap();
    assert_eq!(mode(&home.path().join("openrtc-0")), 0o700);
    assert_eq!(mode(&control.top_socket().unwrap()), 0o600);
}
