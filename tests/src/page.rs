//! Pages of the documentation, as the tests that follow them read them.
//!
//! Owns: finding a page's commands. Never: runs one.

use std::fs;
use std::path::Path;

/// The text of a page, by its path in the repository.
#[track_caller]
pub fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The blocks of a page that are for the shell, in order.
pub fn blocks(page: &str) -> Vec<String> {
    let parts = page.split("```sh\n").skip(1);
    parts.map(|part| part.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

/// Those below a heading, up to the next one.
#[track_caller]
pub fn blocks_below(page: &str, heading: &str) -> Vec<String> {
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    blocks(section.split("\n## ").next().unwrap_or_default())
}
