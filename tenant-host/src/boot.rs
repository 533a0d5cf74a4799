//! From the first hello to ready.
