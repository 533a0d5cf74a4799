//! The shared libraries of this process, and which of them register fork handlers (decision P3).
//!
//! Owns: reading their dynamic symbols. Never: reads a library whole; headers and tables are read as they are needed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol, ReadCache};
use pyo3::prelude::*;

use crate::memory::read_maps;

/// What a library imports that registers fork handlers.
const REGISTRATIONS: [&[u8]; 2] = [b"pthread_atfork", b"__register_atfork"];

/// Paths of the shared libraries that are mapped.
pub(crate) fn mapped() -> io::Result<BTreeSet<String>> {
    let path = |line: &str| line.find('/').map(|at| line[at..].to_owned());
    let library = |path: &String| path.contains(".so") && !path.ends_with(" (deleted)");
    Ok(read_maps()?.lines().filter_map(path).filter(library).collect())
}

/// Whether the library at this path registers fork handlers. One that cannot be read counts as one that does not.
fn registers(path: &str) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let cache = ReadCache::new(file);
    let Ok(elf) = ElfFile64::<object::Endianness, _>::parse(&cache) else { return false };
    elf.dynamic_symbols()
        .any(|symbol| symbol.is_undefined() && symbol.name_bytes().is_ok_and(|name| REGISTRATIONS.contains(&name)))
}

/// Paths of the mapped libraries that register fork handlers, which a zygote's forks do not run.
#[pyfunction]
pub(crate) fn atfork_libraries() -> PyResult<Vec<String>> {
    Ok(mapped()?.into_iter().filter(|path| registers(path)).collect())
}
