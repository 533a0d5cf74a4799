//! The C library's heap.
//!
//! Owns: taking its holes, and giving back what holds nothing. Never: touches what is in use.

/// Bytes of the smallest and of the largest hole that is looked for: a block is never smaller, and a much larger one is a map of
/// its own.
const HOLES: std::ops::RangeInclusive<usize> = 24..=64 << 10;
/// Below this size holes are looked for in the heap's own steps.
const SMALL: usize = 1 << 10;
const STEP: usize = 16;
/// The holes of a size are taken when so many blocks in a row lie above all others, at the heap's end.
const IN_A_ROW: usize = 8;
/// Bytes taken at most: a heap with more holes is left with them, and one that does not grow upwards takes no more.
const TAKEN_MAX: usize = 64 << 20;

/// Takes every hole of the heap, for good: what is allocated next lies together, at its end. Gives the bytes taken.
pub(crate) fn fill() -> usize {
    let large = std::iter::successors(Some(*HOLES.end()), |size| Some(size / 2)).take_while(|size| *size > SMALL);
    let small =
        std::iter::successors(Some(SMALL), |size| size.checked_sub(STEP)).take_while(|size| HOLES.contains(size));
    let (mut highest, mut taken) = (0, 0);
    for size in large.chain(small) {
        let mut above = 0;
        while above < IN_A_ROW && taken < TAKEN_MAX {
            // SAFETY: any size may be asked for. The block is never given back, and nothing is written to it.
            let block = unsafe { libc::malloc(size) }.addr();
            if block == 0 {
                return taken;
            }
            above = if block > highest { above + 1 } else { 0 };
            highest = highest.max(block);
            taken += size;
        }
    }
    taken
}

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
