//! Which files a host may use, built anew for each host (decision W9).
//!
//! Owns: the list of grants. Never: grants a dot entry of an application's folder, our own files, `/tmp`, a process's
//! part of `/proc`, or more of `/proc` and `/sys` than a program's libraries read of the machine; or follows a symbolic
//! link while walking.

use std::path::{Path, PathBuf};

use openrtc_ipc::{FileAccess, FileGrant, WallSpec};

use super::programs::{self, ProgramFiles};

/// Entries looked at in one folder; what lies behind them is not granted, and a warning names the folder.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// What every program needs to start.
const SYSTEM: [&str; 7] = ["/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin"];
/// What programs read of `/etc` to find names, certificates and time. No passwords.
const ETC: [&str; 26] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/debian_version",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/python3",
    "/etc/python3.11",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
];
/// Where a resolver rewrites `resolv.conf` by renaming: the file alone would be lost at the next change.
const RESOLVERS: [&str; 2] = ["/run/systemd/resolve", "/run/resolvconf"];
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// Every grant of one host.
pub(super) fn of(spec: &WallSpec, program: &ProgramFiles, work_dir: &Path) -> Vec<FileGrant> {
    let mut grants = Grants { hidden: canonical(&program.hidden), list: Vec::new() };
    for path in programs::needed(program) {
        grants.give(path, FileAccess::Read);
    }
    for folder in programs::folders(program) {
        grants.walk(&folder, FileAccess::Read, Dots::Skipped);
    }
    for path in &program.machine {
        grants.give(path.clone(), FileAccess::Read);
    }
    for path in SYSTEM.iter().chain(&ETC).chain(&RESOLVERS) {
        grants.give(PathBuf::from(path), FileAccess::Read);
    }
    for path in DEVICES {
        grants.give(PathBuf::from(path), FileAccess::Device);
    }
    for path in &spec.read_paths {
        grants.walk(path, FileAccess::Read, Dots::Granted);
    }
    for path in &spec.write_paths {
        grants.walk(path, FileAccess::Write, Dots::Granted);
    }
    // It may be made after this.
    grants.list.push(FileGrant { path: work_dir.to_owned(), access: FileAccess::Write });
    grants.list
}

fn canonical(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect()
}

/// Whether entries whose name starts with a dot are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dots {
    /// In an application's folder, where `.env` and `.git` lie.
    Skipped,
    /// In a folder that the operator named for its contents.
    Granted,
}

struct Grants {
    hidden: Vec<PathBuf>,
    list: Vec<FileGrant>,
}

impl Grants {
    fn give(&mut self, path: PathBuf, access: FileAccess) {
        let grant = FileGrant { path, access };
        if grant.path.exists() && !self.list.contains(&grant) {
            self.list.push(grant);
        }
    }

    /// Grants a folder without what must stay hidden in it. A file is granted as it is, unless it is hidden itself.
    fn walk(&mut self, folder: &Path, access: FileAccess, dots: Dots) {
        let Ok(folder) = folder.canonicalize() else { return };
        if self.is_hidden(&folder) {
            tracing::warn!(path = %folder.display(), "not granted to hosts: it holds the supervisor's own files");
            return;
        }
        if !folder.is_dir() || (dots == Dots::Granted && !self.hides_below(&folder)) {
            return self.give(folder, access);
        }
        let mut left = ENTRIES_MAX;
        self.give(folder.clone(), FileAccess::List);
        self.walk_into(&folder, access, dots, &mut left);
        if left == 0 {
            tracing::warn!(path = %folder.display(), entries_max = ENTRIES_MAX, "folder too large: granted in part");
        }
    }

    fn walk_into(&mut self, folder: &Path, access: FileAccess, dots: Dots, left: &mut usize) {
        for entry in entries(folder, left) {
            if self.skips(&entry, dots) {
                continue;
            }
            if !entry.is_dir() || self.is_clean(&entry, dots, left) {
                self.give(entry, access);
            } else {
                self.walk_into(&entry, access, dots, left);
            }
        }
    }

    /// Whether nothing below a folder must be left out, so that one rule can stand for all of it.
    fn is_clean(&self, folder: &Path, dots: Dots, left: &mut usize) -> bool {
        let entries = entries(folder, left);
        *left > 0
            && entries
                .iter()
                .all(|entry| !self.skips(entry, dots) && (!entry.is_dir() || self.is_clean(entry, dots, left)))
    }

