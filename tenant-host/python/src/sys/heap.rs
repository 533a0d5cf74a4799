//! The C library's heap.
//!
//! Owns: one call. Never: touches what is in use.

/// Gives the kernel back the pages of the heap that hold nothing; says whether there were any.
pub(crate) fn trim() -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number of bytes to keep, and takes the allocator's own locks itself.
    let trimmed = unsafe { libc::malloc_trim(0) } == 1;
    // Other C libraries give them back by themselves.
    #[cfg(not(target_env = "gnu"))]
    let trimmed = false;
    trimmed
}
