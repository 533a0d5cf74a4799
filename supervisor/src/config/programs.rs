//! `command`: the program of an agent or a runtime, found when the configuration is loaded.
//!
//! Owns: looking programs up. Never: runs one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::section::{Section, Spot};
use super::shape::Shape;
use super::variables::PROGRAM_PATH;

/// Whether a path is an executable file.
pub(super) fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The program of this name on the allowed path.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    PROGRAM_PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| is_program(path))
}

/// Reads `command`; its first word becomes the absolute path of a program that exists.
pub(super) fn command(section: &mut Section<'_>) -> Option<Spot<Vec<String>>> {
    let list = section.texts_of("command", || Shape::SomeTexts(1))?;
    let mut words: Vec<String> = list.value.iter().map(|word| word.value.clone()).collect();
    let Some(name) = words.first().cloned().filter(|name| !name.is_empty()) else {
        section.faults.add(&list.origin, &list.key, None, "names no program", "write command = [\"./program\"]");
        return None;
    };
    let at = list.value[0].clone();
    let (found, problem, remedy) = if name.contains('/') {
        let path = at.origin.resolve(&name);
        let problem = match path.exists() {
            true => format!("{} is no executable file", path.display()),
            false => format!("{} does not exist", path.display()),
        };
        let remedy = match path.exists() {
            true => format!("chmod +x {}", path.display()),
            false => "correct the path; it is relative to the file it stands in".to_owned(),
        };
        (Some(path).filter(|path| is_program(path)), problem, remedy)
    } else {
        let remedy = format!("install it there, or write its path; searched: {PROGRAM_PATH}");
        (find(&name), "no such program".to_owned(), remedy)
    };
    match found.as_deref().map(Path::to_str) {
        Some(Some(path)) => words[0] = path.to_owned(),
        Some(None) => {
            let remedy = "rename it";
            section.faults.add(&at.origin, &at.key, Some(format!("{name:?}")), "is no UTF-8 path", remedy);
        }
        None => section.faults.add(&at.origin, &at.key, Some(format!("{name:?}")), problem, remedy),
    }
    Some(Spot { value: words, key: list.key, origin: list.origin })
}
