//! Recognising that a session failed at the file wall (decision W9).
//!
//! Owns: finding the path in what an agent said last, and the line of configuration that would grant it. Never:
//! believes more than that: the path was really not granted, or nothing is said.

use std::path::Path;

use openrtc_ipc::{FileAccess, FileGrant};

/// Longest path that is reported, in bytes.
const PATH_BYTES_MAX: usize = 512;

/// The path that the wall denied, if `error` complains of one that no grant covers.
///
/// Understands what the C library, Python, Node and the shells write: "permission denied" in any case, or `EACCES`, and
/// an absolute path, quoted or not.
pub fn path<'e>(error: &'e str, grants: &[FileGrant]) -> Option<&'e str> {
    if !error.contains("EACCES") && !error.to_ascii_lowercase().contains("permission denied") {
        return None;
    }
    let covered = |path: &str| grants.iter().any(|grant| covers(grant, Path::new(path)));
    error
        .split(|c: char| c.is_whitespace() || "'\"`()[],;".contains(c))
        .map(|word| word.trim_end_matches([':', '.']))
        .find(|word| word.starts_with('/') && word.len() <= PATH_BYTES_MAX && !covered(word))
}

/// Whether the path can be used: of a directory that may only be listed, what lies in it cannot.
fn covers(grant: &FileGrant, path: &Path) -> bool {
    match grant.access {
        FileAccess::List => path == grant.path,
        FileAccess::Read | FileAccess::Write | FileAccess::Device => path.starts_with(&grant.path),
    }
}

/// The error with its remedy.
pub fn with_remedy(error: &str, path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    if name.to_string_lossy().starts_with(".env") {
        // No line of the file grants it (decision W9).
        return format!(
            "{error}; no host may read {path}: keys belong under [tenants.*] or [defaults.api_keys], other variables \
             under [tenants.*.env] or [runtimes.*.env] (`openrtc-supervisor config import`)"
        );
    }
    format!(
        "{error}; no host may read {path}: `[wall] read_paths = [{path:?}]` grants it, write_paths to write as well"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Vec<FileGrant> {
        vec![FileGrant { path: "/usr".into(), access: FileAccess::Read }]
    }

    #[test]
    fn it_is_found_as_common_programs_complain() {
        for error in [
            "exit code 1: PermissionError: [Errno 13] Permission denied: '/srv/data/model.bin'",
            "exit code 1: cat: /srv/data/model.bin: Permission denied",
            "exit code 2: /bin/sh: 1: cannot open /srv/data/model.bin: Permission denied",
            "exit code 1: Error: EACCES: permission denied, open '/srv/data/model.bin'",
            "exit code 1: open /srv/data/model.bin: permission denied",
        ] {
            let found = path(error, &[FileGrant { path: "/bin".into(), access: FileAccess::Read }]);
            assert_eq!(found, Some("/srv/data/model.bin"), "{error}");
        }
    }

    #[test]
    fn what_lies_in_a_directory_that_may_only_be_listed_is_denied_and_a_dotenv_has_its_own_remedy() {
        let grants = [("/srv/app", FileAccess::List), ("/srv/app/main.py", FileAccess::Read)]
            .map(|(path, access)| FileGrant { path: path.into(), access });
        let error = "PermissionError: [Errno 13] Permission denied: '/srv/app/.env'";
        assert_eq!(path(error, &grants), Some("/srv/app/.env"));
        assert!(with_remedy(error, "/srv/app/.env").contains("[tenants.*.env]"));
        assert!(with_remedy(error, "/srv/app/data").contains("read_paths = [\"/srv/app/data\"]"));
        assert_eq!(path("EACCES /srv/app/main.py", &grants), None);
    }

    #[test]
    fn nothing_is_said_of_a_path_that_was_granted_or_of_another_error() {
        assert_eq!(path("cat: /usr/lib/secret: Permission denied", &grants()), None, "granted: not the wall's doing");
        assert_eq!(path("cat: /srv/data: No such file or directory", &grants()), None);
        assert_eq!(path("Permission denied (publickey)", &grants()), None);
        assert_eq!(path(&format!("/{}: Permission denied", "x".repeat(9000)), &grants()), None);
    }
}
