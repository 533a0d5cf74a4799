//! Collapsing a warm zygote's heap into huge pages, which makes every later fork cheaper; filling its holes; trimming an idle
//! host's.
//!
//! Owns: which parts of the address space are worth it. Never: touches a page, or collapses what is mostly empty.

use std::fs;
use std::ops::Range;

use pyo3::prelude::*;

use crate::sys::{heap, pages};

/// Bytes of a huge page on x86_64 and, with pages of 4 KiB, on aarch64.
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of `/proc/self/maps` that are read at most: ten times the list of a process with every model loaded.
const MAPS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The private, writable, anonymous parts of an address space: a list in the form of `/proc/self/maps`.
fn anonymous(maps: &str) -> impl Iterator<Item = Range<usize>> {
    maps.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let writable = fields.next()?.starts_with("rw-p");
        let inode = fields.nth(2)?;
        let own = match fields.next() {
            None | Some("[heap]") => true,
            Some(name) => name.starts_with("[anon:"),
        };
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        (writable && inode == "0" && own).then_some(range)
    })
}

/// The aligned huge pages that lie wholly in a range.
fn huge_pages(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let first = range.start.next_multiple_of(HUGE_PAGE_BYTES);
    let count = range.end.saturating_sub(first) / HUGE_PAGE_BYTES;
    (0..count).map(move |at| first + at * HUGE_PAGE_BYTES..first + (at + 1) * HUGE_PAGE_BYTES)
}

/// Collapses the populated heap and anonymous maps into huge pages; gives the bytes collapsed.
#[pyfunction]
pub(crate) fn collapse_heap() -> PyResult<usize> {
    let maps = read_maps()?;
    let page_bytes = pages::page_bytes();
    let mut residency = vec![0; HUGE_PAGE_BYTES / page_bytes];
    let mut collapsed = 0;
    for huge in anonymous(&maps).flat_map(huge_pages) {
        // A page that is mostly empty would cost more memory than its tables do time.
        if pages::resident(&huge, &mut residency, page_bytes) * 2 >= residency.len() && pages::collapse(&huge) {
            collapsed += huge.len();
        }
    }
    Ok(collapsed)
}

/// Takes the holes of the C heap, so that what is allocated next lies together; gives the bytes taken.
#[pyfunction]
pub(crate) fn fill_heap() -> usize {
    heap::fill()
}

/// Gives the pages of the C heap that hold nothing back to the kernel; says whether there were any.
#[pyfunction]
pub(crate) fn trim_heap() -> bool {
    heap::trim()
}

/// What is mapped into this process.
pub(crate) fn read_maps() -> std::io::Result<String> {
    use std::io::Read;
    let mut maps = String::new();
    fs::File::open("/proc/self/maps")?.take(MAPS_BYTES_MAX).read_to_string(&mut maps)?;
    Ok(maps)
}
