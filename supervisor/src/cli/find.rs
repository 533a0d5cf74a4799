//! Where the supervisor's control socket may be.
//!
//! Owns: the order of looking: flag, environment, `/run`, `$XDG_RUNTIME_DIR`. Never: connects.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use openrtc_control_api::{RUNTIME_DIR, SOCKET_FILE};

/// Environment variable that names the socket.
pub const SOCKET_VARIABLE: &str = "OPENRTC_SUPERVISOR_CONTROL_SOCKET";

/// A place to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The socket.
    pub path: PathBuf,
    /// Why there.
    pub why: &'static str,
}

/// All places, in order. A flag or the environment names the only one.
pub fn candidates(flag: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<Candidate> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(flag) = flag {
        return vec![Candidate { path: flag.to_owned(), why: "--control-socket" }];
    }
    if let Some(path) = variable(SOCKET_VARIABLE) {
        return vec![Candidate { path: path.into(), why: SOCKET_VARIABLE }];
    }
    let below = |base: PathBuf| base.join(RUNTIME_DIR).join(SOCKET_FILE);
    let mut all = vec![Candidate { path: below("/run".into()), why: "root's default" }];
    if let Some(base) = variable("XDG_RUNTIME_DIR") {
        all.push(Candidate { path: below(base.into()), why: "$XDG_RUNTIME_DIR" });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(flag: Option<&str>, variables: &[(&str, &str)]) -> Vec<String> {
        let look = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let all = candidates(flag.map(Path::new), look);
        all.into_iter().map(|one| one.path.display().to_string()).collect()
    }

    #[test]
    fn the_first_that_is_named_is_the_only_one() {
        let named = [(SOCKET_VARIABLE, "/b.sock"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(paths(Some("/a.sock"), &named), ["/a.sock"]);
        assert_eq!(paths(None, &named), ["/b.sock"]);
    }

    #[test]
    fn unnamed_both_defaults_are_tried() {
        let root = "/run/openrtc-supervisor/control.sock";
        assert_eq!(paths(None, &[]), [root]);
        assert_eq!(paths(None, &[(SOCKET_VARIABLE, ""), ("XDG_RUNTIME_DIR", "")]), [root]);
        let user = "/run/user/7/openrtc-supervisor/control.sock";
        assert_eq!(paths(None, &[("XDG_RUNTIME_DIR", "/run/user/7")]), [root, user]);
    }
}
