//! Where the supervisor's control socket may be.
//!
//! Owns: the order of looking: flag, environment, configuration, `/run`, `$XDG_RUNTIME_DIR`. Never: connects, or reads a
//! configuration.

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

/// All places, in order. A flag, the environment or a configuration, which is asked for only then, names the only one.
pub fn candidates<E>(
    flag: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    configured: impl FnOnce() -> Result<Option<PathBuf>, E>,
) -> Result<Vec<Candidate>, E> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(flag) = flag {
        return Ok(vec![Candidate { path: flag.to_owned(), why: "--control-socket" }]);
    }
    if let Some(path) = variable(SOCKET_VARIABLE) {
        return Ok(vec![Candidate { path: path.into(), why: SOCKET_VARIABLE }]);
    }
    if let Some(path) = configured()? {
        return Ok(vec![Candidate { path, why: "as the configuration says" }]);
    }
    let below = |base: PathBuf| base.join(RUNTIME_DIR).join(SOCKET_FILE);
    let mut all = vec![Candidate { path: below("/run".into()), why: "root's default" }];
    if let Some(base) = variable("XDG_RUNTIME_DIR") {
        all.push(Candidate { path: below(base.into()), why: "$XDG_RUNTIME_DIR" });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(flag: Option<&str>, variables: &[(&str, &str)], configured: Option<&str>) -> Vec<String> {
        let look = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let configured = || Ok::<_, std::convert::Infallible>(configured.map(PathBuf::from));
        let Ok(all) = candidates(flag.map(Path::new), look, configured);
        all.into_iter().map(|one| one.path.display().to_string()).collect()
    }

    #[test]
    fn the_first_that_is_named_is_the_only_one() {
        let named = [(SOCKET_VARIABLE, "/b.sock"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(paths(Some("/a.sock"), &named, Some("/c.sock")), ["/a.sock"]);
        assert_eq!(paths(None, &named, Some("/c.sock")), ["/b.sock"]);
        assert_eq!(paths(None, &named[1..], Some("/c.sock")), ["/c.sock"]);
    }

    #[test]
    fn unnamed_both_defaults_are_tried() {
        let root = "/run/openrtc-supervisor/control.sock";
        assert_eq!(paths(None, &[], None), [root]);
        assert_eq!(paths(None, &[(SOCKET_VARIABLE, ""), ("XDG_RUNTIME_DIR", "")], None), [root]);
        let user = "/run/user/7/openrtc-supervisor/control.sock";
        assert_eq!(paths(None, &[("XDG_RUNTIME_DIR", "/run/user/7")], None), [root, user]);
    }
}