    fn skips(&self, entry: &Path, dots: Dots) -> bool {
        let dotted = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        (dotted && dots == Dots::Skipped) || self.is_hidden(entry)
    }

    fn is_hidden(&self, path: &Path) -> bool {
        self.hidden.iter().any(|hidden| path.starts_with(hidden))
    }

    fn hides_below(&self, folder: &Path) -> bool {
        self.hidden.iter().any(|hidden| hidden.starts_with(folder))
    }
}

/// What lies in a folder, without symbolic links: what they point to inside is found by itself, what lies outside is not
/// this folder's to give.
fn entries(folder: &Path, left: &mut usize) -> Vec<PathBuf> {
    let Ok(read) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in read.flatten() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_file()) {
            found.push(entry.path());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::tests::spec;
    use std::fs;

    fn granted(grants: &[FileGrant], path: &Path) -> Option<FileAccess> {
        grants.iter().find(|grant| grant.path == path).map(|grant| grant.access)
    }

    /// Whether Landlock would let a host read this file.
    fn readable(grants: &[FileGrant], path: &Path) -> bool {
        grants.iter().any(|grant| grant.access != FileAccess::List && path.starts_with(&grant.path))
    }

    #[test]
    fn an_application_is_granted_without_its_secrets_and_ours() {
        let root = tempfile::tempdir().unwrap();
        let app = root.path().canonicalize().unwrap().join("app");
        for folder in ["prompts/deep", ".git", "state", "mixed/.cache"] {
            fs::create_dir_all(app.join(folder)).unwrap();
        }
        let files = ["main.py", ".env", "ours.toml", "prompts/deep/a.txt", ".git/config", "state/keys", "mixed/b.txt"];
        for file in files.into_iter().chain(["mixed/.cache/c"]) {
            fs::write(app.join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(app.join(".env"), app.join("innocent.txt")).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", app.join("prompts/shadow")).unwrap();
        let program = ProgramFiles {
            folders: vec![app.clone()],
            hidden: vec![app.join("ours.toml"), app.join("state")],
            ..ProgramFiles::default()
        };
        let grants = of(&spec(), &program, root.path());
        let grants: Vec<_> = grants.into_iter().filter(|grant| grant.path.starts_with(&app)).collect();
        for seen in ["main.py", "prompts/deep/a.txt", "mixed/b.txt"] {
            assert!(readable(&grants, &app.join(seen)), "{seen}: {grants:?}");
        }
        for kept in [".env", "ours.toml", ".git/config", "state/keys", "mixed/.cache/c", "innocent.txt"] {
            assert!(!readable(&grants, &app.join(kept)), "{kept}: {grants:?}");
        }
        assert_eq!(granted(&grants, &app), Some(FileAccess::List));
        assert_eq!(granted(&grants, &app.join("prompts")), Some(FileAccess::Read), "one rule for a clean folder");
    }

    #[test]
    fn a_large_folder_is_walked_only_so_far() {
        let root = tempfile::tempdir().unwrap();
        let mut left = 3;
        for name in ["a", "b", "c", "d", "e"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        assert_eq!(entries(root.path(), &mut left).len(), 3);
        assert_eq!(left, 0);
        assert!(!Grants { hidden: vec![], list: vec![] }.is_clean(root.path(), Dots::Skipped, &mut 3));
    }

    #[test]
    fn named_paths_are_granted_but_never_our_own_files_in_them() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("etc/ours")).unwrap();
        fs::write(root.join("etc/ours/token"), "").unwrap();
        fs::write(root.join("etc/.model"), "").unwrap();
        let program = ProgramFiles { hidden: vec![root.join("etc/ours")], ..ProgramFiles::default() };
        let wanted =
            WallSpec { read_paths: vec![root.join("etc")], write_paths: vec![root.join("etc/ours")], ..spec() };
        let grants = of(&wanted, &program, &root.join("nowhere"));
        assert!(readable(&grants, &root.join("etc/.model")));
        assert!(!readable(&grants, &root.join("etc/ours/token")));
    }

    #[test]
    fn nothing_of_proc_sys_or_tmp_is_granted() {
        let grants = of(&spec(), &ProgramFiles::default(), Path::new("/nonexistent"));
        for path in ["/proc/1/environ", "/sys/kernel", "/tmp/x", "/etc/shadow", "/root/.ssh", "/dev/mem", "/run/x.sock"]
        {
            assert!(!readable(&grants, Path::new(path)), "{path}");
        }
        assert_eq!(granted(&grants, Path::new("/dev/null")), Some(FileAccess::Device));
    }
}
