//! Directories: where state and sockets live (interface.md).
//!
//! Owns: the order in which places are tried. Never: makes a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of our directory below the system's.
const NAME: &str = "openrtc-supervisor";
/// File name of the control socket in the runtime directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Bytes of a Unix socket's path, the last of which is NUL (`sun_path`).
pub(super) const SOCKET_BYTES_MAX: usize = 107;

/// Environment variables, by name.
pub type Environment = BTreeMap<String, String>;

fn absolute(environment: &Environment, name: &str) -> Option<PathBuf> {
    // systemd separates several directories with colons; the first is ours.
    let first = environment.get(name)?.split(':').next()?;
    Some(PathBuf::from(first)).filter(|path| path.is_absolute())
}

/// The state directory: `$STATE_DIRECTORY`, `/var/lib/…` for root, `$XDG_STATE_HOME/…`, `~/.local/state/…`.
pub fn state_dir(environment: &Environment, root: bool) -> Option<PathBuf> {
    let home = || Some(absolute(environment, "HOME")?.join(".local/state"));
    absolute(environment, "STATE_DIRECTORY")
        .or_else(|| root.then(|| Path::new("/var/lib").join(NAME)))
        .or_else(|| Some(absolute(environment, "XDG_STATE_HOME").or_else(home)?.join(NAME)))
}

/// The runtime directory: `$RUNTIME_DIRECTORY`, `/run/…` for root, `$XDG_RUNTIME_DIR/…`.
pub fn runtime_dir(environment: &Environment, root: bool) -> Option<PathBuf> {
    absolute(environment, "RUNTIME_DIRECTORY")
        .or_else(|| root.then(|| Path::new("/run").join(NAME)))
        .or_else(|| Some(absolute(environment, "XDG_RUNTIME_DIR")?.join(NAME)))
}

/// Whether we run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn directories_are_tried_in_order() {
        let all = environment(&[
            ("STATE_DIRECTORY", "/s/a:/s/b"),
            ("RUNTIME_DIRECTORY", "/r"),
            ("XDG_STATE_HOME", "/x"),
            ("XDG_RUNTIME_DIR", "/y"),
        ]);
        assert_eq!(state_dir(&all, true), Some("/s/a".into()));
        assert_eq!(runtime_dir(&all, true), Some("/r".into()));
        let user = environment(&[("XDG_STATE_HOME", "/x"), ("XDG_RUNTIME_DIR", "/y")]);
        assert_eq!(state_dir(&user, true), Some("/var/lib/openrtc-supervisor".into()));
        assert_eq!(state_dir(&user, false), Some("/x/openrtc-supervisor".into()));
        assert_eq!(runtime_dir(&user, false), Some("/y/openrtc-supervisor".into()));
        let home = environment(&[("HOME", "/home/ann")]);
        assert_eq!(state_dir(&home, false), Some("/home/ann/.local/state/openrtc-supervisor".into()));
        assert_eq!(runtime_dir(&home, false), None);
    }
}
