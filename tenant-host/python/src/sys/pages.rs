//! Advice to the kernel about pages.
//!
//! Owns: the two calls. Never: changes what the pages hold.

use std::ops::Range;

/// `MADV_COLLAPSE` of Linux 6.1.
const MADV_COLLAPSE: i32 = 25;

/// Makes a huge page of these addresses, if the kernel can; says whether it did.
pub(crate) fn collapse(pages: &Range<usize>) -> bool {
    // SAFETY: madvise takes a range by number and answers ENOMEM where nothing is mapped. MADV_COLLAPSE keeps what the
    // pages hold, and whoever uses them sees no change.
    let result = unsafe { libc::madvise(pages.start as *mut libc::c_void, pages.len(), MADV_COLLAPSE) };
    result == 0
}

/// How many of the pages are in memory; `residency` has one byte a page.
pub(crate) fn resident(pages: &Range<usize>, residency: &mut [u8], page_bytes: usize) -> usize {
    if residency.len() < pages.len().div_ceil(page_bytes) {
        return 0;
    }
    // SAFETY: mincore takes a range by number, answers ENOMEM where nothing is mapped, and writes one byte for each of its
    // pages: the buffer was just found long enough.
    let result = unsafe { libc::mincore(pages.start as *mut libc::c_void, pages.len(), residency.as_mut_ptr().cast()) };
    if result == 0 { residency.iter().filter(|page| **page & 1 == 1).count() } else { 0 }
}

/// Bytes of a page.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf takes a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
