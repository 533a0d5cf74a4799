//! The files of a configuration: the main one, and one per tenant below `tenants_dir`.
//!
//! Owns: reading them under a size cap. Never: follows a name out of `tenants_dir`, or waits on a pipe.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aliases::table_or_new;
use super::faults::Faults;
use super::tree::{self, Entry, FILE_BYTES_MAX, Node, Origin, Source, Value};

/// Files of tenants in one directory; more is refused.
const TENANT_FILES_MAX: usize = 100_000;

/// A text and what is known of its file.
pub(super) struct Document {
    pub(super) text: String,
    /// Nobody but its owner can read it.
    pub(super) private: bool,
}

/// Reads a file; faults name it.
pub(super) fn read(path: &Path, origin: &Origin, faults: &mut Faults) -> Option<Document> {
    let mut fault = |problem: String, remedy: &str| {
        faults.add(origin, "", None, problem, remedy);
    };
    // A pipe must not hold us up.
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
    let opened = opened.and_then(|file| Ok((file.metadata()?, file)));
    let (meta, file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            fault(format!("cannot be read: {error}"), "correct --config, or the file's permissions");
            return None;
        }
    };
    if !meta.is_file() {
        fault("is no regular file".to_owned(), "name a file");
        return None;
    }
    let mut bytes = Vec::new();
    if let Err(error) = file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes) {
        fault(format!("cannot be read: {error}"), "try again");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Document { text, private: meta.mode() & 0o077 == 0 }),
        Err(_) => {
            fault("is not UTF-8".to_owned(), "save it as UTF-8");
            None
        }
    }
}

/// The tenant files of a directory, by name.
fn tenant_files(dir: &Path, origin: &Origin, faults: &mut Faults) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(dir).and_then(|entries| {
        entries.take(TENANT_FILES_MAX + 1).map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()
    });
    let mut files = match listed {
        Ok(files) => files,
        Err(error) => {
            let value = Some(format!("{:?}", dir.display().to_string()));
            faults.add(
                origin,
                "include.tenants_dir",
                value,
                format!("cannot be read: {error}"),
                "check its permissions",
            );
            return Vec::new();
        }
    };
    if files.len() > TENANT_FILES_MAX {
        let value = Some(format!("{:?}", dir.display().to_string()));
        faults.add(
            origin,
            "include.tenants_dir",
            value,
            "has too many files",
            format!("keep it to {TENANT_FILES_MAX}"),
        );
        return Vec::new();
    }
    let hidden = |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    files.sort();
    files
}

/// Adds the files of `tenants_dir` to the root's `tenants`; gives those that others can read.
pub(super) fn include_tenants(
    root: &mut Vec<Entry>,
    dir: &Path,
    origin: &Origin,
    faults: &mut Faults,
) -> Vec<Arc<Source>> {
    let mut exposed = Vec::new();
    for path in tenant_files(dir, origin, faults) {
        let at = Origin::whole(path.display().to_string(), dir);
        let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
            faults.add(&at, "", None, "has a name that is not UTF-8", "name it after its tenant, as acme.toml");
            continue;
        };
        let Some(document) = read(&path, &at, faults) else { continue };
        if !document.private {
            exposed.push(at.source.clone());
        }
        let entries = tree::parse(&document.text, &at.source, faults);
        let node = Node { value: Value::Table(entries), origin: at.clone() };
        let entry = Entry { key: id.to_owned(), written: None, origin: at.clone(), node };
        if let Some(tenants) = table_or_new(root, "tenants", &at) {
            tenants.push(entry);
        }
    }
    exposed
}
